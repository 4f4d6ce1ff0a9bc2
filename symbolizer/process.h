/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The worker as a process: started with a socket, ended, and its end read.
 * The caller owns what worker_process_start() gave it; worker_process_end()
 * takes both back. Only this process's own child is ever signalled or waited
 * for, by its pid.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/error.h"
#include "symbolizer/client.h"

struct worker_process {
	pid_t pid; /* 0: none */
	int socket; /* our end, non-blocking, close-on-exec; -1: none */
};

/* How a worker ended, as far as that tells who is to blame. */
enum worker_end {
	WORKER_END_FAULT, /* a signal of its own making, or an exit code */
	WORKER_END_KILLED, /* by somebody else, or nobody knows */
	WORKER_END_NOT_STARTED, /* the program could not be executed */
};

int worker_process_start(const struct symbolizer_config *config, struct error *error,
			 struct worker_process *ret);
/* Kills the worker if it still runs, closes the socket, reaps the child, and
 * says how it ended. Waits some 200 ms at most, 20 ms for one that it kills: a child that cannot
 * die (its read hangs in a dead file system) is told by *ret_left, its pid, which
 * worker_process_reap() must be given until it is gone; 0: reaped. */
enum worker_end worker_process_end(struct worker_process *process, bool expected, char *text,
				   size_t size, pid_t *ret_left);
/* What it has had of a processor so far, ns; false: that cannot be told. */
bool worker_process_cpu(pid_t pid, uint64_t *ret);
/* It has something to compute and waits for nothing else, but has had less than so much of a
 * processor (ns since its beginning): the machine is busy, which says nothing of a file. */
bool worker_process_starves(pid_t pid, uint64_t enough);
/* Somebody holds it: SIGSTOP, a debugger, the kernel's job control. */
bool worker_process_is_stopped(pid_t pid);
/* True when that child is gone. Never blocks. */
bool worker_process_reap(pid_t pid);
