/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A profile of allocations: its sites on the wire, merged, by function, as text and JSON.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "flamegraph/heap_report.h"
#include "flamegraph/profile_wire.h"
#include "tests/unit/heap_world.h"
#include "tests/unit/profile_text.h"
#include "tests/unit/suite.h"

/* Stacks 1 to 3; the innermost frame of two of them is the allocator's. */
static const char text[] = "title app\n"
			   "start 1000000000\n"
			   "duration 60000000000\n"
			   "bucket 1000000000\n"
			   "value alloc_objects count\n"
			   "value alloc_space bytes\n"
			   "value inuse_objects count\n"
			   "value inuse_space bytes\n"
			   "process 7 1 app 0 60000000000 5\n"
			   "of 0 0\n"
			   "stack app;main;serve;malloc 1 1 0 0\n"
			   "stack app;main;remember;operator\\x20new(unsigned\\x20long) 1 1 1 1\n"
			   "stack app;main;malloc_config 1 1 1 1\n";

/* A minute of: churn at stack 1, a leak at 2, a block at 3, all sampled. */
static struct profile *make(bool ends)
{
	struct profile *profile = profile_from_text(text);
	struct world w;

	world_init(&w, 1, 0);
	world_alloc(&w, 3, 100000);
	for (unsigned tick = 0; tick < 600; tick++) {
		world_free(&w, world_alloc(&w, 1, 64));
		world_alloc(&w, 2, 1000);
		world_wait(&w, WORLD_SECOND / 10);
	}
	if (ends)
		heap_tracker_end(&w.tracker, w.now, 0);
	profile->heap = world_export(&w);
	for (size_t i = 0; i < profile->heap.sites.count; i++)
		profile->heap.sites.items[i].process = 0;
	world_deinit(&w);
	return profile;
}

static void encode(const struct profile *profile, struct strbuf *bytes)
{
	ck_assert_int_eq(profile_encode(profile, bytes), 0);
}

START_TEST(sites_come_back)
{
	struct profile *profile = make(_i), *back = NULL;
	struct strbuf bytes = {0}, again = {0};
	struct error error = {0};

	encode(profile, &bytes);
	ck_assert_msg(!profile_decode(bytes.data, bytes.length, &error, &back), "%s", error.text);
	ck_assert_uint_eq(back->heap.sites.count, 3);
	ck_assert_uint_eq(back->heap.snapshots.count, profile->heap.snapshots.count);
	encode(back, &again);
	ck_assert_uint_eq(bytes.length, again.length);
	ck_assert_int_eq(memcmp(bytes.data, again.data, bytes.length), 0);
	profile_destroy(back);
	profile_destroy(profile);
	strbuf_deinit(&bytes);
	strbuf_deinit(&again);
}
END_TEST

/* Refused, or something that can be looked at. */
START_TEST(changed_bytes_do_no_harm)
{
	struct profile *profile = make(false), *back;
	struct strbuf bytes = {0};
	unsigned seed = 11, taken = 0, refused = 0;
	size_t begin;

	encode(profile, &bytes);
	begin = bytes.length / 4;
	for (unsigned i = 0; i < 4000; i++) {
		size_t at = begin + (size_t)rand_r(&seed) % (bytes.length - begin);
		char old = bytes.data[at];

		bytes.data[at] = (char)(old ^ (1 << rand_r(&seed) % 8));
		back = NULL;
		if (profile_decode(bytes.data, bytes.length, NULL, &back)) {
			refused++;
		} else {
			struct heap_report report;

			ck_assert_int_eq(heap_report_init(&report, back, &back->heap, HEAP_ALLOC,
							  HEAP_BY_SITE, 0),
					 0);
			heap_report_deinit(&report);
			taken++;
		}
		profile_destroy(back);
		bytes.data[at] = old;
	}
	for (size_t n = begin; n < bytes.length; n += 7)
		ck_assert_int_eq(profile_decode(bytes.data, n, NULL, &back), -EBADMSG);
	ck_assert_uint_gt(taken, 100);
	ck_assert_uint_gt(refused, 10);
	profile_destroy(profile);
	strbuf_deinit(&bytes);
}
END_TEST

/* What the end is without sites: flags and the peak, since when and how often, the two counts. */
#define END_HEAD 16
#define END_FATES 28
#define END_BYTES (END_HEAD + END_FATES + 8)

/* Files of version 2 have nothing of sites, those of version 3 nothing of fates. */
START_TEST(the_versions_before_are_read)
{
	struct profile *profile = profile_from_text(text), *back = NULL;
	struct strbuf bytes = {0};

	encode(profile, &bytes);
	bytes.data[4] = 2;
	ck_assert_int_eq(profile_decode(bytes.data, bytes.length - END_BYTES, NULL, &back), 0);
	ck_assert_uint_eq(back->samples.count, 3);
	profile_destroy(back);
	bytes.data[4] = 3;
	memmove(bytes.data + bytes.length - END_BYTES + END_HEAD, bytes.data + bytes.length - 8, 8);
	bytes.length -= END_FATES;
	ck_assert_int_eq(profile_decode(bytes.data, bytes.length, NULL, &back), 0);
	ck_assert_uint_eq(back->samples.count, 3);
	ck_assert_uint_eq(back->heap.breaks, 0);
	profile_destroy(back);
	bytes.data[4] = 1;
	ck_assert_int_eq(profile_decode(bytes.data, bytes.length, NULL, &back), -EPROTONOSUPPORT);
	profile_destroy(profile);
	strbuf_deinit(&bytes);
}
END_TEST

START_TEST(what_is_of_a_moment_does_not_add_up)
{
	struct profile *into = make(false), *from = make(true);

	ck_assert_int_eq(profile_merge(into, from), 0);
	ck_assert_uint_eq(into->heap.sites.count, 3);
	ck_assert_uint_eq(into->heap.snapshots.count, 0);
	ck_assert(into->heap.joined);
	for (size_t i = 0; i < 3; i++) {
		const struct heap_site *site = &into->heap.sites.items[i];

		ck_assert_uint_eq(site->peak.bytes, 0);
		ck_assert_uint_eq(site->levels.count, 0);
		ck_assert_uint_eq(site->live.bytes, site->leaked.bytes);
		ck_assert_uint_eq(site->alloc.bytes % 2, 0);
	}
	profile_destroy(into);
	profile_destroy(from);
	/* With one that has none, nothing is lost. */
	into = profile_create();
	from = make(false);
	ck_assert_int_eq(profile_merge(into, from), 0);
	ck_assert_uint_eq(into->heap.snapshots.count, from->heap.snapshots.count);
	ck_assert_uint_eq(into->heap.peak_ns, from->heap.peak_ns);
	ck_assert(!into->heap.joined);
	profile_destroy(into);
	profile_destroy(from);
}
END_TEST

static const char *function_of(const struct profile *profile, const struct heap_row *row)
{
	return profile_text(profile, profile->frames.items[row->frame].name);
}

START_TEST(rows_are_by_function)
{
	struct profile *profile = make(false);
	struct heap_rows rows;

	ck_assert_int_eq(
		heap_rows_init(&rows, profile, &profile->heap, HEAP_INUSE, HEAP_BY_FUNCTION), 0);
	ck_assert_uint_eq(rows.rows.count, 2); /* nothing of serve is in use */
	ck_assert_str_eq(function_of(profile, &rows.rows.items[0]), "remember");
	ck_assert_str_eq(function_of(profile, &rows.rows.items[1]), "malloc_config");
	ck_assert_uint_eq(rows.rows.items[0].sum.live.bytes, 600000);
	ck_assert_int_eq(rows.rows.items[0].worst.verdict, HEAP_LEAKS);
	ck_assert(fabs(rows.rows.items[0].growth.slope - 10000) < 200);
	ck_assert_int_ne(rows.rows.items[1].worst.verdict, HEAP_LEAKS);
	heap_rows_deinit(&rows);
	ck_assert_int_eq(
		heap_rows_init(&rows, profile, &profile->heap, HEAP_TEMPORARY, HEAP_BY_SITE), 0);
	ck_assert_uint_eq(rows.rows.count, 1);
	ck_assert_str_eq(function_of(profile, &rows.rows.items[0]), "serve");
	heap_rows_deinit(&rows);
	profile_destroy(profile);
}
END_TEST

START_TEST(views_that_cannot_be_had_say_why)
{
	struct profile *lives = make(false), *ended = make(true);
	struct profile *sums = profile_from_text(text);
	const struct heap_data *data;
	struct heap_data made = {0};
	struct error error;

	lives->processes.items[0].end_ns = 0;
	ck_assert_int_eq(heap_view_check(lives, &lives->heap, HEAP_PEAK, &error), 0);
	ck_assert_int_eq(heap_view_check(lives, &lives->heap, HEAP_LEAKED, &error), -ENODATA);
	ck_assert_ptr_nonnull(strstr(error.text, "no process has ended"));
	ck_assert_int_eq(heap_view_check(ended, &ended->heap, HEAP_LEAKED, &error), 0);
	lives->heap.frees = false;
	ck_assert_int_eq(heap_view_check(lives, &lives->heap, HEAP_ALLOC, &error), 0);
	ck_assert_int_eq(heap_view_check(lives, &lives->heap, HEAP_INUSE, &error), -ENODATA);
	ck_assert_ptr_nonnull(strstr(error.text, "no frees were followed"));
	ck_assert_int_eq(heap_view_data(sums, &made, &error, &data), 0);
	ck_assert_uint_eq(data->sites.count, 3);
	ck_assert_int_eq(heap_view_check(sums, data, HEAP_INUSE, &error), 0);
	ck_assert_int_eq(heap_view_check(sums, data, HEAP_PEAK, &error), -ENODATA);
	heap_data_deinit(&made);
	profile_destroy(lives);
	profile_destroy(ended);
	profile_destroy(sums);
}
END_TEST

static void write(int (*how)(const struct heap_report *, FILE *), const struct heap_report *report,
		  char **ret)
{
	size_t size;
	FILE *out = open_memstream(ret, &size);

	ck_assert_int_eq(how(report, out), 0);
	fclose(out);
}

START_TEST(the_report_says_what_leaks)
{
	struct profile *profile = make(true);
	struct heap_report report;
	char *told;
	json_t *json;

	ck_assert_int_eq(
		heap_report_init(&report, profile, &profile->heap, HEAP_LEAKED, HEAP_BY_SITE, 1),
		0);
	write(heap_report_text, &report, &told);
	ck_assert_ptr_nonnull(strstr(told, "LEAK: remember leaks: it grows 9.77 ± 0.00 KiB/s"));
	ck_assert_ptr_nonnull(strstr(told, "none of the 501 sampled objects older than 10 s"));
	ck_assert_ptr_nonnull(strstr(told, "main > remember > operator new(unsigned long)"));
	ck_assert_ptr_nonnull(strstr(told, "... and 1 more"));
	free(told);
	write(heap_report_json, &report, &told);
	json = json_loads(told, 0, NULL);
	ck_assert_str_eq(json_string_value(json_object_get(json, "schema")), "perfd.heap/1");
	ck_assert_uint_eq(json_array_size(json_object_get(json, "rows")), 1);
	ck_assert_int_eq(json_integer_value(json_object_get(json, "rows_total")), 2);
	json_decref(json);
	free(told);
	heap_report_deinit(&report);
	profile_destroy(profile);
}
END_TEST

START_TEST(two_snapshots_have_a_difference)
{
	struct profile *profile = make(false);
	struct error error = {0};
	struct heap_diff diff;
	size_t before, after;

	ck_assert(heap_diff_is_moment("1.5m") && heap_diff_is_moment("-5s"));
	ck_assert(!heap_diff_is_moment("x.perfd") && !heap_diff_is_moment("5x"));
	ck_assert_int_eq(heap_diff_moment(&profile->heap, "10s", &error, &before), 0);
	ck_assert_int_eq(heap_diff_moment(&profile->heap, "-20s", &error, &after), 0);
	ck_assert_int_eq(heap_diff_moment(&profile->heap, "soon", &error, &after), -EINVAL);
	ck_assert_int_eq(
		heap_diff_init(&diff, profile, &profile->heap, before, after, HEAP_BY_FUNCTION, 0),
		0);
	ck_assert_uint_eq(diff.rows.count, 1);
	ck_assert(fabs(diff.rows.items[0].bytes - 300000) < 1500);
	heap_diff_deinit(&diff);
	ck_assert_int_eq(heap_diff_moment(&profile->heap, "peak", &error, &after), 0);
	ck_assert_int_eq(
		heap_diff_init(&diff, profile, &profile->heap, before, after, HEAP_BY_FUNCTION, 0),
		0);
	ck_assert(fabs(diff.all.bytes - 500000) < 1500);
	heap_diff_deinit(&diff);
	profile_destroy(profile);
}
END_TEST

START_TEST(pictures_have_the_views_values)
{
	struct profile *profile = make(true), *snapshot;

	ck_assert_str_eq(heap_view_value(profile, HEAP_ALLOC), "alloc_space");
	ck_assert_ptr_null(heap_view_value(profile, HEAP_PEAK)); /* no such values here */
	ck_assert_str_eq(heap_view_value(profile, HEAP_LEAKED), "leaked_space");
	ck_assert_uint_eq(profile_total(profile, 3), 2);
	ck_assert_uint_eq(profile_find_value_type(profile, "inuse_space", NULL), PROFILE_NONE);
	snapshot = heap_view_snapshot(profile, &profile->heap, 9);
	ck_assert_ptr_nonnull(snapshot);
	ck_assert_uint_eq(profile_total(snapshot, snapshot->default_value), 200000);
	profile_destroy(snapshot);
	profile_destroy(profile);
}
END_TEST

static Suite *heap_view_suite(void)
{
	Suite *suite = suite_create("heap_view");
	TCase *wire = tcase_create("wire");

	tcase_add_loop_test(wire, sites_come_back, 0, 2);
	tcase_add_test(wire, changed_bytes_do_no_harm);
	tcase_add_test(wire, the_versions_before_are_read);
	suite_add_tcase(suite, wire);
	SUITE_CASE(suite, "merge", what_is_of_a_moment_does_not_add_up);
	SUITE_CASE(suite, "views", rows_are_by_function, views_that_cannot_be_had_say_why,
		   the_report_says_what_leaks, two_snapshots_have_a_difference,
		   pictures_have_the_views_values);
	return suite;
}

int main(void)
{
	return suite_main(heap_view_suite());
}
