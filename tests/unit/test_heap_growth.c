/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether growth is told from what only looks like it, by programs of known habits that are
 * sampled by chance; each verdict by many seeds.
 */
#include <stdio.h>
#include <string.h>

#include "flamegraph/heap_growth.h"
#include "tests/unit/heap_world.h"
#include "tests/unit/suite.h"

#define MS 1000000ULL
#define SEEDS 30
#define INTERVAL 65536.0

/* What it does in each tenth of a second. */
typedef void habit_fn(struct world *w, unsigned tick);

static uint32_t ring[4096];

static void churn(struct world *w)
{
	for (unsigned i = 0; i < 5; i++) {
		uint32_t object = world_alloc(w, 1, 16000);

		world_free(w, object);
	}
}

/* 100 KB/s among 800 KB/s. */
static void leaks(struct world *w, unsigned tick)
{
	(void)tick;
	churn(w);
	for (unsigned i = 0; i < 20; i++)
		world_alloc(w, 2, 500);
}

/* First-in, first-out, 100 KB/s; full after 15 s. */
static void fills(struct world *w, unsigned tick)
{
	for (unsigned i = 0; i < 20; i++) {
		unsigned at = tick * 20 + i, place = at % 3000;

		if (at >= 3000)
			world_free(w, ring[place]);
		ring[place] = world_alloc(w, 2, 500);
	}
}

/* 3 MB in the first 8 s, kept. */
static void starts(struct world *w, unsigned tick)
{
	churn(w);
	for (unsigned i = 0; i < 10 && tick < 80; i++)
		world_alloc(w, 2, 3750);
}

/* Always as much, in other places each time: only fragments. */
static void replaces(struct world *w, unsigned tick)
{
	for (unsigned i = 0; i < 20; i++) {
		unsigned place =
			tick < 100 ? tick * 20 + i : (unsigned)(world_random(w) * 2000) % 2000;

		if (tick >= 100)
			world_free(w, ring[place]);
		ring[place] = world_alloc(w, 2, 900);
	}
}

/* Ever slower: half of what is left of 4 MB every 10 s. */
static void slows(struct world *w, unsigned tick)
{
	unsigned now = (unsigned)(4000 * (1 - exp2(-(double)(tick + 1) / 100)));
	static unsigned had;

	had = tick ? had : 0;
	for (; had < now; had++)
		world_alloc(w, 2, 1000);
}

/* Grows for as long as there is more to do: all is freed after 20 s, though. */
static void queues(struct world *w, unsigned tick)
{
	unsigned place = tick % 4096;

	if (tick >= 200)
		world_free(w, ring[(tick - 200) % 4096]);
	ring[place] = world_alloc(w, 2, 3000 + 40 * tick);
}

static void run(habit_fn *habit, uint64_t seed, unsigned seconds, struct heap_growth *ret)
{
	struct world w;
	struct heap_data data;

	world_init(&w, seed, INTERVAL);
	for (unsigned tick = 0; tick < 10 * seconds; tick++) {
		habit(&w, tick);
		world_wait(&w, 100 * MS);
	}
	data = world_export(&w);
	*ret = (struct heap_growth){0};
	for (size_t i = 0; i < data.sites.count; i++)
		if (data.sites.items[i].stack == 2)
			heap_growth_of(&data, &data.sites.items[i], ret);
	heap_data_deinit(&data);
	world_deinit(&w);
}

static unsigned verdicts(const char *name, habit_fn *habit, unsigned seconds,
			 enum heap_verdict verdict)
{
	unsigned count = 0;

	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct heap_growth growth;

		run(habit, seed, seconds, &growth);
		count += growth.verdict == verdict;
	}
	printf("%s for %u s: %u of %u are said to be %s\n", name, seconds, count, SEEDS,
	       heap_verdict_name(verdict));
	return count;
}

START_TEST(what_leaks_is_said_to)
{
	ck_assert_uint_eq(verdicts("a leak", leaks, 20, HEAP_LEAKS), 0); /* too early */
	ck_assert_uint_ge(verdicts("a leak", leaks, 45, HEAP_LEAKS), SEEDS / 2);
	ck_assert_uint_ge(verdicts("a leak", leaks, 100, HEAP_LEAKS), SEEDS * 9 / 10);
}
END_TEST

START_TEST(what_does_not_is_not)
{
	ck_assert_uint_eq(verdicts("a cache that filled", fills, 45, HEAP_LEAKS), 0);
	ck_assert_uint_eq(verdicts("a cache that filled", fills, 90, HEAP_LEAKS), 0);
	ck_assert_uint_eq(verdicts("a start", starts, 40, HEAP_LEAKS), 0);
	ck_assert_uint_eq(verdicts("replacing", replaces, 60, HEAP_LEAKS), 0);
	ck_assert_uint_eq(verdicts("replacing", replaces, 120, HEAP_LEAKS), 0);
	ck_assert_uint_le(verdicts("what slows down", slows, 60, HEAP_LEAKS), SEEDS / 10);
	ck_assert_uint_eq(verdicts("a queue", queues, 60, HEAP_LEAKS), 0);
}
END_TEST

/* The slope and its interval, of what grows 100 KB/s. */
START_TEST(the_slope_is_right)
{
	double sum = 0, squares = 0, variances = 0;
	unsigned within = 0;

	for (uint64_t seed = 1; seed <= 100; seed++) {
		struct heap_growth growth;
		double off;

		run(leaks, seed, 60, &growth);
		off = growth.slope - 100000;
		sum += off;
		squares += off * off;
		variances += growth.error * growth.error;
		within += fabs(off) <= 1.96 * growth.error;
	}
	printf("slope: bias %+.0f B/s of 100000, standard error %.0f, as estimated %.0f; %u of 100 "
	       "within the interval\n",
	       sum / 100, sqrt(squares / 100), sqrt(variances / 100), within);
	ck_assert(fabs(sum / 100) < 3 * sqrt(squares / 100 / 100));
	ck_assert(variances > 0.75 * squares && variances < 1.35 * squares);
	ck_assert_uint_ge(within, 88);
}
END_TEST

START_TEST(the_evidence_is_in_words)
{
	struct heap_growth growth = {.verdict = HEAP_LEAKS,
				     .slope = 1.02 * 1048576,
				     .error = 0.04 * 1048576,
				     .from_ns = 2000000000,
				     .until_ns = 60000000000,
				     .old = 412};
	struct strbuf text = {0};

	heap_growth_put(&text, &growth);
	ck_assert_str_eq(strbuf_text(&text), "grows 1.02 ± 0.08 MiB/s for 58 s, none of the 412 "
					     "sampled objects older than 10 s was freed");
	growth.verdict = HEAP_GROWS;
	growth.doubt = HEAP_DOUBT_FREED;
	growth.old_freed = 100;
	strbuf_clear(&text);
	heap_growth_put(&text, &growth);
	ck_assert_ptr_nonnull(strstr(strbuf_text(&text), "100 of the 412 sampled"));
	ck_assert_ptr_nonnull(strstr(strbuf_text(&text), "no leak, for old ones are freed"));
	strbuf_deinit(&text);
}
END_TEST

START_TEST(too_little_is_no_verdict)
{
	struct heap_growth growth;
	struct heap_data data = {.frees = true};
	struct heap_site site = {0};

	heap_growth_of(&data, &site, &growth);
	ck_assert_int_eq(growth.verdict, HEAP_UNKNOWN);
	run(leaks, 1, 3, &growth);
	ck_assert_int_eq(growth.verdict, HEAP_UNKNOWN);
}
END_TEST

static Suite *heap_growth_suite(void)
{
	Suite *suite = suite_create("heap_growth");
	TCase *slow = tcase_create("verdicts");

	tcase_set_timeout(slow, 240);
	tcase_add_test(slow, what_leaks_is_said_to);
	tcase_add_test(slow, what_does_not_is_not);
	tcase_add_test(slow, the_slope_is_right);
	suite_add_tcase(suite, slow);
	SUITE_CASE(suite, "words", the_evidence_is_in_words, too_little_is_no_verdict);
	return suite;
}

int main(void)
{
	return suite_main(heap_growth_suite());
}
