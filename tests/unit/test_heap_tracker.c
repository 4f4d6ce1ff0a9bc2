/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The tracker of what is in use: by hand, and by 400 runs of samples beside the exact truth.
 */
#include <stdio.h>

#include "tests/unit/heap_world.h"
#include "tests/unit/suite.h"

#define MS 1000000ULL
#define RUNS 400

START_TEST(all_samples_give_the_truth)
{
	struct world w;
	struct heap_data data;
	const struct heap_site *site;
	uint32_t a, b, c;

	world_init(&w, 1, 0);
	a = world_alloc(&w, 1, 100);
	b = world_alloc(&w, 1, 24);
	c = world_alloc(&w, 2, 5000);
	world_wait(&w, MS / 2);
	world_free(&w, b);
	world_wait(&w, 30 * MS);
	world_free(&w, c);
	data = world_export(&w);
	site = world_site(&data, 1);
	ck_assert_uint_eq(site->live.bytes, 100);
	ck_assert_uint_eq(site->live.count, HEAP_COUNT_SCALE);
	ck_assert_uint_eq(site->alloc.bytes, 124);
	ck_assert_uint_eq(site->temporary.bytes, 24);
	ck_assert_uint_eq(site->sizes[6], HEAP_COUNT_SCALE);
	ck_assert_uint_eq(site->sizes[4], HEAP_COUNT_SCALE);
	ck_assert_uint_eq(site->lives[heap_bucket(MS / 2)], HEAP_COUNT_SCALE);
	ck_assert_uint_eq(heap_histogram_total(site->ages), HEAP_COUNT_SCALE);
	ck_assert(heap_sum_bytes_error(&site->live) == 0);
	ck_assert_uint_eq(world_site(&data, 2)->live.bytes, 0);
	ck_assert_uint_eq(world_site(&data, 2)->peak.bytes, 5000);
	ck_assert_uint_eq(site->peak.bytes, 124);
	ck_assert(data.frees);
	heap_data_deinit(&data);
	(void)a;
	world_deinit(&w);
}
END_TEST

/* The caller's stacks get other numbers in the middle of it. */
START_TEST(stacks_are_renumbered)
{
	const uint32_t stacks[] = {7, 1};
	struct heap_data data;
	struct world w;

	world_init(&w, 1, 0);
	world_alloc(&w, 1, 100);
	world_alloc(&w, 2, 1000);
	ck_assert_int_eq(heap_tracker_renumber(&w.tracker, stacks), 0);
	world_alloc(&w, 7, 20);
	world_alloc(&w, 1, 3000);
	data = world_export(&w);
	ck_assert_uint_eq(data.sites.count, 2);
	ck_assert_uint_eq(world_site(&data, 7)->live.bytes, 120);
	ck_assert_uint_eq(world_site(&data, 1)->live.bytes, 4000);
	heap_data_deinit(&data);
	ck_assert_int_eq(heap_tracker_renumber(&w.tracker, NULL), 0);
	data = world_export(&w);
	ck_assert_uint_eq(data.sites.items[0].stack, UINT32_MAX);
	heap_data_deinit(&data);
	world_deinit(&w);
}
END_TEST

/* Each site's share is what it had at that moment, whatever came after or before. */
START_TEST(the_peak_is_of_one_moment)
{
	struct world w;
	struct heap_data data;
	uint32_t objects[100], late;

	world_init(&w, 1, 0);
	for (unsigned i = 0; i < 100; i++)
		objects[i] = world_alloc(&w, 1 + i % 3, 1000);
	world_wait(&w, 5 * WORLD_SECOND);
	for (unsigned i = 0; i < 50; i++)
		world_free(&w, objects[i]);
	late = world_alloc(&w, 4, 49999);
	world_wait(&w, WORLD_SECOND);
	data = world_export(&w);
	ck_assert_uint_eq(data.peak_ns, 0); /* at the very beginning */
	ck_assert_uint_eq(world_site(&data, 1)->peak.bytes, 34000);
	ck_assert_uint_eq(world_site(&data, 2)->peak.bytes, 33000);
	ck_assert_uint_eq(world_site(&data, 4)->peak.bytes, 0);
	heap_data_deinit(&data);
	world_free(&w, late);
	late = world_alloc(&w, 4, 50001);
	world_wait(&w, WORLD_SECOND);
	world_free(&w, objects[99]);
	data = world_export(&w);
	ck_assert_uint_eq(data.peak_ns, 6 * WORLD_SECOND);
	ck_assert_uint_eq(world_site(&data, 4)->peak.bytes, 50001);
	ck_assert_uint_eq(world_site(&data, 1)->peak.bytes, 17000);
	ck_assert_uint_eq(world_site(&data, 1)->live.bytes, 16000);
	heap_data_deinit(&data);
	world_deinit(&w);
}
END_TEST

START_TEST(snapshots_get_further_apart)
{
	struct world w;
	struct heap_data data;
	const struct heap_site *site;

	world_init(&w, 1, 0);
	for (unsigned second = 0; second < 1000; second++) {
		world_alloc(&w, 1, 100);
		if (second == 600)
			world_alloc(&w, 2, 5);
		world_wait(&w, WORLD_SECOND);
	}
	data = world_export(&w);
	site = world_site(&data, 1);
	ck_assert_uint_le(data.snapshots.count, HEAP_SNAPSHOTS_MAX + 1);
	ck_assert_uint_ge(data.snapshots.count, HEAP_SNAPSHOTS_MAX / 2);
	ck_assert_uint_eq(site->levels.count + site->first_level, data.snapshots.count);
	for (size_t i = 0; i < data.snapshots.count; i++) {
		uint64_t at = data.snapshots.items[i];

		if (i)
			ck_assert_uint_gt(at, data.snapshots.items[i - 1]);
		ck_assert_uint_eq(heap_site_level(site, i).live.bytes, at / WORLD_SECOND * 100);
		ck_assert_uint_eq(heap_site_level(world_site(&data, 2), i).live.bytes,
				  at > 600 * WORLD_SECOND ? 5 : 0);
	}
	heap_data_deinit(&data);
	world_deinit(&w);
}
END_TEST

START_TEST(an_end_leaks_and_an_exec_loses)
{
	struct world w;
	struct heap_data data;
	struct heap_allocation other = {
		.owner = 1,
		.stack = 1,
		.address = 64,
		.count = HEAP_COUNT_SCALE,
		.bytes = 7,
	};

	world_init(&w, 1, 0);
	world_alloc(&w, 1, 1000);
	other.time = w.now;
	heap_tracker_alloc(&w.tracker, &other);
	heap_tracker_clear(&w.tracker, w.now, 0);
	world_alloc(&w, 1, 300);
	world_wait(&w, WORLD_SECOND);
	world_wait(&w, WORLD_SECOND);
	heap_tracker_end(&w.tracker, w.now, 0);
	heap_tracker_end(&w.tracker, w.now, 0);
	world_wait(&w, WORLD_SECOND);
	world_wait(&w, WORLD_SECOND);
	data = world_export(&w);
	ck_assert(data.frees); /* though none came */
	ck_assert_uint_eq(data.sites.count, 2);
	ck_assert_uint_eq(data.sites.items[0].leaked.bytes, 300);
	ck_assert_uint_eq(data.sites.items[0].live.bytes, 0);
	ck_assert_uint_eq(data.sites.items[0].alloc.bytes, 1300);
	/* Nothing is known of it after its end. */
	ck_assert_uint_eq(data.sites.items[0].levels.count, 2);
	ck_assert_uint_eq(data.sites.items[1].live.bytes, 7);
	ck_assert_uint_eq(data.sites.items[1].levels.count, 4);
	heap_data_deinit(&data);
	world_deinit(&w);
}
END_TEST

START_TEST(what_is_lost_is_counted)
{
	struct world w;
	struct heap_data data;

	world_init(&w, 1, 0);
	world_alloc(&w, 1, 1000);
	w.count = 0; /* the same address again */
	world_alloc(&w, 1, 500);
	heap_tracker_free(&w.tracker, w.now, 0, 0x999999);
	heap_tracker_free(&w.tracker, w.now, 70000, world_address(0));
	ck_assert_uint_eq(w.tracker.lost_frees, 1);
	ck_assert_uint_eq(w.tracker.unknown_frees, 2);
	data = world_export(&w);
	ck_assert_uint_eq(world_site(&data, 1)->live.bytes, 500);
	ck_assert_uint_eq(heap_histogram_total(world_site(&data, 1)->lives), 0);
	heap_data_deinit(&data);
	world_deinit(&w);
}
END_TEST

/* No figure is wrong for what there was no room for. */
START_TEST(a_full_table_is_counted)
{
	struct heap_tracker tracker;
	struct heap_allocation what = {
		.time = 1, .count = HEAP_COUNT_SCALE, .bytes = 10, .address = 0x1000};
	struct heap_data data;

	heap_tracker_init(&tracker, 1);
	for (uint32_t i = 0; i < HEAP_SITES_MAX + 5; i++) {
		what.stack = i;
		what.address += 16;
		heap_tracker_alloc(&tracker, &what);
	}
	ck_assert_uint_eq(tracker.untracked, 5);
	ck_assert_uint_eq(tracker.untracked_sites, 5);
	what.stack = 3;
	for (uint32_t i = 0; i < HEAP_OBJECTS_MAX; i++) {
		what.address += 16;
		heap_tracker_alloc(&tracker, &what);
	}
	ck_assert_uint_eq(tracker.object_count, HEAP_OBJECTS_MAX);
	ck_assert_uint_eq(tracker.untracked, 5 + HEAP_SITES_MAX);
	/* One is freed that is not followed, and one that is: then there is room for one. */
	heap_tracker_free(&tracker, 2, 0, what.address);
	heap_tracker_free(&tracker, 2, 0, 0x1010);
	what.address = 0x10;
	heap_tracker_alloc(&tracker, &what);
	ck_assert_uint_eq(tracker.object_count, HEAP_OBJECTS_MAX);
	ck_assert_int_eq(heap_tracker_export(&tracker, 0, 3, &data), 0);
	ck_assert_uint_eq(data.sites.items[0].live.bytes, 0);
	ck_assert_uint_eq(data.sites.items[3].alloc.bytes, 10ull * (HEAP_OBJECTS_MAX + 2));
	ck_assert_uint_eq(data.sites.items[3].live.bytes,
			  10ull * (HEAP_OBJECTS_MAX - HEAP_SITES_MAX + 2));
	heap_data_deinit(&data);
	heap_tracker_deinit(&tracker);
}
END_TEST

/* Nobody looked for a while: what was in use is of unknown fate, moments begin anew, and sums
 * go on. */
START_TEST(a_break_makes_fates_unknown)
{
	struct world w;
	struct heap_data data;
	uint32_t brief;

	world_init(&w, 1, 0);
	brief = world_alloc(&w, 1, 100);
	world_wait(&w, 1000);
	world_free(&w, brief);
	world_alloc(&w, 1, 300);
	world_alloc(&w, 2, 50);
	world_wait(&w, 20 * WORLD_SECOND);
	heap_tracker_break(&w.tracker, w.now, 0);
	ck_assert_uint_eq(w.tracker.object_count, 0);
	world_wait(&w, 2 * WORLD_SECOND);
	world_alloc(&w, 1, 7);
	data = world_export(&w);
	ck_assert(data.frees);
	ck_assert_uint_eq(data.breaks, 1);
	ck_assert_uint_eq(data.since_ns, 20 * WORLD_SECOND + 1000);
	ck_assert_uint_eq(world_site(&data, 1)->alloc.bytes, 407);
	ck_assert_uint_eq(world_site(&data, 1)->temporary.bytes, 100);
	ck_assert_uint_eq(world_site(&data, 1)->unknown.bytes, 300);
	ck_assert_uint_eq(world_site(&data, 1)->live.bytes, 7);
	ck_assert_uint_eq(world_site(&data, 1)->peak.bytes, 7);
	ck_assert_uint_eq(world_site(&data, 1)->old, 0);
	ck_assert_uint_eq(world_site(&data, 2)->unknown.bytes, 50);
	ck_assert_uint_eq(world_site(&data, 2)->live.bytes, 0);
	/* Before it nothing is said of what was in use. */
	ck_assert_uint_ge(data.snapshots.items[world_site(&data, 1)->first_level], data.since_ns);
	heap_data_deinit(&data);
	world_deinit(&w);
}
END_TEST

/* What is repeated for a time that nobody looked at is allocated and freed, never in use. */
START_TEST(what_is_repeated_is_not_in_use)
{
	struct heap_tracker tracker;
	struct heap_allocation what = {
		.time = 1, .stack = 1, .address = 0x1000, .count = HEAP_COUNT_SCALE, .bytes = 100};
	struct heap_allocation more = {
		.time = 1, .stack = 1, .count = 50 * HEAP_COUNT_SCALE, .bytes = 5000};
	struct heap_data data;

	heap_tracker_init(&tracker, 1);
	heap_tracker_alloc(&tracker, &what);
	heap_tracker_repeat(&tracker, &more, 1000);
	heap_tracker_repeat(&tracker, &more, HEAP_TEMPORARY_NS);
	heap_tracker_repeat(&tracker, &more, HEAP_LIFE_UNKNOWN);
	what.address = 0;
	what.unfollowed = true;
	heap_tracker_alloc(&tracker, &what);
	what.address = 0x2000;
	what.unfollowed = false;
	heap_tracker_alloc(&tracker, &what);
	heap_tracker_lose(&tracker, 2000, 0, 0x2000);
	/* Two are unknown for want of room, and what was to be ignored is no allocation. */
	ck_assert_uint_eq(tracker.untracked, 2);
	heap_tracker_ignore(&tracker, 2500, 0, 0x3000);
	heap_tracker_free(&tracker, 2600, 0, 0x3000);
	ck_assert_uint_eq(tracker.unknown_frees, 0);
	ck_assert_int_eq(heap_tracker_export(&tracker, 0, 3000, &data), 0);
	ck_assert_uint_eq(data.sites.items[0].alloc.bytes, 15300);
	ck_assert_uint_eq(data.sites.items[0].temporary.bytes, 5000);
	ck_assert_uint_eq(data.sites.items[0].unknown.bytes, 5200);
	ck_assert_uint_eq(data.sites.items[0].live.bytes, 100);
	ck_assert_uint_eq(data.sites.items[0].lives[heap_bucket(1000)], 50 * HEAP_COUNT_SCALE);
	heap_data_deinit(&data);
	heap_tracker_deinit(&tracker);
}
END_TEST

/* ---- by chance ---- */

struct figure {
	const char *name;
	double sum, squares; /* of estimate - truth */
	double variances; /* as estimated */
	double truth;
	unsigned within; /* 1.96 standard errors */
};

static void note(struct figure *figure, double estimate, double variance, double truth)
{
	double off = estimate - truth;

	figure->sum += off;
	figure->squares += off * off;
	figure->variances += variance;
	figure->truth += truth;
	figure->within += fabs(off) <= 1.96 * sqrt(variance);
}

/* Three places: churn of mixed sizes, 8 B to 1 MB; small ones that live for some time; large
 * ones that stay. */
static void live_a_little(struct world *w)
{
	uint32_t held[64] = {0};

	for (unsigned turn = 0; turn < 300; turn++) {
		double size = exp(log(8) + world_random(w) * log(131072));
		uint32_t brief = world_alloc(w, 1, (uint64_t)size);

		if (turn >= 64)
			world_free(w, held[turn % 64]);
		held[turn % 64] = world_alloc(w, 2, 16 + (uint64_t)(world_random(w) * 400));
		if (turn % 5 == 0)
			world_alloc(w, 3, 1000 + (uint64_t)(world_random(w) * 100000));
		world_wait(w, turn % 2 ? MS / 3 : 2 * MS);
		world_free(w, brief);
		world_wait(w, 20 * MS);
	}
}

START_TEST(sums_are_unbiased_and_errors_honest)
{
	struct figure figures[] = {
		{.name = "live bytes"},      {.name = "live count"},
		{.name = "churn's bytes"},   {.name = "churn's count"},
		{.name = "temporary bytes"}, {.name = "small live bytes"},
	};

	for (uint64_t seed = 1; seed <= RUNS; seed++) {
		struct world w;
		struct heap_data data;
		struct heap_sum live = {0};
		const struct heap_site *churn;
		double live_bytes = 0, live_count = 0;

		world_init(&w, seed, 16384);
		live_a_little(&w);
		data = world_export(&w);
		for (size_t i = 0; i < data.sites.count; i++)
			heap_sum_add(&live, &data.sites.items[i].live);
		for (unsigned i = 0; i < 8; i++) {
			live_bytes += w.live_bytes[i];
			live_count += w.live_count[i];
		}
		churn = world_site(&data, 1);
		note(&figures[0], (double)live.bytes, live.bytes_var, live_bytes);
		note(&figures[1], heap_sum_count(&live), live.count_var, live_count);
		note(&figures[2], (double)churn->alloc.bytes, churn->alloc.bytes_var,
		     w.alloc_bytes[1]);
		note(&figures[3], heap_sum_count(&churn->alloc), churn->alloc.count_var,
		     w.alloc_count[1]);
		note(&figures[4], (double)churn->temporary.bytes, churn->temporary.bytes_var,
		     w.brief_bytes[1]);
		if (data.sites.count > 2)
			note(&figures[5], (double)world_site(&data, 2)->live.bytes,
			     world_site(&data, 2)->live.bytes_var, w.live_bytes[2]);
		ck_assert_uint_eq(churn->live.bytes, 0);
		ck_assert(heap_histogram_total(churn->sizes) == churn->alloc.count);
		ck_assert(heap_histogram_total(churn->lives) == churn->alloc.count);
		heap_data_deinit(&data);
		world_deinit(&w);
	}
	for (unsigned i = 0; i < sizeof(figures) / sizeof(*figures); i++) {
		const struct figure *f = &figures[i];
		double error = sqrt(f->squares / RUNS / RUNS), ratio = f->variances / f->squares;

		printf("%-17s bias %+.2f of its standard error, %+.3f %%; variance as estimated / "
		       "as "
		       "it is: %.3f; within the interval: %.1f %%\n",
		       f->name, f->sum / RUNS / error, 100 * f->sum / f->truth, ratio,
		       100.0 * f->within / RUNS);
		ck_assert_msg(fabs(f->sum / RUNS) < 3 * error, "%s is biased", f->name);
		/* A mean of 400 squares of what is about normal is known to 7 %; of rare heavy
		 * samples less well. */
		ck_assert_msg(ratio > 0.7 && ratio < 1.4, "%s: variance off by %.3f", f->name,
			      ratio);
	}
	ck_assert_uint_ge(figures[0].within, RUNS * 92 / 100);
	ck_assert_uint_ge(figures[2].within, RUNS * 92 / 100);
}
END_TEST

static Suite *heap_tracker_suite(void)
{
	Suite *suite = suite_create("heap_tracker");

	TCase *large = tcase_create("large");

	SUITE_CASE(suite, "events", all_samples_give_the_truth, stacks_are_renumbered,
		   the_peak_is_of_one_moment, snapshots_get_further_apart,
		   an_end_leaks_and_an_exec_loses, what_is_lost_is_counted);
	/* A million objects, 400 runs: some seconds with sanitizers. */
	tcase_set_timeout(large, 120);
	tcase_add_test(large, a_full_table_is_counted);
	tcase_add_test(large, a_break_makes_fates_unknown);
	tcase_add_test(large, what_is_repeated_is_not_in_use);
	tcase_add_test(large, sums_are_unbiased_and_errors_honest);
	suite_add_tcase(suite, large);
	return suite;
}

int main(void)
{
	return suite_main(heap_tracker_suite());
}
