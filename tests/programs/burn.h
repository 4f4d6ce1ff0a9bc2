/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Spinning for a stretch of the calling thread's own CPU time, in the function
 * that says so: a macro, because a helper would be one frame more.
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MS 1000000ULL

static inline uint64_t cpu_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

/* The clock is a system call: some 50 us of arithmetic between two looks keep
 * its share small. */
#define BURN(ns)                                                                                   \
	do {                                                                                       \
		uint64_t until_ = cpu_ns(CLOCK_THREAD_CPUTIME_ID) + (ns);                          \
		volatile uint32_t sink_ = 1;                                                       \
		do {                                                                               \
			for (int turn_ = 0; turn_ < 20000; turn_++)                                \
				sink_ = sink_ * 1664525u + 1013904223u;                            \
		} while (cpu_ns(CLOCK_THREAD_CPUTIME_ID) < until_);                                \
	} while (0)

/* Argument i as a number, or what it is when it is left out. */
static inline uint64_t number(int argc, char **argv, int i, uint64_t otherwise)
{
	return i < argc ? strtoull(argv[i], NULL, 10) : otherwise;
}
