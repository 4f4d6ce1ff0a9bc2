/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Programs that are hard to unwind, with the truth about their stacks:
 *
 *	hard_X CASE [CPU_MS]	burns CPU_MS at the bottom of the case's chain of calls,
 *				under the name of the case
 *	hard_X --list		"CASE<tab>LEAF<tab>PATTERN" of each case, a line each
 *
 * A sample that has LEAF (a|b: one of them) in its stack must match PATTERN from
 * the root on; what follows behind the pattern is free (libc, the vDSO, the kernel).
 * Words of a pattern, a frame each where nothing else is said:
 *
 *	name	this function	a|b	one of these	150:name	as often
 *	?	any one frame	*	any frames, or none
 *	@main	from the process's entry by way of libc to main and hard_main
 *	@thread, @context	what leads to a thread's or a context's first function
 *
 * " / " parts patterns of which one must match. Functions are kept apart by KEEP,
 * and have AFTER_CALL() where a call must not become a jump.
 */
#pragma once

#include <string.h>

#include "tests/programs/burn.h"

#ifdef __clang__
#define KEEP __attribute__((noinline))
#else
#define KEEP __attribute__((noipa)) /* no clones with other names, either */
#endif
#define AFTER_CALL() __asm__ volatile("" ::: "memory")

/* Short calls between two looks at the clock. */
#define CALLS 2000
#define WHILE_BURNING(ns)                                                                          \
	for (uint64_t end_ = cpu_ns(CLOCK_THREAD_CPUTIME_ID) + (ns);                               \
	     cpu_ns(CLOCK_THREAD_CPUTIME_ID) < end_;)                                              \
		for (int call_ = 0; call_ < CALLS; call_++)

struct hard_case {
	const char *name;
	void (*run)(uint64_t ns);
	const char *leaf;
	const char *pattern;
};

#ifdef __cplusplus
extern "C" {
#endif

/* What most cases have at the end of their chain. */
KEEP void bottom(uint64_t ns);

extern const struct hard_case hard_frames[]; /* ends with a case without name */
extern const struct hard_case hard_flow[];
extern const struct hard_case hard_process[];

int hard_main(int argc, char **argv, const struct hard_case *const *tables);

#ifdef __cplusplus
}
#endif
