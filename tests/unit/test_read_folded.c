/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/read_text.h"

START_TEST(what_is_written_is_read)
{
	static const char text[] = "a;b 1\na;b;c_[k] 20\na;d_[i];e_[j] 3\nf 4\n";
	struct profile *profile = read_text(text);

	check_folded(profile, text);
	ck_assert_uint_eq(profile_total(profile, 0), 28);
	ck_assert_str_eq(malformed_text(profile), "");
	profile_destroy(profile);
}
END_TEST

START_TEST(sloppy_lines_are_read)
{
	struct profile *profile = read_text("# a remark\r\n\r\na;b c;d  7 \r\n"
					    "a;b c;d\t1\nname with 2 blanks 5");

	check_folded(profile, "a;b c;d 8\nname with 2 blanks 5\n");
	ck_assert_str_eq(malformed_text(profile), "");
	profile_destroy(profile);
}
END_TEST

START_TEST(malformed_lines_are_skipped_and_named)
{
	struct profile *profile = read_text("a;b 1\na;b\na;b -3\n12\na;b 1e400\nc 2\n"
					    "d 1\nd 1\nd 1\n");

	check_folded(profile, "a;b 1\nc 2\nd 3\n");
	ck_assert_str_eq(malformed_text(profile), "not understood and skipped: lines 2, 3, 4, 5 "
						  "(the first: no number at its end)");
	profile_destroy(profile);
}
END_TEST

START_TEST(fractions_keep_their_sum)
{
	struct profile *profile = read_text("a 1\nb 0.25\nc 0.000001\na 2.5\n");

	ck_assert_str_eq(profile_text(profile, profile->value_types[0].unit), "millionths");
	check_folded(profile, "a 3500000\nb 250000\nc 1\n");
	profile_destroy(profile);
	profile = read_text("a 1.0\nb 2.000\n");
	ck_assert_str_eq(profile_text(profile, profile->value_types[0].unit), "count");
	check_folded(profile, "a 1\nb 2\n");
	profile_destroy(profile);
}
END_TEST

/* The first lines decide; a later one that lacks a column is malformed. */
START_TEST(two_columns_are_before_and_after)
{
	struct strbuf text = {0};
	struct profile *profile;

	strbuf_puts(&text, "a;b 1 2\na;c 3 0\n");
	for (unsigned i = 0; i < 100; i++)
		strbuf_puts(&text, "a;d 1 1\n");
	strbuf_puts(&text, "a 9\n");
	profile = read_text(text.data);
	ck_assert_uint_eq(profile->value_type_count, 2);
	ck_assert_uint_eq(profile->default_value, 1);
	ck_assert_uint_eq(profile_total(profile, profile_find_value_type(profile, "before", NULL)),
			  104);
	ck_assert_uint_eq(profile_total(profile, profile_find_value_type(profile, "after", NULL)),
			  102);
	ck_assert_ptr_nonnull(strstr(malformed_text(profile), "line 103 (the first: only one"));
	profile_destroy(profile);
	strbuf_deinit(&text);
}
END_TEST

/* A name that ends with a number is no column if other lines have one number only. */
START_TEST(a_number_in_a_name_is_no_column)
{
	struct profile *profile = read_text("worker 1 10\nworker;f 20\n");

	check_folded(profile, "worker 1 10\nworker;f 20\n");
	profile_destroy(profile);
}
END_TEST

static void check_failure(const char *format, const char *text, int code, const char *want)
{
	struct profile *profile = NULL;
	struct error error = {0};

	ck_assert_int_eq(read_bytes(format, text, strlen(text), NULL, &error, &profile), code);
	ck_assert_str_eq(error.text, want);
	ck_assert_ptr_null(profile);
}

START_TEST(nothing_in_it_is_an_error)
{
	check_failure(NULL, "", -ENODATA, "it is empty");
	check_failure("folded", "", -ENODATA, "no stack in it, as folded");
	check_failure("folded", "a;b 0\n", -ENODATA, "no stack in it, as folded");
	check_failure("folded", "x y\n", -EBADMSG,
		      "no stack in it, as folded; not understood and skipped: line 1 (the first: "
		      "no number at its end)");
	check_failure(NULL, "Dear reader,\nthis is a letter.\n", -EBADMSG,
		      "none of the formats that can be read (folded, pprof, perf, perfd)");
	check_failure("svg", "a 1\n", -EINVAL, "svg can be written, not read");
}
END_TEST

START_TEST(a_stack_that_is_too_deep_is_malformed)
{
	size_t depth = 20000;
	struct strbuf text = {0};
	struct profile *profile;

	strbuf_puts(&text, "a;b 1\n");
	for (size_t i = 0; i < depth; i++)
		strbuf_puts(&text, "f;");
	strbuf_puts(&text, "f 1\na;c 2\n");
	profile = read_text(text.data);
	check_folded(profile, "a;b 1\na;c 2\n");
	ck_assert_ptr_nonnull(strstr(malformed_text(profile), "line 2 (the first: its stack is"));
	profile_destroy(profile);
	strbuf_deinit(&text);
}
END_TEST

/* The shortcut for what a line shares with the one before is no other way of reading. */
START_TEST(neighbours_do_not_matter)
{
	static const char *const lines[] = {
		"aa;bb;cc 1", "aa;bb 1", "aa;bb;cc;dd 1", "aa;b 1", "aa;bbb;cc 1",
		"a;bb;cc 1",  "aa 1",    "aa;bb;cd 1",    ";; 1",   "; 1"};
	unsigned seed = (unsigned)_i;
	struct strbuf text = {0};
	struct profile *profile, *sorted;
	char *got, *want;

	for (unsigned i = 0; i < 60; i++) {
		strbuf_puts(&text, lines[(unsigned)rand_r(&seed) % 10]);
		strbuf_putc(&text, '\n');
	}
	profile = read_text(text.data);
	got = profile_must_render(profile, "folded");
	sorted = read_text(got);
	want = profile_must_render(sorted, "folded");
	ck_assert_str_eq(got, want);
	ck_assert_uint_eq(profile_total(profile, 0), 60);
	profile_destroy(profile);
	profile_destroy(sorted);
	free(got);
	free(want);
	strbuf_deinit(&text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("read_folded");
	TCase *tc = tcase_create("read_folded");

	tcase_add_test(tc, what_is_written_is_read);
	tcase_add_test(tc, sloppy_lines_are_read);
	tcase_add_test(tc, malformed_lines_are_skipped_and_named);
	tcase_add_test(tc, fractions_keep_their_sum);
	tcase_add_test(tc, two_columns_are_before_and_after);
	tcase_add_test(tc, a_number_in_a_name_is_no_column);
	tcase_add_test(tc, nothing_in_it_is_an_error);
	tcase_add_test(tc, a_stack_that_is_too_deep_is_malformed);
	tcase_add_loop_test(tc, neighbours_do_not_matter, 0, 50);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
