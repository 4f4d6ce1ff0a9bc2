/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a process does with the CPU and with memory, judged by what was measured, and the
 * rule of sampling that goes with it: where little happens, more of it is looked at. Pure.
 * Rules are settled from what was before they hold, and every sample carries its weight, so
 * figures stay unbiased whatever the pattern is taken for.
 *
 *	CPU      share of one CPU in the last PATTERN_SECONDS     rate, times the usual one
 *	rare     below 1 %                                        10
 *	light    below 25 %                                       5
 *	bursty   its largest second is 10 times its median        5
 *	busy     otherwise                                        1
 *
 *	memory       calls and bytes a second                     bytes between two samples
 *	many_small   below 1 KiB a call, 10,000 calls and more    so that PATTERN_ALLOCATIONS are
 *	few_large    8 KiB a call and more                        sampled a second, but within
 *	mixed        otherwise                                    PATTERN_INTERVAL_MIN and _MAX
 *
 * An allocation of four intervals is sampled in 98 of 100 cases, so what is rare and large is
 * seen by itself.
 */
#pragma once

#include <stdint.h>

#define PATTERN_SECONDS 16u
#define PATTERN_ALLOCATIONS 200u
#define PATTERN_INTERVAL_MIN (4u << 10)
#define PATTERN_INTERVAL_MAX (4u << 20)

enum cpu_pattern { CPU_UNKNOWN, CPU_RARE, CPU_LIGHT, CPU_BURSTY, CPU_BUSY, CPU_PATTERN_COUNT };
enum heap_pattern { HEAP_UNKNOWN, HEAP_MANY_SMALL, HEAP_FEW_LARGE, HEAP_MIXED, HEAP_PATTERN_COUNT };

/* The last seconds of a process, or of a session's processes together. */
struct cpu_seconds {
	double share[PATTERN_SECONDS]; /* of one CPU; a ring */
	uint64_t count; /* so far */
};

struct heap_second {
	double calls; /* a second */
	double bytes; /* likewise */
};

void cpu_seconds_add(struct cpu_seconds *seconds, double share);
/* CPU_UNKNOWN: less than three seconds are known. */
enum cpu_pattern cpu_pattern_judge(const struct cpu_seconds *seconds);
/* What the usual rate is multiplied by. */
double cpu_pattern_factor(enum cpu_pattern pattern);
enum heap_pattern heap_pattern_judge(const struct heap_second *second);
/* Bytes between two sampled allocations; `usual` where nothing is known. */
uint64_t heap_pattern_interval(const struct heap_second *second, uint64_t usual);
/* "rare", "many_small": for programs and people. */
const char *cpu_pattern_name(enum cpu_pattern pattern);
const char *heap_pattern_name(enum heap_pattern pattern);
