/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/pattern.h"

#include <stdlib.h>
#include <string.h>

#define SECONDS_MIN 3u
#define RARE 0.01 /* of one CPU */
#define LIGHT 0.25
#define BURST 10 /* times the median */

static const struct {
	const char *name;
	double factor;
} cpu_rules[CPU_PATTERN_COUNT] = {
	[CPU_UNKNOWN] = {"unknown", 1}, [CPU_RARE] = {"rare", 10}, [CPU_LIGHT] = {"light", 5},
	[CPU_BURSTY] = {"bursty", 5},   [CPU_BUSY] = {"busy", 1},
};

void cpu_seconds_add(struct cpu_seconds *seconds, double share)
{
	seconds->share[seconds->count++ % PATTERN_SECONDS] = share;
}

static int compare(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

enum cpu_pattern cpu_pattern_judge(const struct cpu_seconds *seconds)
{
	size_t n = seconds->count < PATTERN_SECONDS ? (size_t)seconds->count : PATTERN_SECONDS;
	double sorted[PATTERN_SECONDS], sum = 0;

	if (n < SECONDS_MIN)
		return CPU_UNKNOWN;
	memcpy(sorted, seconds->share, sizeof(sorted));
	qsort(sorted, n, sizeof(*sorted), compare);
	for (size_t i = 0; i < n; i++)
		sum += sorted[i];
	if (sum / (double)n < RARE)
		return CPU_RARE;
	/* Of few seconds the largest is no burst but a beginning. */
	if (n == PATTERN_SECONDS && sorted[n - 1] > BURST * sorted[n / 2])
		return CPU_BURSTY;
	return sum / (double)n < LIGHT ? CPU_LIGHT : CPU_BUSY;
}

double cpu_pattern_factor(enum cpu_pattern pattern)
{
	return pattern < CPU_PATTERN_COUNT ? cpu_rules[pattern].factor : 1;
}

const char *cpu_pattern_name(enum cpu_pattern pattern)
{
	return pattern < CPU_PATTERN_COUNT ? cpu_rules[pattern].name : "";
}
