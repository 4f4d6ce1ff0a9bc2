/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What perfd and its injector say to each other over a socket pair that keeps packets
 * apart: the injector (this program, executed anew as `perfd --inject`) stops a process
 * and has it load a library, perfd judges by the threads' stacks whether that may be.
 *
 *	perfd		order, with the library's descriptor
 *	injector	a stack for each stopped thread, then ask
 *	perfd		verdict: the thread that may do it, or try again, or give up
 *	…		until a verdict names a thread, or time is over
 *	injector	result, and it ends
 *
 * Both are one program on one machine: structs go as they are.
 */
#pragma once

#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/tracee.h"

#define INJECT_FD 3 /* where the injector finds its socket */
#define INJECT_STACK_BYTES 24576u /* of a thread, at most */
#define INJECT_PATH_MAX 512
#define INJECT_TEXT_MAX 512
#define INJECT_AGAIN 0 /* verdicts that name no thread */
#define INJECT_GIVE_UP (-1)

enum inject_kind { INJECT_ORDER = 1, INJECT_STACK, INJECT_ASK, INJECT_VERDICT, INJECT_RESULT };

struct inject_order {
	uint32_t kind;
	int32_t pid;
	uint64_t duration_ns; /* for all tries */
	uint64_t dlopen, dlsym, dlerror, system_call, function; /* as tracee_call has them */
	uint32_t flags;
	uint32_t pad;
	char symbol[64], other_symbol[64];
	char path[INJECT_PATH_MAX]; /* "": none */
};

struct inject_stack {
	uint32_t kind;
	int32_t tid;
	int64_t system_call; /* that the thread waits in; -1: none */
	uint32_t wait_reason; /* 0; or the errno that the system call gives when it goes on */
	uint32_t pad;
	struct abi_raw raw; /* its bytes follow */
};

struct inject_verdict {
	uint32_t kind;
	int32_t tid;
};

struct inject_result {
	uint32_t kind; /* INJECT_ASK: the rest is 0 */
	int32_t error; /* 0 or -errno */
	int32_t result; /* of the function that was called */
	uint32_t rounds;
	uint64_t other; /* address of the other function */
	uint64_t stopped_ns; /* how long the process stood still, in all */
	char text[INJECT_TEXT_MAX];
};

/* The injector's main. Returns its exit code. */
int inject_main(int fd);
