/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * draws [CPU_SECONDS] [QUANTUM_US]: works in one of three functions, drawn anew for each
 * quantum with 50, 30 and 20 % chance; quanta are of exponential length. So samples taken
 * further apart than a quantum are independent of one another, and the interval that
 * statistics give is the right one. Each begins with an allocation, for those who put probes
 * on it. Prints at the end how much each really took, as JSON.
 *
 * All the time is some function's: each draws the next one, so that what lies between them, and
 * between the clock's reading and whoever asked for it, is as often one's as it is counted to it.
 */
#include <math.h>

#include "tests/programs/burn.h"

enum { DRAW_50, DRAW_30, DRAW_20, PARTS };

static const double chances[PARTS] = {0.5, 0.3, 0.2};

struct draws {
	uint64_t random;
	double quantum; /* ns, mean */
	uint64_t now, until; /* of the thread's own CPU time */
	int part; /* whose turn it is until then */
};

static double chance(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (double)(*random >> 11) / (double)(1ULL << 53);
}

/* Inlined: a part of whoever draws. */
static inline __attribute__((always_inline)) void draw(struct draws *draws)
{
	double rest = chance(&draws->random);

	draws->part = 0;
	while (draws->part < PARTS - 1 && rest >= chances[draws->part])
		rest -= chances[draws->part++];
	draws->until = draws->now + (uint64_t)(-draws->quantum * log(1 - chance(&draws->random)));
}

/* Shorter than BURN()'s between two looks at the clock, for quanta are short. */
#define WORK(draws)                                                                                \
	do {                                                                                       \
		volatile uint32_t sink_ = 1;                                                       \
		void *piece_ = malloc(100 + (size_t)sink_);                                        \
		/* Else the compiler does without it. */                                           \
		__asm__ volatile("" : "+r"(piece_));                                               \
		free(piece_);                                                                      \
		do {                                                                               \
			for (int turn_ = 0; turn_ < 1000; turn_++)                                 \
				sink_ = sink_ * 1664525u + 1013904223u;                            \
			(draws)->now = cpu_ns(CLOCK_THREAD_CPUTIME_ID);                            \
		} while ((draws)->now < (draws)->until);                                           \
		draw(draws);                                                                       \
	} while (0)

static void draw_50(struct draws *draws)
{
	WORK(draws);
}

static void draw_30(struct draws *draws)
{
	WORK(draws);
}

static void draw_20(struct draws *draws)
{
	WORK(draws);
}

static const struct {
	const char *name;
	void (*work)(struct draws *draws);
} parts[PARTS] = {
	[DRAW_50] = {"draw_50", draw_50},
	[DRAW_30] = {"draw_30", draw_30},
	[DRAW_20] = {"draw_20", draw_20},
};

int main(int argc, char **argv)
{
	uint64_t end = number(argc, argv, 1, 2) * 1000 * MS;
	struct draws draws = {.random = cpu_ns(CLOCK_REALTIME) | 1,
			      .quantum = (double)number(argc, argv, 2, 300) * 1000};
	uint64_t spent[PARTS] = {0}, began = cpu_ns(CLOCK_THREAD_CPUTIME_ID);

	draws.now = began;
	draw(&draws);
	while (draws.now - began < end) {
		uint64_t before = draws.now;
		int part = draws.part;

		parts[part].work(&draws);
		spent[part] += draws.now - before;
	}
	printf("{\"functions\": {");
	for (int i = 0; i < PARTS; i++)
		printf("%s\"%s\": %llu", i ? ", " : "", parts[i].name,
		       (unsigned long long)spent[i]);
	printf("}, \"cpu_ns\": %llu}\n", (unsigned long long)(draws.now - began));
	return 0;
}
