/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/report.h"
#include "tests/unit/profile_text.h"

static void check_golden(const char *golden)
{
	char *in = golden_read(golden, "in");
	struct profile *profile = profile_from_text(in);
	char *text = profile_must_render(profile, "report");

	golden_check(golden, text);
	free(text);
	free(in);
	profile_destroy(profile);
}

START_TEST(golden_tables)
{
	golden_each("report", check_golden);
}
END_TEST

static const struct report_row *row_of(const struct report *report, const char *name)
{
	for (size_t i = 0; i < report->rows.count; i++) {
		size_t length;

		if (!strcmp(label_text(&report->labels, report->rows.items[i].label, &length),
			    name))
			return &report->rows.items[i];
	}
	ck_abort_msg("no row %s", name);
}

START_TEST(recursion_counts_once_a_sample)
{
	struct profile *profile = profile_from_text("value n count\n"
						    "stack a;main;f;g;f;f 1\n"
						    "stack a;main;f 2\nstack b;main;g;f 4\n"
						    "stack b 8\nstack b;zero 0\n"
						    "loss x 3 y\nloss z 4 y\ncount w 5 y\n");
	struct report report;

	ck_assert_int_eq(report_compute(profile, 0, 0, &report), 0);
	ck_assert_uint_eq(report.rows.count, 3);
	ck_assert_uint_eq(report.total, 15);
	ck_assert_uint_eq(report.lost, 7);
	ck_assert_uint_eq(row_of(&report, "f")->self, 7);
	ck_assert_uint_eq(row_of(&report, "f")->total, 7);
	ck_assert_uint_eq(row_of(&report, "g")->self, 0);
	ck_assert_uint_eq(row_of(&report, "g")->total, 5);
	ck_assert_uint_eq(row_of(&report, "main")->total, 7);
	report_deinit(&report);
	profile_destroy(profile);
}
END_TEST

START_TEST(rows_are_sorted_and_cut)
{
	struct profile *profile = profile_from_text("value n count\nstack a;m;c 5\nstack a;m;b 5\n"
						    "stack a;m;d 7\nstack a;m;e 1\n");
	struct format_options options = {.top = 2};
	struct report report;
	size_t length;
	char *text;

	ck_assert_int_eq(report_compute(profile, 0, 3, &report), 0);
	ck_assert_uint_eq(report.rows.count, 3);
	ck_assert_uint_eq(report.rows_all, 5);
	ck_assert_str_eq(label_text(&report.labels, report.rows.items[0].label, &length), "d");
	ck_assert_str_eq(label_text(&report.labels, report.rows.items[1].label, &length), "b");
	ck_assert_str_eq(label_text(&report.labels, report.rows.items[2].label, &length), "c");
	report_deinit(&report);
	ck_assert_int_eq(profile_render(profile, "report", &options, NULL, &text), 0);
	ck_assert_ptr_nonnull(strstr(text, "\n... and 3 more functions\n"));
	free(text);
	ck_assert_int_eq(report_compute(profile, 1, 0, &report), -EINVAL);
	profile_destroy(profile);
}
END_TEST

START_TEST(properties)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	struct report report;
	uint64_t self = 0;

	ck_assert_int_eq(report_compute(profile, 1, 0, &report), 0);
	for (size_t i = 0; i < report.rows.count; i++) {
		self += report.rows.items[i].self;
		ck_assert_uint_le(report.rows.items[i].self, report.rows.items[i].total);
		ck_assert_uint_le(report.rows.items[i].total, report.total);
	}
	ck_assert_uint_le(self, report.total);
	report_deinit(&report);
	profile_destroy(profile);
}
END_TEST

static Suite *report_suite(void)
{
	Suite *suite = suite_create("format_report");
	TCase *tc = tcase_create("report");

	tcase_add_test(tc, golden_tables);
	tcase_add_test(tc, recursion_counts_once_a_sample);
	tcase_add_test(tc, rows_are_sorted_and_cut);
	tcase_add_loop_test(tc, properties, 1, 50);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(report_suite());
}
