/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A process whose threads are all stopped (ptrace(2), PTRACE_SEIZE), so that one of
 * them can call functions in it and everything goes on as if nothing had been: only in
 * the injector, a process of its own, because such calls may wait for ever.
 *
 * If the tracer dies, the kernel lets all threads go on (PTRACE_O_EXITKILL is not set).
 * A thread that was calling then ends its call and goes back to what it did by itself:
 * the code that calls ends with an rt_sigreturn(2) of a frame with its state.
 *
 * System calls that were interrupted are restarted by the kernel, as after a stop by
 * SIGSTOP, those too that the kernel does not restart (epoll_wait and its kin), unless a
 * signal is waiting for them.
 *
 * Times are CLOCK_BOOTTIME nanoseconds. Errors are told with a sentence.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "daemon/base/error.h"

#define TRACEE_THREADS_MAX 4096u

struct tracee_thread {
	pid_t tid;
	bool stopped;
	struct user_regs_struct registers;
};

struct tracee {
	pid_t pid;
	int memory; /* /proc/PID/mem, for reading */
	struct tracee_thread *threads;
	uint32_t count;
};

/* Stops all threads. -ETIMEDOUT: one does not stop (it waits for a device, or in a vfork);
 * -EBUSY: stopped, or traced by another already; -ESRCH; -E2BIG; -ENOTSUP: 32-bit, or it
 * has a shadow stack; -EPERM. On an error all go on. */
int tracee_stop(pid_t pid, uint64_t deadline, struct error *error, struct tracee *ret);
/* Lets all go on. The struct may be used again. */
void tracee_release(struct tracee *tracee);
/* The number of the system call that a thread waits in; -1: it runs its own code. */
long tracee_system_call(const struct tracee_thread *thread);
/* Is it in a restartable sequence (rseq(2)), which must not be left and entered again? */
bool tracee_in_sequence(const struct tracee *tracee, const struct tracee_thread *thread);
/* Bytes read at a process address, as many as there are up to `size`. */
size_t tracee_read(const struct tracee *tracee, uint64_t address, void *ret, size_t size);

/* Functions of the process, and what they are called with, one after the other:
 *
 *	library = dlopen(path, flags)
 *	other = dlsym(library, other_symbol)
 *	function = dlsym(library, symbol)
 *	result = function()
 *
 * or only the last, where the function is known. */
struct tracee_call {
	uint64_t dlopen, dlsym; /* process addresses */
	uint64_t dlerror; /* 0: none */
	uint64_t system_call; /* libc's syscall(), or another with that instruction */
	uint64_t function; /* 0: by its symbol */
	uint32_t flags; /* of dlopen() */
	const char *symbol, *other_symbol;
	const char *path; /* where the process finds the library; NULL: nowhere */
	int library; /* the file, which is given to it where it does not find it; -1: none */
};

struct tracee_result {
	int result; /* of the function */
	uint64_t other; /* address of the other function; 0 where nothing was opened */
};

/* Has one stopped thread do that. While it does, the others are stopped; if it waits for
 * one of them, they go on meanwhile. 0 with a result; or -errno with nothing left behind:
 * -ENOENT: dlopen() or dlsym() refused (its words are in the error); -EFAULT: the call made
 * a fault; -ETIMEDOUT: it does not end in time, and does so later by itself. The pointer to
 * the thread is invalid after. */
int tracee_call(struct tracee *tracee, struct tracee_thread *thread, const struct tracee_call *call,
		struct error *error, struct tracee_result *ret);
