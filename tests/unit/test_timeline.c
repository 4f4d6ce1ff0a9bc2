/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>

#include "flamegraph/timeline.h"
#include "tests/unit/profile_text.h"

static char *render(const struct timeline *timeline, const char *name)
{
	char *bytes = NULL;
	size_t size;
	FILE *stream = open_memstream(&bytes, &size);

	ck_assert_ptr_nonnull(stream);
	for (size_t i = 0; i < timeline_format_count; i++) {
		if (!strcmp(timeline_formats[i].name, name))
			ck_assert_int_eq(timeline_formats[i].write(timeline, stream), 0);
	}
	ck_assert_int_eq(fclose(stream), 0);
	ck_assert_uint_gt(size, 0);
	return bytes;
}

static struct timeline timeline_of(const struct profile *profile, enum timeline_by by, uint32_t top)
{
	struct timeline_options options = {.by = by, .top = top};
	struct error error = {0};
	struct timeline timeline;

	ck_assert_int_eq(timeline_from_profile(profile, &options, &error, &timeline), 0);
	return timeline;
}

static void check_golden(const char *golden)
{
	char *in = golden_read(golden, "in");
	struct profile *profile = profile_from_text(in);
	struct timeline timeline = timeline_of(profile, TIMELINE_PROCESS, 0);
	char *table = render(&timeline, "table"), *json = render(&timeline, "json");
	struct strbuf both = {0};

	strbuf_printf(&both, "%s%s", table, json);
	golden_check(golden, strbuf_text(&both));
	strbuf_deinit(&both);
	free(table);
	free(json);
	free(in);
	timeline_deinit(&timeline);
	profile_destroy(profile);
}

START_TEST(golden_tables)
{
	golden_each("timeline", check_golden);
}
END_TEST

/* However it is cut into series, all of it is there. */
START_TEST(totals_are_kept)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	uint64_t total = profile_total(profile, profile->default_value);

	for (enum timeline_by by = TIMELINE_PROCESS; by <= TIMELINE_KIND; by++) {
		struct timeline timeline = timeline_of(profile, by, 1 + (uint32_t)_i % 9);
		uint64_t sum = 0;

		ck_assert_uint_le(timeline.series.count, 2 + (size_t)_i % 9);
		for (size_t i = 0; i < timeline.series.count; i++) {
			const struct timeline_series *series = &timeline.series.items[i];
			uint64_t of_series = 0;

			for (size_t step = 0; step < timeline.steps; step++) {
				ck_assert_uint_le(series->values[step], series->peak);
				of_series += series->values[step];
			}
			ck_assert_uint_eq(of_series, series->total);
			sum += of_series;
		}
		ck_assert_uint_eq(sum, total);
		ck_assert_uint_eq(timeline.total, total);
		timeline_deinit(&timeline);
	}
	profile_destroy(profile);
}
END_TEST

START_TEST(names_are_escaped)
{
	struct profile *profile = profile_from_text(
		"bucket 1000\nvalue cpu nanoseconds\ntitle <script>a\nprocess 5 1 <b>&\\x01\n"
		"of 0 0\nstack x;f 5\n");
	struct timeline timeline = timeline_of(profile, TIMELINE_PROCESS, 0);
	char *svg = render(&timeline, "svg"), *html = render(&timeline, "html");

	ck_assert_ptr_nonnull(strstr(svg, "&lt;b&gt;&amp;\xef\xbf\xbd (5)"));
	ck_assert_ptr_null(strstr(svg, "<b>"));
	ck_assert_ptr_null(strstr(svg, "<script>a"));
	ck_assert(!strncmp(svg, "<?xml", 5) && !strncmp(html, "<!DOCTYPE html>", 15));
	free(svg);
	free(html);
	timeline_deinit(&timeline);
	profile_destroy(profile);
}
END_TEST

/* Three hours in windows of a second. */
START_TEST(many_windows_are_merged)
{
	struct profile *profile = profile_from_text(
		"bucket 1000000000\nduration 10800000000000\nvalue cpu nanoseconds\nof -1 0\n"
		"stack a;f 5\nof -1 10799\nstack a;f 7\n");
	struct timeline timeline = timeline_of(profile, TIMELINE_THREAD, 0);

	ck_assert_uint_eq(timeline.steps, 1800);
	ck_assert_uint_eq(timeline.step_ns, 6000000000);
	ck_assert_uint_eq(timeline.series.items[0].values[0], 5);
	ck_assert_uint_eq(timeline.series.items[0].values[1799], 7);
	ck_assert_uint_eq(timeline.marks.items[0].at_ns, 1799 * timeline.step_ns);
	timeline_deinit(&timeline);
	profile_destroy(profile);
}
END_TEST

static const char memory[] =
	"value samples count\nstart 1000\nduration 5000000000\nprocess 7 1 redis\n"
	"process 8 1 nginx\nseries rss anon bytes level 1000000000 0 100 200 - 400\n"
	"series rss file bytes level 1000000000 0 10 10 10 10 10\n"
	"series rss anon bytes level 1000000000 1 1000 1000\n"
	"series - heap bytes level 1000000000 0 50~40~60 - 70\n"
	"mark 2500000000 oom_kill 8 killed: <nginx>\n";

START_TEST(series_are_stacked_by_kind_or_by_process)
{
	struct profile *profile = profile_from_text(memory);
	struct timeline_options options = {.value = "rss"};
	struct error error = {0};
	struct timeline timeline;
	char *json;

	ck_assert_int_eq(timeline_from_profile(profile, &options, &error, &timeline), 0);
	ck_assert(timeline.level);
	ck_assert_uint_eq(timeline.series.count, 2);
	ck_assert_str_eq(strbuf_text(&timeline.series.items[0].name), "anon");
	ck_assert_uint_eq(timeline.series.items[0].values[1], 1200);
	/* Not measured: as before. Measured no more: gone. */
	ck_assert_uint_eq(timeline.series.items[0].values[2], 200);
	ck_assert_uint_eq(timeline.series.items[0].values[4], 0);
	ck_assert_uint_eq(timeline.peak, 1210);
	ck_assert_ptr_null(timeline.series.items[0].low);
	ck_assert_uint_eq(timeline.marks.count, 2);
	ck_assert_str_eq(timeline.marks.items[1].key, "oom_kill");
	ck_assert(timeline.marks.items[1].alarm);
	json = render(&timeline, "svg");
	ck_assert_ptr_nonnull(strstr(json, "killed: &lt;nginx&gt;"));
	ck_assert_ptr_null(strstr(json, "/s<"));
	free(json);
	timeline_deinit(&timeline);

	options.by = TIMELINE_PROCESS;
	options.top = 1;
	ck_assert_int_eq(timeline_from_profile(profile, &options, &error, &timeline), 0);
	ck_assert_uint_eq(timeline.series.count, 2);
	ck_assert_str_eq(strbuf_text(&timeline.series.items[0].name), "nginx (8)");
	ck_assert_uint_eq(timeline.series.items[1].values[3], 410);
	timeline_deinit(&timeline);
	profile_destroy(profile);
}
END_TEST

START_TEST(what_is_not_exact_has_a_band)
{
	struct profile *profile = profile_from_text(memory);
	struct timeline_options options = {.value = "heap"};
	struct error error = {0};
	struct timeline timeline;
	char *text;

	ck_assert_int_eq(timeline_from_profile(profile, &options, &error, &timeline), 0);
	ck_assert_uint_eq(timeline.series.count, 1);
	ck_assert_uint_eq(timeline.series.items[0].low[0], 40);
	ck_assert_uint_eq(timeline.series.items[0].high[1], 60);
	ck_assert_uint_eq(timeline.series.items[0].high[2], 70);
	text = render(&timeline, "svg");
	ck_assert_ptr_nonnull(strstr(text, "class=\"band\""));
	free(text);
	text = render(&timeline, "json");
	ck_assert_ptr_nonnull(strstr(text, "\"low\":[40,40,70]"));
	free(text);
	timeline_deinit(&timeline);
	profile_destroy(profile);
}
END_TEST

/* Fine windows are summed up to steps in which more than noise is seen. */
START_TEST(steps_are_not_finer_than_asked_for)
{
	struct profile *profile = profile_from_text(
		"bucket 20000000\nduration 60000000000\nvalue cpu nanoseconds\nof -1 0\n"
		"stack a;f 5\nof -1 49\nstack a;f 7\nof -1 2999\nstack a;f 1\n");
	struct timeline_options options = {0};
	struct timeline timeline = timeline_of(profile, TIMELINE_THREAD, 0);

	ck_assert_uint_eq(timeline.step_ns, 1000000000);
	ck_assert_uint_eq(timeline.series.items[0].values[0], 12);
	timeline_deinit(&timeline);
	options.step_ns = 100000000;
	ck_assert_int_eq(timeline_from_profile(profile, &options, NULL, &timeline), 0);
	ck_assert_uint_eq(timeline.step_ns, 100000000);
	timeline_deinit(&timeline);
	profile->duration_ns = 5000000000;
	profile->samples.items[2].bucket = 1;
	timeline = timeline_of(profile, TIMELINE_THREAD, 0);
	ck_assert_uint_eq(timeline.step_ns, TIMELINE_STEP_SHORT_NS);
	timeline_deinit(&timeline);
	profile_destroy(profile);
}
END_TEST

static void check_error(const char *lines, const char *value, int want, const char *text)
{
	struct profile *profile = profile_from_text(lines);
	struct timeline_options options = {.value = value};
	struct error error = {0};
	struct timeline timeline;

	ck_assert_int_eq(timeline_from_profile(profile, &options, &error, &timeline), want);
	ck_assert_ptr_nonnull(strstr(error.text, text));
	profile_destroy(profile);
}

START_TEST(what_has_no_time_line)
{
	check_error("value cpu nanoseconds\nstack a;f 5\n", NULL, -ENODATA, "nothing of time");
	check_error("bucket 5\nvalue cpu nanoseconds\n", NULL, -ENODATA, "nothing in the profile");
	check_error("bucket 5\nvalue cpu nanoseconds\nstack a;f 5\n", "heap", -EINVAL,
		    "no value \"heap\"; there is cpu");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("timeline");
	TCase *tc = tcase_create("timeline");

	tcase_add_test(tc, golden_tables);
	tcase_add_loop_test(tc, totals_are_kept, 0, 30);
	tcase_add_test(tc, names_are_escaped);
	tcase_add_test(tc, many_windows_are_merged);
	tcase_add_test(tc, series_are_stacked_by_kind_or_by_process);
	tcase_add_test(tc, what_is_not_exact_has_a_band);
	tcase_add_test(tc, steps_are_not_finer_than_asked_for);
	tcase_add_test(tc, what_has_no_time_line);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
