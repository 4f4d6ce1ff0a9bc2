/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * heap_churn loop N: N pairs of malloc and free, 16 to 271 bytes.
 * heap_churn rate SECONDS: the loop, and a line a second: nanoseconds of CPU time for a pair.
 * heap_churn strings N: a table of 10,000 strings of 8 to 200 bytes, N of them replaced.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STRINGS 10000

static void loop(long n)
{
	for (long i = 0; i < n; i++) {
		void *pointer = malloc(16 + (size_t)(i & 255));

		__asm__ volatile("" : "+r"(pointer) : : "memory");
		free(pointer);
	}
}

static double cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void rate(long seconds)
{
	for (long i = 0; i < seconds; i++) {
		time_t began = time(NULL);
		double before = cpu_ns();
		long pairs = 0;

		do {
			loop(100000);
			pairs += 100000;
		} while (time(NULL) == began);
		printf("%.3f\n", (cpu_ns() - before) / (double)pairs);
		fflush(stdout);
	}
}

static void strings(long n)
{
	static char *table[STRINGS];
	uint64_t random = 1;

	for (long i = 0; i < n; i++) {
		size_t length, at;

		random = random * 6364136223846793005ULL + 1442695040888963407ULL;
		length = 8 + (random >> 33) % 193;
		at = (random >> 20) % STRINGS;
		free(table[at]);
		table[at] = malloc(length + 1);
		if (!table[at])
			abort();
		memset(table[at], 'x', length);
		table[at][length] = 0;
	}
	for (size_t i = 0; i < STRINGS; i++)
		free(table[i]);
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? strtol(argv[2], NULL, 10) : 1000000;

	if (argc > 1 && !strcmp(argv[1], "strings"))
		strings(n);
	else if (argc > 1 && !strcmp(argv[1], "rate"))
		rate(n);
	else
		loop(n);
	return 0;
}
