/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a process does with the CPU, judged by what was measured, and the
 * rule of sampling that goes with it: where little happens, more of it is looked at. Pure.
 * Rules are settled from what was before they hold, and every sample carries its weight, so
 * figures stay unbiased whatever the pattern is taken for.
 *
 *	CPU      share of one CPU in the last PATTERN_SECONDS     rate, times the usual one
 *	rare     below 1 %                                        10
 *	light    below 25 %                                       5
 *	bursty   its largest second is 10 times its median        5
 *	busy     otherwise                                        1
 */
#pragma once

#include <stdint.h>

#define PATTERN_SECONDS 16u

enum cpu_pattern { CPU_UNKNOWN, CPU_RARE, CPU_LIGHT, CPU_BURSTY, CPU_BUSY, CPU_PATTERN_COUNT };

/* The last seconds of a process, or of a session's processes together. */
struct cpu_seconds {
	double share[PATTERN_SECONDS]; /* of one CPU; a ring */
	uint64_t count; /* so far */
};

void cpu_seconds_add(struct cpu_seconds *seconds, double share);
/* CPU_UNKNOWN: less than three seconds are known. */
enum cpu_pattern cpu_pattern_judge(const struct cpu_seconds *seconds);
/* What the usual rate is multiplied by. */
double cpu_pattern_factor(enum cpu_pattern pattern);
/* "rare": for programs and people. */
const char *cpu_pattern_name(enum cpu_pattern pattern);
