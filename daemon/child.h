/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The command of `perfctl record -- CMD`: started, held before its first
 * instruction until a session watches it, then released.
 *
 * Ownership: the child struct owns its descriptors; child_deinit() also lets a
 * child that was never released go (it exits without running the command), and
 * leaves one that runs alone.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "daemon/base/error.h"

struct child {
	pid_t pid; /* 0: none */
	int pidfd; /* readable when it has exited */
	int go_fd; /* write end: a byte releases it */
	int error_fd; /* read end: its errno if it could not run the command */
	bool running;
	int exit_code; /* of the command, once it has ended: its own, or 128 + signal */
};

/* `mask`: the signal mask that the command gets. */
int child_spawn(char **argv, const sigset_t *mask, struct error *error, struct child *ret);
/* Lets it run the command: 0 when the command's own code runs; -errno of
 * execvp(3) if it could not be run, and the child is gone then. */
int child_release(struct child *child);
/* Collects the exit code of one that has ended (pidfd readable), or waits. */
void child_reap(struct child *child);
void child_deinit(struct child *child);
