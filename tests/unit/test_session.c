/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/session.h"

#include <string.h>

#include "daemon/base/clock.h"
#include "tests/unit/suite.h"

#define MS 1000000ULL
#define SECOND (1000 * MS)

struct world {
	struct process_table processes;
	struct stack_table stacks;
	struct image_table images;
	struct process *process;
	struct session *session;
	struct session_tables tables;
};

static void world_init(struct world *w, uint32_t id, uint64_t window_ns)
{
	struct session_request request = {.privileged = true, .frequency_hz = 99};

	memset(w, 0, sizeof(*w));
	process_table_init(&w->processes, 10, 0);
	stack_table_init(&w->stacks, 100);
	image_table_init(&w->images, 10, 10);
	w->process = process_table_discover(&w->processes, 50, 1);
	w->session = session_create(id, &request, window_ns);
	ck_assert_ptr_nonnull(w->session);
	w->tables = (struct session_tables){
		.stacks = &w->stacks, .images = &w->images, .samples_max = 1000000};
}

static void world_deinit(struct world *w)
{
	session_destroy(w->session);
	stack_table_deinit(&w->stacks);
	process_table_deinit(&w->processes);
	image_table_deinit(&w->images);
}

/* A sample `at` after the session's beginning. */
static void sample(struct world *w, uint64_t at, enum abi_reason reason)
{
	struct abi_sample sample = {.hdr.time = w->session->opened + at, .weight = 10};

	session_add(w->session, &sample, w->process, "prog", STACK_NONE, STACK_NONE,
		    (uint8_t)reason);
}

static void fold(struct world *w)
{
	session_roll(w->session, UINT64_MAX, true);
	session_fold(w->session, &w->tables, UINT64_MAX);
}

/* How many samples of the range there are, as of then. */
static uint64_t profile_count(struct world *w, uint64_t after)
{
	struct profile *profile = session_profile(w->session, w->session->opened + after);
	uint64_t count = profile_total(profile, 0);

	profile_destroy(profile);
	return count;
}

START_TEST(samples_are_told_apart_by_parts_of_seconds)
{
	struct world w;
	struct profile *profile;

	world_init(&w, 1, SECOND);
	sample(&w, 5 * MS, ABI_REASON_COMPLETE);
	sample(&w, 15 * MS, ABI_REASON_COMPLETE);
	sample(&w, 2 * SECOND + 45 * MS, ABI_REASON_COMPLETE);
	fold(&w);
	profile = session_profile(w.session, w.session->opened + 3 * SECOND);
	ck_assert_uint_eq(profile->bucket_ns, 20 * MS);
	ck_assert_uint_eq(profile->samples.count, 2);
	ck_assert_uint_eq(profile->values.items[0], 2);
	ck_assert_uint_eq(profile->samples.items[0].bucket, 0);
	ck_assert_uint_eq(profile->samples.items[1].bucket, 102);
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

/* Nothing is lost by it, and later samples go where they belong. */
START_TEST(many_samples_make_steps_wider)
{
	struct world w;
	struct profile *profile;

	world_init(&w, 1, SECOND);
	w.tables.samples_max = 200;
	for (uint64_t at = 0; at < 20 * SECOND; at += 20 * MS)
		sample(&w, at, ABI_REASON_COMPLETE);
	fold(&w);
	profile = session_profile(w.session, w.session->opened + 20 * SECOND);
	ck_assert_uint_eq(profile->bucket_ns, 200 * MS);
	ck_assert_uint_eq(profile_total(profile, 0), 1000);
	ck_assert_uint_eq(profile->samples.count, 100);
	for (size_t i = 0; i < 100; i++)
		ck_assert_uint_eq(profile->values.items[2 * i], 10);
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

START_TEST(a_window_that_is_no_multiple_has_no_steps)
{
	struct world w;

	world_init(&w, 1, 333 * MS);
	ck_assert_uint_eq(w.session->step_ns, 333 * MS);
	world_deinit(&w);
}
END_TEST

START_TEST(the_history_is_fine_at_its_end_only)
{
	struct world w;
	struct profile *profile;

	world_init(&w, 0, 10 * SECOND);
	for (uint64_t at = 0; at < 100 * SECOND; at += 500 * MS)
		sample(&w, at, ABI_REASON_COMPLETE);
	fold(&w);
	ck_assert_uint_eq(w.session->history.count, 10);
	session_expire(w.session, w.session->opened, w.session->opened + 100 * SECOND);
	for (size_t i = 0; i < 10; i++) {
		const struct session_history *entry = &w.session->history.items[i];

		ck_assert_uint_eq(entry->fine, i >= 4);
		ck_assert_uint_eq(entry->profile->samples.count, i < 4 ? 1 : 20);
		ck_assert_uint_eq(entry->profile->bucket_ns, i < 4 ? 10 * SECOND : 20 * MS);
	}
	w.session->range.since = w.session->opened + 70 * SECOND;
	profile = session_profile(w.session, w.session->opened + 100 * SECOND);
	ck_assert_uint_eq(profile->bucket_ns, 20 * MS);
	ck_assert_uint_eq(profile_total(profile, 0), 60);
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

/* What is asked of a part of the time has what was lost and broken in it, no more. */
START_TEST(the_history_counts_by_window)
{
	struct world w;
	struct abi_counters counters = {0};
	struct profile *profile;

	world_init(&w, 0, 10 * SECOND);
	sample(&w, 1 * SECOND, ABI_REASON_TRUNCATED);
	counters.samples[ABI_REASON_LOST_RING] = 7;
	session_count_lost(w.session, &counters, 0);
	fold(&w);
	sample(&w, 11 * SECOND, ABI_REASON_TRUNCATED);
	sample(&w, 12 * SECOND, ABI_REASON_TRUNCATED);
	counters.samples[ABI_REASON_LOST_RING] = 10;
	session_count_lost(w.session, &counters, 4);
	fold(&w);
	w.session->range.since = w.session->opened + 10 * SECOND;
	profile = session_profile(w.session, w.session->opened + 20 * SECOND);
	for (size_t i = 0; i < profile->counts.count; i++) {
		const struct profile_count *count = &profile->counts.items[i];
		const char *key = profile_text(profile, count->key);

		ck_assert_uint_eq(count->count, !strcmp(key, "truncated")       ? 2
						: !strcmp(key, "lost_ring")     ? 3
						: !strcmp(key, "lost_sideband") ? 4
										: 0);
	}
	ck_assert_uint_eq(profile->counts.count, 3);
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

/* By the middle of a window; two ranges that meet have nothing in common. */
START_TEST(a_range_is_cut_at_windows)
{
	struct world w;
	uint64_t opened, cuts[] = {0, 34, 36, 77, 100}, total = 0;

	world_init(&w, 0, 10 * SECOND);
	opened = w.session->opened;
	for (uint64_t at = 0; at < 100 * SECOND; at += SECOND)
		sample(&w, at, ABI_REASON_COMPLETE);
	fold(&w);
	for (size_t i = 0; i + 1 < sizeof(cuts) / sizeof(*cuts); i++) {
		static const uint64_t windows[] = {3, 1, 4, 2};
		struct profile *profile;

		w.session->range.since = opened + cuts[i] * SECOND;
		w.session->range.until = opened + cuts[i + 1] * SECOND;
		profile = session_profile(w.session, opened + 100 * SECOND);
		ck_assert_uint_eq(profile->duration_ns, windows[i] * 10 * SECOND);
		ck_assert_uint_eq(profile_total(profile, 0), windows[i] * 10);
		total += profile_total(profile, 0);
		profile_destroy(profile);
	}
	ck_assert_uint_eq(total, 100);
	world_deinit(&w);
}
END_TEST

/* Of two sessions with one grid, whenever they were opened: the second's first is shorter. */
START_TEST(windows_of_one_grid_end_together)
{
	struct world w;
	uint64_t grid;

	world_init(&w, 0, SECOND);
	grid = w.session->grid = w.session->opened - 300 * MS;
	sample(&w, 100 * MS, ABI_REASON_COMPLETE);
	ck_assert_uint_eq(w.session->window.start, w.session->opened);
	ck_assert_uint_eq(w.session->window.end, grid + SECOND);
	ck_assert_uint_eq(w.session->window.samples.items[0].tick, 5);
	sample(&w, 800 * MS, ABI_REASON_COMPLETE);
	ck_assert_uint_eq(w.session->closed.count, 1);
	ck_assert_uint_eq(w.session->window.start, grid + SECOND);
	ck_assert_uint_eq(w.session->window.end, grid + 2 * SECOND);
	fold(&w);
	w.session->range.since = w.session->opened + 600 * MS;
	ck_assert_uint_eq(profile_count(&w, 2 * SECOND), 1);
	w.session->range.since = w.session->opened;
	ck_assert_uint_eq(profile_count(&w, 2 * SECOND), 2);
	world_deinit(&w);
}
END_TEST

START_TEST(a_look_changes_nothing)
{
	struct world w;
	struct profile *profile;

	world_init(&w, 1, SECOND);
	for (unsigned turn = 1; turn <= 3; turn++) {
		sample(&w, 100 * MS, ABI_REASON_TRUNCATED);
		sample(&w, turn * SECOND, ABI_REASON_COMPLETE);
		fold(&w);
		profile = session_copy(w.session, &w.tables, w.session->opened + 4 * SECOND);
		ck_assert_uint_eq(profile_total(profile, 0), 2 * turn);
		ck_assert_uint_eq(profile->counts.count, 2);
		ck_assert_uint_eq(profile->counts.items[0].count, turn);
		profile_destroy(profile);
	}
	profile = session_profile(w.session, w.session->opened + 4 * SECOND);
	ck_assert_uint_eq(profile_total(profile, 0), 6);
	ck_assert_uint_eq(profile->samples.count, 4);
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

/* What is taken comes once; who ended is not remembered, who lives is. */
START_TEST(a_take_comes_once)
{
	struct world w;
	struct profile *profile;

	world_init(&w, 1, SECOND);
	for (unsigned turn = 1; turn <= 3; turn++) {
		sample(&w, turn * SECOND, ABI_REASON_COMPLETE);
		fold(&w);
		profile = session_take(w.session, w.session->opened + (turn + 1) * SECOND);
		ck_assert_uint_eq(profile_total(profile, 0), 1);
		ck_assert_uint_eq(profile->processes.count, 1);
		ck_assert_uint_eq(profile->samples.items[0].process, 0);
		ck_assert_uint_eq(profile->duration_ns, (turn + 1) * SECOND);
		profile_destroy(profile);
		ck_assert_uint_eq(w.session->members.count, 1);
	}
	w.process->end = w.session->opened + 5 * SECOND;
	profile = session_take(w.session, w.session->opened + 6 * SECOND);
	ck_assert_uint_eq(profile->samples.count, 0);
	profile_destroy(profile);
	ck_assert_uint_eq(w.session->members.count, 0);
	w.process->end = 0;
	world_deinit(&w);
}
END_TEST

static const struct measure_kind resident = {"anon", "rss", "bytes", SERIES_LEVEL, SECOND};

START_TEST(marks_and_measures_get_into_the_profile)
{
	struct world w;
	struct abi_counters counters = {0};
	struct session_measure measure = {
		.kind = &resident, .process = NULL, .point = {4096, 4096, 4096}};
	struct profile *profile;

	world_init(&w, 1, SECOND);
	measure.process = w.process;
	measure.time = w.session->opened + 3 * SECOND;
	session_measure(w.session, &measure);
	counters.samples[ABI_REASON_LOST_RING] = 7;
	session_count_lost(w.session, &counters, 0);
	session_mark(w.session, "rate", 0, "from %u to %u Hz", 99u, 49u);
	fold(&w); /* no sample at all: the rest is kept */
	profile = session_profile(w.session, w.session->opened + 5 * SECOND);
	ck_assert_uint_eq(profile->marks.count, 2);
	ck_assert_str_eq(profile_text(profile, profile->marks.items[0].key), "lost_ring");
	ck_assert_uint_eq(profile->marks.items[0].value, 7);
	ck_assert_str_eq(profile_text(profile, profile->marks.items[1].text), "from 99 to 49 Hz");
	ck_assert_uint_eq(profile->series.count, 1);
	ck_assert_uint_eq(profile->series.items[0].points.items[3].value, 4096);
	ck_assert_uint_eq(profile->processes.items[profile->series.items[0].process].pid, 50);
	profile_destroy(profile);
	world_deinit(&w);
}
END_TEST

START_TEST(too_many_measures_are_counted)
{
	struct world w;
	struct session_measure measure = {.kind = &resident};

	world_init(&w, 1, SECOND);
	for (unsigned i = 0; i < SESSION_MEASURES_MAX + 3; i++)
		session_measure(w.session, &measure);
	ck_assert_uint_eq(w.session->times.dropped, 3);
	world_deinit(&w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("session");

	SUITE_CASE(suite, "times", samples_are_told_apart_by_parts_of_seconds,
		   many_samples_make_steps_wider, a_window_that_is_no_multiple_has_no_steps,
		   the_history_is_fine_at_its_end_only, the_history_counts_by_window,
		   a_range_is_cut_at_windows, windows_of_one_grid_end_together,
		   marks_and_measures_get_into_the_profile, too_many_measures_are_counted);
	SUITE_CASE(suite, "snapshot", a_look_changes_nothing, a_take_comes_once);
	return suite_main(suite);
}
