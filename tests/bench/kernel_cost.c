/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the kernel takes from a program around perfd's events, seen from within the program:
 *
 *	kernel_cost gaps MILLISECONDS DEPTH [WARM]	looks at the clock all the time, DEPTH calls
 *						deep: where it stands still, somebody else ran;
 *						what is seen in the first WARM milliseconds
 *						does not count
 *	kernel_cost faults ROUNDS		touches 500 pages a round
 *	kernel_cost forks ROUNDS		20 children a round, which end at once
 *	kernel_cost work TURNS			a fixed piece of work
 *
 * A line of JSON. gaps: {"gaps", "gap_ns", "away", "away_ns", "ran_ns"}: gaps are interrupts,
 * what is longer than AWAY_NS is another task's turn. The others: {"at": [...], "ns": [...],
 * "ended"}: when each round began, by CLOCK_MONOTONIC, and what a fault, a child or a turn
 * of it took.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NSEC 1000000000ULL
#define GAP_NS 400u
#define AWAY_NS 150000u
#define PAGE 4096ul
#define PAGES 500ul
#define CHILDREN 20u

struct gaps {
	uint64_t gaps, gap_ns, away, away_ns, ran_ns;
};

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

__attribute__((noinline)) static void watch(struct gaps *gaps, uint64_t ns)
{
	uint64_t began = now(), before = began, time;

	do {
		time = now();
		if (time - before > AWAY_NS) {
			gaps->away++;
			gaps->away_ns += time - before;
		} else if (time - before > GAP_NS) {
			gaps->gaps++;
			gaps->gap_ns += time - before;
		}
		before = time;
	} while (time - began < ns);
	gaps->ran_ns = time - began;
}

/* Each call has a frame of its own: something is done after it that is no arithmetic, which
 * the compiler would make a loop of. */
__attribute__((noinline)) static void descend(const uint64_t ns[2], struct gaps *gaps,
					      uint64_t depth)
{
	if (depth) {
		descend(ns, gaps, depth - 1);
	} else {
		watch(gaps, ns[0]);
		*gaps = (struct gaps){0};
		watch(gaps, ns[1]);
	}
	__asm__ volatile("" : : "r"(depth) : "memory");
}

static void print_gaps(uint64_t ms, uint64_t depth, uint64_t warm_ms)
{
	const uint64_t ns[2] = {warm_ms * 1000000, ms * 1000000};
	struct gaps gaps = {0};

	descend(ns, &gaps, depth);
	printf("{\"gaps\": %" PRIu64 ", \"gap_ns\": %" PRIu64 ", \"away\": %" PRIu64
	       ", \"away_ns\": %" PRIu64 ", \"ran_ns\": %" PRIu64 "}\n",
	       gaps.gaps, gaps.gap_ns, gaps.away, gaps.away_ns, gaps.ran_ns);
}

static uint64_t faults(void)
{
	char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	uint64_t began, took;

	if (memory == MAP_FAILED)
		exit(EXIT_FAILURE);
	madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE);
	began = now();
	for (uint64_t i = 0; i < PAGES; i++)
		*(volatile char *)(memory + i * PAGE) = 1;
	took = now() - began;
	munmap(memory, PAGES * PAGE);
	return took / PAGES;
}

__attribute__((noinline)) static void one_child(void)
{
	pid_t pid = vfork();

	if (!pid)
		_exit(0);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static uint64_t forks(void)
{
	uint64_t began = now();

	for (uint64_t i = 0; i < CHILDREN; i++)
		one_child();
	return (now() - began) / CHILDREN;
}

static uint64_t state = 88172645463325252ull;

/* A table of strings that comes and goes: calls, memory, no input or output. */
static uint64_t work(void)
{
	char *words[500], text[64];
	uint64_t began = now();

	for (int i = 0; i < 20000; i++) {
		char **word = &words[i % 500];

		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		snprintf(text, sizeof(text), "%" PRIu64 " of %d", state, i);
		if (i >= 500)
			free(*word);
		*word = strdup(text);
	}
	for (int i = 0; i < 500; i++)
		free(words[i]);
	return now() - began;
}

static void print_rounds(uint64_t (*round)(void), uint64_t count)
{
	uint64_t *at = calloc(count + 1, sizeof(*at)), *ns = calloc(count + 1, sizeof(*ns));

	if (!at || !ns)
		exit(EXIT_FAILURE);
	for (uint64_t i = 0; i < count; i++) {
		at[i] = now();
		ns[i] = round();
	}
	printf("{\"at\": [");
	for (uint64_t i = 0; i < count; i++)
		printf("%s%" PRIu64, i ? ", " : "", at[i]);
	printf("], \"ns\": [");
	for (uint64_t i = 0; i < count; i++)
		printf("%s%" PRIu64, i ? ", " : "", ns[i]);
	printf("], \"ended\": %" PRIu64 "}\n", now());
	free(at);
	free(ns);
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "";
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100;
	uint64_t (*round)(void) = !strcmp(kind, "faults")  ? faults
				  : !strcmp(kind, "forks") ? forks
							   : work;

	if (!strcmp(kind, "gaps")) {
		print_gaps(count, argc > 3 ? strtoull(argv[3], NULL, 10) : 0,
			   argc > 4 ? strtoull(argv[4], NULL, 10) : 0);
		return 0;
	}
	print_rounds(round, count);
	return 0;
}
