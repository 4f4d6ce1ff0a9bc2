/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What tracee.c (threads), tracee_frame.c (a thread's state as a signal frame) and
 * tracee_call.c (calls in a thread) share.
 */
#pragma once

#include "daemon/tracee.h"

#define SYSCALL_BYTES 2 /* of the instruction */
#define XSTATE_MAX 16384u /* bytes of the vector registers */

/* A moment, between two looks. */
void tracee_pause(void);
/* Writes to the memory of the thread's process, through any protection. It takes no
 * right to the file /proc/PID/mem, which is its owner's. */
int tracee_write(const struct tracee_thread *thread, uint64_t address, const void *bytes,
		 size_t size);
/* The thread's registers as they must be for it to go on when nobody restarts its system
 * call any more. */
void tracee_settle(const struct tracee *tracee, const struct tracee_thread *thread,
		   struct user_regs_struct *ret);

/* All of a stopped thread's state that a call may change. */
struct tracee_state {
	struct user_regs_struct registers; /* settled */
	uint64_t mask; /* of signals */
	uint8_t xstate[XSTATE_MAX];
	size_t xstate_size;
};

int tracee_state_read(const struct tracee *tracee, const struct tracee_thread *thread,
		      struct error *error, struct tracee_state *ret);
int tracee_state_write(const struct tracee_thread *thread, const struct tracee_state *state);
/* Writes the state below the thread's stack, as the kernel does before it calls a signal
 * handler: who returns to *ret_stack's first word, which is `restorer` (code that calls
 * rt_sigreturn(2)), is back in that state. */
int tracee_frame_write(const struct tracee_thread *thread, const struct tracee_state *state,
		       uint64_t restorer, uint64_t *ret_stack);
