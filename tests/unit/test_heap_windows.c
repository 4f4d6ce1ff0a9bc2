/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Windows of probes on a simulated process: it allocates in phases, each with a rate of its own, is
 * slowed by the probes while they are in, and has a CPU only now and then. What the windows say of
 * all of a session is held against what it did, over many sessions.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/heap_windows.h"
#include "tests/unit/suite.h"

#define MS ((double)NSEC_PER_MSEC)
#define SECOND ((double)NSEC_PER_SEC)
#define KINDS 3
#define SITE(kind) ((uint32_t)(kind))

/* A process. Times in ns. */
struct world {
	uint64_t seed;
	double now; /* wall */
	double own, cpu, hits;
	double hit_ns; /* what a hit costs it */
	double rates[KINDS]; /* calls, of two hits each, in a ns of its own */
	double phase_ns; /* mean, of its own time */
	double left; /* of the present one */
	int kind;
	double on_ns, off_ns; /* it has a CPU so long, and then none, on average; 0: always */
	double slice; /* what is left of either */
	bool on;
	double calls[KINDS];
};

static double chance(struct world *world)
{
	world->seed = world->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (double)((world->seed >> 11) + 1) / (double)(1ULL << 53);
}

static double exponential(struct world *world, double mean)
{
	return -mean * log(chance(world));
}

static void next_phase(struct world *world)
{
	world->kind = (int)(chance(world) * KINDS) % KINDS;
	world->left = exponential(world, world->phase_ns);
}

/* So long passes, with probes or without; what it calls is added to `calls`. */
static void pass(struct world *world, double wall, bool probed, double *calls)
{
	double end = world->now + wall;

	while (world->now < end) {
		double step = end - world->now, slowed, own;

		if (world->left <= 0)
			next_phase(world);
		if (world->on_ns > 0 && world->slice <= 0) {
			world->on = !world->on;
			world->slice = exponential(world, world->on ? world->on_ns : world->off_ns);
		}
		if (world->on_ns > 0)
			step = fmin(step, world->slice);
		if (world->on_ns > 0 && !world->on) {
			world->slice -= step;
			world->now += step;
			continue;
		}
		slowed = probed ? 1 + 2 * world->rates[world->kind] * world->hit_ns : 1;
		own = fmin(step / slowed, world->left);
		step = own * slowed;
		world->left -= own;
		world->own += own;
		world->cpu += step;
		world->slice -= step;
		world->now += step + 1e-6;
		world->hits += probed ? 2 * world->rates[world->kind] * own : 0;
		world->calls[world->kind] += world->rates[world->kind] * own;
		if (calls)
			calls[world->kind] += world->rates[world->kind] * own;
	}
}

/* What perfd does with it. */
struct look {
	double hit_ns; /* what it takes a hit to cost */
	double share; /* of its time */
	double late; /* ns: so late it looks, on average */
	double end; /* of the session */
	double told[KINDS];
	int turns;
	double cost; /* of all, ns */
};

static struct heap_spent spent_of(const struct world *world, const struct look *look)
{
	return (struct heap_spent){.cpu = (uint64_t)world->cpu + 1,
				   .probes = (uint64_t)(world->hits * look->hit_ns)};
}

/* One window's part, as one sample a kind: enough, for here nothing is left to the sampling. */
static void watch(struct world *world, struct heap_windows *windows, struct look *look, double wall)
{
	double calls[KINDS] = {0};

	pass(world, wall, true, calls);
	for (int kind = 0; kind < KINDS; kind++) {
		struct heap_seen seen = {.time = (uint64_t)world->now - 1,
					 .bytes = (uint64_t)calls[kind],
					 .count = (uint64_t)calls[kind],
					 .life = HEAP_LIFE_UNKNOWN,
					 .stack = SITE(kind)};

		look->told[kind] += calls[kind];
		heap_windows_saw(windows, &seen);
	}
}

static void repeat_first(struct heap_windows *windows, struct look *look, uint64_t since)
{
	const struct heap_part *first = heap_windows_first(windows);
	double times = heap_windows_repeats(windows, first, since);

	for (size_t i = 0; i < windows->seen.count; i++)
		if (windows->seen.items[i].time >= first->from &&
		    windows->seen.items[i].time < first->until)
			look->told[windows->seen.items[i].stack] +=
				times * (double)windows->seen.items[i].bytes;
}

/* As heap_follow.c has it: until the next one is due. */
static void turn(struct world *world, struct heap_windows *windows, struct look *look,
		 uint64_t since)
{
	struct heap_spent spent = spent_of(world, look);
	double before = world->hits, began = world->now, cost;
	uint64_t end;

	pass(world, 1 * MS, true, NULL); /* they go in */
	spent = spent_of(world, look);
	end = heap_windows_open(windows, (uint64_t)world->now, &spent, look->share);
	watch(world, windows, look, (double)end - world->now + exponential(world, look->late));
	for (;;) {
		spent = spent_of(world, look);
		end = heap_windows_wait(windows, (uint64_t)world->now, &spent);
		if (!end)
			break;
		watch(world, windows, look,
		      (double)end - world->now + exponential(world, look->late));
	}
	heap_windows_part(windows, (uint64_t)world->now, &spent);
	heap_windows_close(windows, (uint64_t)world->now, (uint64_t)(world->now + MS), &spent);
	watch(world, windows, look, 1 * MS);
	pass(world, 5 * MS, true, NULL); /* they go out */
	if (heap_windows_due(windows, (uint64_t)world->now))
		repeat_first(windows, look, since);
	cost = (world->hits - before) * look->hit_ns;
	heap_windows_charge(windows, (uint64_t)cost);
	look->cost += cost;
	look->turns++;
	pass(world,
	     fmax(fmin(began + cost / look->share * (0.8 + 0.4 * chance(world)), look->end) -
			  world->now,
		  0),
	     false, NULL);
}

/* A session of so long; it ends whenever that is. */
static void session(struct world *world, struct look *look, double length)
{
	struct heap_spent spent = spent_of(world, look);
	double begin = world->now;
	struct heap_windows windows;
	struct heap_rest rest;
	uint64_t since = (uint64_t)world->now;

	memset(world->calls, 0, sizeof(world->calls));
	heap_windows_init(&windows, since, &spent);
	look->end = begin + length;
	pass(world, 30 * MS, false, NULL);
	while (world->now < look->end)
		turn(world, &windows, look, since);
	spent = spent_of(world, look);
	rest = heap_windows_rest(&windows, since, (uint64_t)world->now, &spent);
	for (size_t i = 0; i < windows.seen.count; i++) {
		const struct heap_seen *seen = &windows.seen.items[i];
		const struct heap_part *part = heap_windows_at(&windows, seen->time);

		if (part && seen->time >= rest.from)
			look->told[seen->stack] += rest.times *
						   heap_windows_rate(&windows, part, since) *
						   (double)seen->bytes;
	}
	heap_windows_deinit(&windows);
}

/* ---- many sessions ---- */

struct figure {
	double sum, squares, truth;
};

struct outcome {
	struct figure figures[KINDS];
	double turns, share; /* of a session; of the time that probes cost */
	int count;
};

static struct outcome campaign(const struct world *start, const struct look *how, double length,
			       int count)
{
	struct outcome outcome = {.count = count};
	double cost = 0, wall = 0;

	for (int i = 0; i < count; i++) {
		struct world world = *start;
		struct look look = *how;
		double began;

		world.seed = (uint64_t)i * 7919 + 12345;
		chance(&world);
		pass(&world, 50 * MS, false, NULL);
		began = world.now;
		session(&world, &look, length);
		for (int kind = 0; kind < KINDS; kind++) {
			struct figure *figure = &outcome.figures[kind];
			double off = look.told[kind] - world.calls[kind];

			figure->sum += off;
			figure->squares += off * off;
			figure->truth += world.calls[kind];
		}
		outcome.turns += (double)look.turns / count;
		cost += look.cost;
		wall += world.now - began;
	}
	outcome.share = cost / wall;
	return outcome;
}

/* Of each kind: within three standard errors, or closer to the truth than `exact` (of it). */
static void check_unbiased(const char *name, const struct outcome *outcome, double exact)
{
	printf("%s: %.1f windows a session, %.2f %% of the time", name, outcome->turns,
	       100 * outcome->share);
	for (int kind = 0; kind < KINDS; kind++) {
		const struct figure *figure = &outcome->figures[kind];
		double mean = figure->sum / outcome->count;
		double truth = figure->truth / outcome->count;
		double deviation = sqrt(figure->squares / outcome->count - mean * mean);
		double error = deviation / sqrt(outcome->count);

		printf("; %+.1f %% (%+.1f errors, of one session %.0f %%)", 100 * mean / truth,
		       mean / error, 100 * deviation / truth);
		ck_assert_msg(fabs(mean) < 3 * error || fabs(mean) < exact * truth,
			      "%s: kind %d is off by %.3f", name, kind, mean / truth);
	}
	printf("\n");
}

/* Up to 1.6 million calls in a second of its own, which probes slow four times. */
static const struct world heavy = {
	.hit_ns = 900,
	.rates = {1.6e-3, 0.33e-3, 0.16e-3},
	.phase_ns = 3 * MS,
};
static const struct look usual = {.hit_ns = 900, .share = 0.01, .late = 0.3 * MS};

/* As many windows as a short session needs, and not more than may be paid. */
START_TEST(short_sessions)
{
	struct outcome outcome = campaign(&heavy, &usual, 4 * SECOND, 2000);
	struct world light = heavy;

	check_unbiased("heavy", &outcome, 0.05);
	ck_assert_double_ge(outcome.turns, 4);
	ck_assert_double_le(outcome.share, 0.02); /* the last one is not rested for */
	for (int kind = 0; kind < KINDS; kind++)
		light.rates[kind] /= 10;
	outcome = campaign(&light, &usual, 4 * SECOND, 2000);
	check_unbiased("light", &outcome, 0.02);
	ck_assert_double_ge(outcome.turns, 10);
	ck_assert_double_le(outcome.share, 0.012);
}
END_TEST

START_TEST(long_sessions)
{
	struct outcome outcome = campaign(&heavy, &usual, 60 * SECOND, 500);

	check_unbiased("a minute", &outcome, 0.02);
	ck_assert_double_le(outcome.share, 0.0105);
}
END_TEST

/* Nothing but malloc and free, which is slowed a hundred times: what it says is too little, and
 * what it costs is within the budget all the same. */
START_TEST(a_loop_of_nothing_else)
{
	struct world loop = heavy;
	struct outcome outcome;

	for (int kind = 0; kind < KINDS; kind++)
		loop.rates[kind] = 55e-3;
	outcome = campaign(&loop, &usual, 60 * SECOND, 50);
	printf("a loop: %.1f windows, %.2f %% of the time\n", outcome.turns, 100 * outcome.share);
	ck_assert_double_le(outcome.share, 0.0112);
	ck_assert_double_ge(outcome.turns, 15);
}
END_TEST

/* It has a CPU half of the time only, in slices. */
START_TEST(without_a_cpu)
{
	struct world contended = heavy;
	struct outcome outcome;

	contended.on_ns = contended.off_ns = 4 * MS;
	outcome = campaign(&contended, &usual, 4 * SECOND, 2000);
	check_unbiased("contended", &outcome, 0.05);
	contended.on_ns = 2 * MS;
	contended.off_ns = 38 * MS;
	outcome = campaign(&contended, &usual, 20 * SECOND, 1000);
	check_unbiased("mostly waiting", &outcome, 0.05);
}
END_TEST

/* Phases that last as long as rests are the worst case: after a heavy one there is a long rest,
 * whose end has little to do with its beginning. They come out a tenth too small. */
START_TEST(long_phases)
{
	struct world world = heavy;
	struct outcome outcome;

	world.phase_ns = 50 * MS;
	outcome = campaign(&world, &usual, 4 * SECOND, 2000);
	check_unbiased("phases of 50 ms", &outcome, 0.08);
	world.phase_ns = SECOND;
	outcome = campaign(&world, &usual, 60 * SECOND, 1000);
	check_unbiased("phases of a second", &outcome, 0.15);
}
END_TEST

/* The machine is busy, perfd looks late, and a hit costs a little more than it was measured. */
START_TEST(what_is_not_exact)
{
	struct look look = usual;
	struct outcome outcome;

	/* Of what is slowed four times, a hit's cost counts three times. */
	look.hit_ns = 0.97 * heavy.hit_ns;
	outcome = campaign(&heavy, &look, 4 * SECOND, 2000);
	check_unbiased("hits cost 3 % more", &outcome, 0.1);
	look = usual;
	look.late = 10 * MS;
	outcome = campaign(&heavy, &look, 4 * SECOND, 2000);
	check_unbiased("late by 10 ms", &outcome, 0.1);
}
END_TEST

/* ---- one after another ---- */

static const struct heap_spent nothing = {.cpu = 1};

static void see(struct heap_windows *windows, uint64_t time, uint64_t address)
{
	heap_windows_saw(windows, &(struct heap_seen){.time = time,
						      .address = address,
						      .bytes = 100,
						      .count = 1,
						      .life = HEAP_LIFE_UNKNOWN});
}

/* Each moment has something that stands for it, once. */
START_TEST(all_of_the_time)
{
	const uint64_t ms = NSEC_PER_MSEC;
	struct heap_windows windows;
	struct heap_spent spent = nothing;
	const struct heap_part *first;
	struct heap_rest rest;
	uint64_t whole, observed;

	heap_windows_init(&windows, 1000 * ms, &spent);
	rest = heap_windows_rest(&windows, 0, 1100 * ms, &spent);
	ck_assert_double_eq(rest.times, 0);
	spent.cpu += 100 * ms;
	ck_assert_uint_eq(heap_windows_open(&windows, 1100 * ms, &spent, 0.01),
			  1100 * ms + HEAP_FIRST_NS);
	see(&windows, 1100 * ms + 1, 64);
	/* It goes on until the process had two milliseconds for itself. */
	spent.cpu += 1 * ms;
	ck_assert_uint_eq(heap_windows_wait(&windows, 1101 * ms, &spent), 1102 * ms);
	spent.cpu += 1 * ms;
	spent.probes += 1 * ms;
	ck_assert_uint_eq(heap_windows_wait(&windows, 1102 * ms, &spent), 1103 * ms);
	spent.cpu += 1 * ms;
	ck_assert_uint_eq(heap_windows_wait(&windows, 1103 * ms, &spent), 0);
	heap_windows_freed(&windows, 64, 1102 * ms + 1);
	ck_assert(!heap_windows_due(&windows, 2000 * ms));
	heap_windows_part(&windows, 1103 * ms, &spent);
	ck_assert(!heap_windows_due(&windows, 1102 * ms));
	ck_assert(heap_windows_due(&windows, 1103 * ms));
	ck_assert(!heap_windows_due(&windows, 1103 * ms));
	ck_assert_uint_eq(windows.seen.items[0].life, 2 * ms);
	first = heap_windows_at(&windows, 1101 * ms);
	ck_assert_ptr_eq(first, heap_windows_first(&windows));
	ck_assert_double_eq_tol(heap_windows_repeats(&windows, first, 0), 50, 1e-9);
	/* Somebody who came in the middle of the gap, and in the window. */
	ck_assert_double_eq_tol(heap_windows_repeats(&windows, first, 1050 * ms), 25, 1e-9);
	ck_assert_double_eq(heap_windows_repeats(&windows, first, 1101 * ms), 0);

	/* What comes after the first part stands for itself. */
	spent.cpu += 97 * ms;
	heap_windows_close(&windows, 1200 * ms, 1201 * ms, &spent);
	ck_assert_double_eq(heap_windows_repeats(&windows, heap_windows_at(&windows, 1150 * ms), 0),
			    0);
	ck_assert_ptr_null(heap_windows_at(&windows, 1201 * ms));
	heap_windows_progress(&windows, 1300 * ms, &whole, &observed);
	ck_assert_uint_eq(whole, 300 * ms);
	ck_assert_uint_eq(observed, 101 * ms);

	/* At the end: half a second, beside the 200 ms that are known. */
	spent.cpu += 501 * ms;
	rest = heap_windows_rest(&windows, 0, 1701 * ms, &spent);
	ck_assert_uint_eq(rest.from, 1100 * ms);
	ck_assert_double_eq_tol(rest.times, 500 / 199.7, 0.02);
	ck_assert_double_eq_tol(heap_windows_rate(&windows, first, 0), 51, 1e-9);
	/* Its clock is gone: as much of the time as before. */
	rest = heap_windows_rest(&windows, 0, 1701 * ms, &(struct heap_spent){0});
	ck_assert_double_eq_tol(rest.times, 500 / 199.7, 0.02);
	heap_windows_deinit(&windows);
}
END_TEST

/* A window in which the process had no CPU says nothing: the next one stands for all. */
START_TEST(a_window_without_anything)
{
	const uint64_t ms = NSEC_PER_MSEC;
	struct heap_windows windows;
	struct heap_spent spent = nothing;

	heap_windows_init(&windows, 1000 * ms, &spent);
	spent.cpu += 50 * ms;
	heap_windows_open(&windows, 1100 * ms, &spent, 0.01);
	ck_assert_uint_ne(heap_windows_wait(&windows, 1349 * ms, &spent), 0);
	ck_assert_uint_eq(heap_windows_wait(&windows, 1350 * ms, &spent), 0);
	heap_windows_close(&windows, 1350 * ms, 1350 * ms, &spent);
	ck_assert(!heap_windows_due(&windows, 2000 * ms));
	spent.cpu += 30 * ms;
	heap_windows_open(&windows, 1400 * ms, &spent, 0.01);
	spent.cpu += 20 * ms;
	heap_windows_part(&windows, 1420 * ms, &spent);
	ck_assert_double_eq_tol(heap_windows_repeats(&windows, heap_windows_first(&windows), 0), 4,
				1e-9);
	heap_windows_deinit(&windows);
}
END_TEST

/* Nothing of an old program stands for a new one's time, nor the other way round. */
START_TEST(another_program)
{
	const uint64_t ms = NSEC_PER_MSEC;
	struct heap_windows windows;
	struct heap_spent spent = nothing;
	struct heap_rest rest;

	heap_windows_init(&windows, 1000 * ms, &spent);
	heap_windows_open(&windows, 1000 * ms, &spent, 0.01);
	see(&windows, 1001 * ms, 0);
	spent.cpu += 5 * ms;
	heap_windows_close(&windows, 1005 * ms, 1006 * ms, &spent);
	spent.cpu += 500 * ms;
	heap_windows_restart(&windows, 1500 * ms, &spent);
	spent.cpu += 10 * ms;
	rest = heap_windows_rest(&windows, 0, 1510 * ms, &spent);
	ck_assert_double_eq(rest.times, 0);
	heap_windows_open(&windows, 1510 * ms, &spent, 0.01);
	spent.cpu += 5 * ms;
	heap_windows_part(&windows, 1515 * ms, &spent);
	ck_assert_double_eq_tol(heap_windows_repeats(&windows, heap_windows_first(&windows), 0), 2,
				1e-9);
	heap_windows_deinit(&windows);
}
END_TEST

/* More samples than are remembered: what is left stands for less of its window. */
START_TEST(more_than_are_remembered)
{
	const uint64_t ms = NSEC_PER_MSEC;
	struct heap_windows windows;
	struct heap_spent spent = nothing;
	double told = 0;

	heap_windows_init(&windows, 1000 * ms, &spent);
	spent.cpu += 90 * ms;
	heap_windows_open(&windows, 1090 * ms, &spent, 0.01);
	for (uint64_t i = 0; i < 3 * HEAP_SEEN_MAX; i++)
		see(&windows, 1090 * ms + i * 10 * ms / (3 * HEAP_SEEN_MAX), 0);
	spent.cpu += 10 * ms;
	heap_windows_part(&windows, 1100 * ms, &spent);
	ck_assert_uint_le(windows.seen.count, HEAP_SEEN_MAX);
	for (size_t i = 0; i < windows.seen.count; i++)
		told += heap_windows_repeats(&windows, heap_windows_first(&windows), 0);
	ck_assert_double_eq_tol(told / (3 * HEAP_SEEN_MAX), 9, 0.01);
	heap_windows_deinit(&windows);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("heap_windows");

	SUITE_CASE(suite, "steps", all_of_the_time, a_window_without_anything, another_program,
		   more_than_are_remembered);
	SUITE_CASE(suite, "sessions", short_sessions, long_sessions, a_loop_of_nothing_else,
		   without_a_cpu, long_phases, what_is_not_exact);
	return suite_main(suite);
}
