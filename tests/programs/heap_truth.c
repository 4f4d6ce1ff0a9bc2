/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * heap_truth FIRST SEEDS STEPS [fail] [rates] [fork]: a program that counts its own allocations, by
 * seed and place, to be profiled from a line on standard input on. A seed's run has two
 * threads at once, then two others that own what the first ones left, and each step
 * allocates 8 bytes to 1 MiB, resizes, or frees. What is left at the end stays in use.
 *
 *	fail	some calls of realloc() fail
 *	rates	libperfd-heap.so's interval changes in mid-run
 *	fork	a child runs as many seeds, beside its parent
 *	every N	the interval is N, where it is not libperfd-heap.so's
 *
 * The stack of an allocation says which it is: hundreds_H, tens_T, ones_O are the seed (a
 * child's are 500 more), site_N the place. Prints a line "seed site objects bytes
 * live_objects live_bytes" each, then the variance that an estimate of each of these has by the
 * interval that held for each allocation (0: no interval is known), and "end"; the child's come
 *first.
 */
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/heap/control.h"

#define SITES 8
#define CELLS 24 /* of a thread, in use at once */
#define CHILD 500
#define SEEDS_MAX 400

enum { OBJECTS, BYTES, LIVE_OBJECTS, LIVE_BYTES, FIGURES };

struct truth {
	int64_t figures[FIGURES];
	double variances[FIGURES];
};

struct cell {
	void *pointer;
	size_t size;
	int site;
	double variance; /* of the number one that it is estimated by */
};

struct run { /* of a thread */
	uint64_t random;
	int seed, steps;
	struct cell *cells; /* CELLS */
	struct truth truth[SITES];
};

static struct heap_control *control;
static uint64_t every;
static bool failing;

static uint64_t draw(struct run *run, uint64_t below)
{
	run->random = run->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (run->random >> 33) % below;
}

/* Small, large, a mix over all, powers of two, one size only. */
static size_t size_at(struct run *run, int site)
{
	switch (site) {
	case 0:
		return 8 + draw(run, 57);
	case 1:
		return 100 + draw(run, 4000);
	case 2:
		return 65536 + draw(run, 983041);
	case 3:
		return 8ULL << draw(run, 18);
	case 4:
		return 24;
	case 5:
		return 4096;
	case 6:
		return draw(run, 100) ? 16 : 1 << 20;
	default:
		return 8 + draw(run, 1 + (1ULL << draw(run, 20)));
	}
}

/* It is a sample with a probability of p, and stands for 1 / p then: variance 1 / p - 1. */
static double variance_of(size_t size)
{
	uint64_t interval = control ? __atomic_load_n(&control->interval, __ATOMIC_RELAXED) : every;

	return interval ? 1 / -expm1(-(double)size / (double)interval) - 1 : 0;
}

static void count(struct truth *truth, const struct cell *cell, int live, int all)
{
	double size = (double)cell->size;
	const double each[FIGURES] = {all, all * size, live, live * size};
	const double squares[FIGURES] = {all, all * size * size, live, live * size * size};

	for (int i = 0; i < FIGURES; i++) {
		truth->figures[i] += (int64_t)each[i];
		truth->variances[i] += squares[i] * cell->variance;
	}
}

static void born(struct run *run, struct cell *cell, void *pointer, size_t size, int site)
{
	*cell = (struct cell){pointer, size, site, variance_of(size)};
	count(&run->truth[site], cell, 1, 1);
}

/* Its birth may be in another thread's count: the sums are right. */
static void died(struct run *run, struct cell *cell)
{
	count(&run->truth[cell->site], cell, -1, 0);
	cell->pointer = NULL;
}

static void allocate(struct run *run, struct cell *cell, int site)
{
	size_t size = size_at(run, site);
	void *pointer = NULL;

	switch (draw(run, 4)) {
	case 0:
		pointer = calloc(1, size);
		break;
	case 1:
		if (posix_memalign(&pointer, 64, size))
			abort();
		break;
	default:
		pointer = malloc(size);
	}
	if (!pointer)
		abort();
	__asm__ volatile("" : : "r"(pointer) : "memory");
	born(run, cell, pointer, size, site);
}

static void resize(struct run *run, struct cell *cell, int site)
{
	size_t size = size_at(run, site);
	void *pointer;

	if (failing && draw(run, 8) == 0 && realloc(cell->pointer, SIZE_MAX / 4))
		abort();
	pointer = realloc(cell->pointer, size);
	if (!pointer)
		abort();
	died(run, cell);
	born(run, cell, pointer, size, site);
}

typedef void place_fn(struct run *run, struct cell *cell, int site);

#define SITE(n)                                                                                    \
	__attribute__((noinline)) static void site_##n(struct run *run, struct cell *cell)         \
	{                                                                                          \
		place_fn *how = cell->pointer ? resize : allocate;                                 \
		how(run, cell, n);                                                                 \
		__asm__ volatile("" : : : "memory");                                               \
	}
SITE(0)
SITE(1)
SITE(2)
SITE(3)
SITE(4)
SITE(5)
SITE(6)
SITE(7)

static void (*const sites[SITES])(struct run *, struct cell *) = {site_0, site_1, site_2, site_3,
								  site_4, site_5, site_6, site_7};

static void change_rate(struct run *run)
{
	static const uint64_t intervals[] = {512, 128, 2048, 0, 256, 1024};

	__atomic_store_n(&control->interval, intervals[draw(run, 6)], __ATOMIC_RELAXED);
	__atomic_fetch_add(&control->changes, 1, __ATOMIC_RELEASE);
}

static void work(struct run *run)
{
	for (int i = 0; i < run->steps; i++) {
		struct cell *cell = &run->cells[draw(run, CELLS)];

		if (control && draw(run, 100) == 0)
			change_rate(run);
		if (cell->pointer && draw(run, 10) < 7) {
			free(cell->pointer);
			died(run, cell);
		} else {
			sites[draw(run, SITES)](run, cell);
		}
	}
}

/* ---- the seed's digits, as functions ---- */

#define DIGIT(name, n, next, digit)                                                                \
	__attribute__((noinline)) static void name##_##n(struct run *run)                          \
	{                                                                                          \
		next(run, digit);                                                                  \
		__asm__ volatile("" : : : "memory");                                               \
	}
#define DIGITS(name, next, digit)                                                                  \
	DIGIT(name, 0, next, digit)                                                                \
	DIGIT(name, 1, next, digit)                                                                \
	DIGIT(name, 2, next, digit)                                                                \
	DIGIT(name, 3, next, digit)                                                                \
	DIGIT(name, 4, next, digit)                                                                \
	DIGIT(name, 5, next, digit)                                                                \
	DIGIT(name, 6, next, digit)                                                                \
	DIGIT(name, 7, next, digit)                                                                \
	DIGIT(name, 8, next, digit)                                                                \
	DIGIT(name, 9, next, digit)                                                                \
	static void (*const name##_all[10])(struct run *) = {                                      \
		name##_0, name##_1, name##_2, name##_3, name##_4,                                  \
		name##_5, name##_6, name##_7, name##_8, name##_9};                                 \
	static void name(struct run *run, int which)                                               \
	{                                                                                          \
		name##_all[which](run);                                                            \
	}

static void last(struct run *run, int none)
{
	(void)none;
	work(run);
}

DIGITS(ones, last, 0)
DIGITS(tens, ones, run->seed % 10)
DIGITS(hundreds, tens, run->seed / 10 % 10)

static void *run_thread(void *context)
{
	struct run *run = context;

	hundreds(run, run->seed / 100);
	return NULL;
}

static void run_seed(int seed, int steps, struct truth *truth)
{
	struct cell *cells = calloc(2 * CELLS, sizeof(*cells));
	struct run runs[4] = {0};
	pthread_t threads[2];

	if (!cells)
		abort();
	for (int turn = 0; turn < 2; turn++) {
		for (int i = 0; i < 2; i++) {
			struct run *run = &runs[2 * turn + i];

			run->random = ((uint64_t)seed * 4 + (uint64_t)(2 * turn + i)) *
				      0x9e3779b97f4a7c15ULL;
			run->seed = seed;
			run->steps = steps / 4;
			run->cells = &cells[(turn ? 1 - i : i) * CELLS];
			if (pthread_create(&threads[i], NULL, run_thread, run))
				abort();
		}
		for (int i = 0; i < 2; i++)
			pthread_join(threads[i], NULL);
	}
	for (int i = 0; i < 4; i++) {
		for (int site = 0; site < SITES; site++) {
			for (int n = 0; n < FIGURES; n++) {
				const struct truth *one = &runs[i].truth[site];

				truth[site].figures[n] += one->figures[n];
				truth[site].variances[n] += one->variances[n];
			}
		}
	}
	free(cells);
}

/* A run is not to fill a ring before it is read: it waits a little after each seed. */
static void run_all(int first, int seeds, int steps)
{
	static struct truth truth[SEEDS_MAX][SITES];

	for (int i = 0; i < seeds; i++) {
		run_seed(first + i, steps, truth[i]);
		usleep(3000);
	}
	for (int i = 0; i < seeds; i++) {
		for (int site = 0; site < SITES; site++) {
			const struct truth *t = &truth[i][site];

			printf("%d %d", first + i, site);
			for (int n = 0; n < FIGURES; n++)
				printf(" %lld", (long long)t->figures[n]);
			for (int n = 0; n < FIGURES; n++)
				printf(" %.6g", fmax(t->variances[n], 0));
			puts("");
		}
	}
}

int main(int argc, char **argv)
{
	static char lines[1 << 20];
	int first = argc > 1 ? atoi(argv[1]) : 0, seeds = argc > 2 ? atoi(argv[2]) : 10;
	int steps = argc > 3 ? atoi(argv[3]) : 1000;
	bool forks = false;
	pid_t child = 0;

	if (first < 0 || seeds < 1 || first + seeds > SEEDS_MAX)
		return 2;
	for (int i = 4; i < argc; i++) {
		failing |= !strcmp(argv[i], "fail");
		forks |= !strcmp(argv[i], "fork");
		if (!strcmp(argv[i], "every") && i + 1 < argc)
			every = strtoull(argv[++i], NULL, 10);
		if (!strcmp(argv[i], "rates"))
			control = dlsym(RTLD_DEFAULT, "perfd_heap_control");
	}
	if (getchar() == EOF)
		return 1;
	if (forks) {
		child = fork();
		if (child < 0)
			return 1;
	}
	if (forks && !child) {
		run_all(CHILD + first, seeds, steps);
		return 0;
	}
	/* The parent's own runs wait for nobody, but its lines do. (Without a buffer of ours the C
	 * library takes a page of its own, and lines of both were mixed.) */
	if (forks)
		setvbuf(stdout, lines, _IOFBF, sizeof(lines));
	run_all(first, seeds, steps);
	if (forks)
		waitpid(child, NULL, 0);
	puts("end");
	return 0;
}
