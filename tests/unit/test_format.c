/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/profile_text.h"

START_TEST(found_by_name)
{
	char *names = format_names();

	ck_assert_str_eq(
		names,
		"svg, html, folded, pprof, perf, perfd, speedscope, firefox, callgrind, chrome, "
		"d3, csv, tree, chart, report, json");
	free(names);
	for (size_t i = 0; i < format_count; i++)
		ck_assert_ptr_eq(format_find(formats[i].name), &formats[i]);
	ck_assert_ptr_null(format_find("SVG"));
	ck_assert_ptr_null(format_find(""));
}
END_TEST

static const char *name_for(const char *path)
{
	const struct format *format = format_for_path(path);

	return format ? format->name : "none";
}

START_TEST(found_by_path)
{
	ck_assert_str_eq(name_for("a.svg"), "svg");
	ck_assert_str_eq(name_for("/tmp/a.b/x.SVG"), "svg");
	ck_assert_str_eq(name_for("x.folded"), "folded");
	ck_assert_str_eq(name_for("x.collapsed"), "folded");
	ck_assert_str_eq(name_for("x.txt"), "report");
	ck_assert_str_eq(name_for("x.json"), "json");
	ck_assert_str_eq(name_for("x.svg.old"), "none");
	ck_assert_str_eq(name_for("svg"), "none");
	ck_assert_str_eq(name_for(".svg"), "none"); /* a hidden file of that name */
	ck_assert_str_eq(name_for("-"), "none");
	ck_assert_str_eq(name_for(""), "none");
}
END_TEST

static void check_error(const char *lines, const struct format_options *options, int code,
			const char *want)
{
	struct profile *profile = profile_from_text(lines);

	for (size_t i = 0; i < format_count; i++) {
		struct error error = {0};
		char *text = NULL;

		ck_assert_int_eq(profile_render(profile, formats[i].name, options, &error, &text),
				 code);
		ck_assert_str_eq(error.text, want);
		ck_assert_ptr_null(text);
	}
	profile_destroy(profile);
}

START_TEST(nothing_to_draw_is_an_error)
{
	static const char head[] = "title sleep (pid 7)\nduration 2000000000\nfrequency 99\n"
				   "value samples count\nvalue cpu nanoseconds\n"
				   "default 1\nloss ring_full 3 no room\n";
	char zeros[sizeof(head) + 64];

	snprintf(zeros, sizeof(zeros), "%sstack a;f 1 0\n", head);
	check_error(head, NULL, -ENODATA,
		    "sleep (pid 7): no samples were taken in 2.00 s at 99 Hz, 3 lost");
	check_error(zeros, NULL, -ENODATA,
		    "sleep (pid 7): no sample has a value of \"cpu\" in 2.00 s at 99 Hz, 3 lost");
	check_error("", NULL, -ENODATA, "perfd profile: no samples were taken, 0 lost");
}
END_TEST

START_TEST(an_unknown_value_is_an_error)
{
	check_error("value samples count\nvalue cpu nanoseconds\nstack a;f 1 1\n",
		    &(struct format_options){.value = "bytes"}, -EINVAL,
		    "no value \"bytes\" in this profile; it has: samples, cpu");
}
END_TEST

START_TEST(a_full_disk_is_an_error)
{
	struct profile *profile = profile_from_text("value cpu nanoseconds\nstack a;f 1\n");

	for (size_t i = 0; i < format_count; i++) {
		struct error error = {0};
		FILE *full = fopen("/dev/full", "w");

		ck_assert_ptr_nonnull(full);
		ck_assert_int_eq(format_write(&formats[i], profile, NULL, full, &error), -ENOSPC);
		ck_assert_ptr_nonnull(strstr(error.text, "No space left"));
		fclose(full);
	}
	profile_destroy(profile);
}
END_TEST

/* The same profile, put together in another order, gives the same bytes. */
START_TEST(equal_profiles_give_equal_bytes)
{
	struct profile *a = profile_from_text("value n count\nstack a;f;g 1\nstack b;h 1\n"
					      "stack a;f;f2 1\n");
	struct profile *b = profile_from_text("value n count\nstack a;f;f2 1\nstack b;h 1\n"
					      "stack a;f;g 1\n");

	for (size_t i = 0; i < format_count; i++) {
		char *of_a = profile_must_render(a, formats[i].name);
		char *of_b = profile_must_render(b, formats[i].name);

		ck_assert_str_eq(of_a, of_b);
		free(of_a);
		free(of_b);
	}
	profile_destroy(a);
	profile_destroy(b);
}
END_TEST

static Suite *format_suite(void)
{
	Suite *suite = suite_create("format");
	TCase *tc = tcase_create("format");

	tcase_add_test(tc, found_by_name);
	tcase_add_test(tc, found_by_path);
	tcase_add_test(tc, nothing_to_draw_is_an_error);
	tcase_add_test(tc, an_unknown_value_is_an_error);
	tcase_add_test(tc, a_full_disk_is_an_error);
	tcase_add_test(tc, equal_profiles_give_equal_bytes);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(format_suite());
}
