/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What programs share that allocate and count it themselves: sizes, the count, and its JSON. For
 * C and C++.
 */
#pragma once

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* At one place of the program. */
struct truth {
	uint64_t objects, bytes, live_objects, live_bytes;
};

/* At random, the same in each run. */
static inline size_t size_between(size_t low, size_t high)
{
	static uint64_t state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return low + (size_t)(state % (high - low + 1));
}

/* The result must be used, or the compiler leaves the call out. */
static inline void use(void *memory)
{
	__asm__ volatile("" : : "r"(memory) : "memory");
}

static inline void count(struct truth *truth, size_t size)
{
	truth->objects++;
	truth->bytes += size;
}

static inline void print_truth(const char *name, const struct truth *truth, const char *end)
{
	printf("\"%s\": {\"objects\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"live_objects\": %" PRIu64 ", \"live_bytes\": %" PRIu64 "}%s",
	       name, truth->objects, truth->bytes, truth->live_objects, truth->live_bytes, end);
}

/* [ROUNDS [MICROSECONDS [wait]]]: how many, and how long to wait after each. With "wait" it returns
 * when a line has come on standard input; 0: none came. */
static inline int rounds_of(int argc, char **argv, long *ret_rounds, unsigned *ret_wait_us)
{
	*ret_rounds = argc > 1 ? atol(argv[1]) : 1000;
	*ret_wait_us = argc > 2 ? (unsigned)atol(argv[2]) : 0;
	return argc <= 3 || getchar() != EOF;
}
