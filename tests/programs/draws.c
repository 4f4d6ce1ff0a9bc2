/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * draws [CPU_SECONDS] [QUANTUM_US]: works in one of three functions, drawn anew for each
 * quantum with 50, 30 and 20 % chance; quanta are of exponential length. So samples taken
 * further apart than a quantum are independent of one another, and the interval that
 * statistics give is the right one. Each begins with an allocation, for those who put probes
 * on it. Prints at the end how much each really took, as JSON.
 */
#include <math.h>

#include "tests/programs/burn.h"

/* Shorter than BURN()'s between two looks at the clock, for quanta are short. */
#define WORK(until)                                                                                \
	do {                                                                                       \
		volatile uint32_t sink_ = 1;                                                       \
		free(malloc(100 + (size_t)sink_));                                                 \
		do {                                                                               \
			for (int turn_ = 0; turn_ < 1000; turn_++)                                 \
				sink_ = sink_ * 1664525u + 1013904223u;                            \
		} while (cpu_ns(CLOCK_THREAD_CPUTIME_ID) < (until));                               \
	} while (0)

static void draw_50(uint64_t until)
{
	WORK(until);
}

static void draw_30(uint64_t until)
{
	WORK(until);
}

static void draw_20(uint64_t until)
{
	WORK(until);
}

static const struct {
	const char *name;
	void (*work)(uint64_t until);
	double chance;
} parts[] = {{"draw_50", draw_50, 0.5}, {"draw_30", draw_30, 0.3}, {"draw_20", draw_20, 0.2}};

enum { PARTS = sizeof(parts) / sizeof(parts[0]) };

static double chance(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (double)(*random >> 11) / (double)(1ULL << 53);
}

int main(int argc, char **argv)
{
	uint64_t end = number(argc, argv, 1, 2) * 1000 * MS;
	double quantum = (double)number(argc, argv, 2, 300) * 1000;
	uint64_t spent[PARTS] = {0}, random = cpu_ns(CLOCK_REALTIME) | 1;
	uint64_t began = cpu_ns(CLOCK_THREAD_CPUTIME_ID), now = began;

	while (now - began < end) {
		double draw = chance(&random), length = -quantum * log(1 - chance(&random));
		uint64_t before = now;
		int part = 0;

		while (part < PARTS - 1 && draw >= parts[part].chance)
			draw -= parts[part++].chance;
		parts[part].work(now + (uint64_t)length);
		now = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
		spent[part] += now - before;
	}
	printf("{\"functions\": {");
	for (int i = 0; i < PARTS; i++)
		printf("%s\"%s\": %llu", i ? ", " : "", parts[i].name,
		       (unsigned long long)spent[i]);
	printf("}, \"cpu_ns\": %llu}\n", (unsigned long long)(now - began));
	return 0;
}
