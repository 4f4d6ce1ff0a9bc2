/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * shares [CPU_SECONDS] [QUANTUM_MS]: three functions that take 50, 30 and 20 % of
 * its CPU time, in quanta by its own CPU clock, interleaved. Prints at the end
 * how much each really took, as JSON.
 *
 * Quanta are of random length (half to one and a half times QUANTUM_MS): with
 * equal ones the program's rhythm can fall into step with the sampling clock, and
 * then the same part of it is hit again and again.
 */
#include "tests/programs/burn.h"

static void work_50(uint64_t ns)
{
	BURN(ns);
}

static void work_30(uint64_t ns)
{
	BURN(ns);
}

static void work_20(uint64_t ns)
{
	BURN(ns);
}

static const struct {
	const char *name;
	void (*work)(uint64_t ns);
	unsigned percent;
} parts[] = {{"work_50", work_50, 50}, {"work_30", work_30, 30}, {"work_20", work_20, 20}};

enum { PARTS = sizeof(parts) / sizeof(parts[0]) };

int main(int argc, char **argv)
{
	uint64_t seconds = number(argc, argv, 1, 10), quantum = number(argc, argv, 2, 5) * MS;
	uint64_t spent[PARTS] = {0}, total = 0, random = cpu_ns(CLOCK_REALTIME) | 1;

	while (total < seconds * 1000 * MS) {
		int next = 0;
		uint64_t before;

		/* Whoever is the furthest behind its share. */
		for (int i = 1; i < PARTS; i++) {
			if (spent[i] * parts[next].percent < spent[next] * parts[i].percent)
				next = i;
		}
		before = cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		parts[next].work(quantum / 2 + random % (quantum + 1));
		before = cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - before;
		spent[next] += before;
		total += before;
	}
	printf("{\"functions\": {");
	for (int i = 0; i < PARTS; i++)
		printf("%s\"%s\": %llu", i ? ", " : "", parts[i].name,
		       (unsigned long long)spent[i]);
	printf("}, \"cpu_ns\": %llu}\n", (unsigned long long)cpu_ns(CLOCK_PROCESS_CPUTIME_ID));
	return 0;
}
