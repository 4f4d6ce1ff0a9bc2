/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/profile_text.h"

static void check_golden(const char *golden)
{
	char *in = golden_read(golden, "in");
	struct profile *profile = profile_from_text(in);
	char *folded = profile_must_render(profile, "folded");

	golden_check(golden, folded);
	free(folded);
	free(in);
	profile_destroy(profile);
}

START_TEST(golden_lines)
{
	golden_each("folded", check_golden);
}
END_TEST

/* What other programs rely on: a blank and an integer end each line, no line comes
 * twice, lines are in the order of their bytes, and nothing is lost or doubled. */
START_TEST(properties)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	char *folded = profile_must_render(profile, "folded"), *rest = folded, *line;
	char last[4096] = "";
	uint64_t total = 0;

	while ((line = strsep(&rest, "\n")) && *line) {
		char *blank = strrchr(line, ' '), *end;

		ck_assert_ptr_nonnull(blank);
		total += strtoull(blank + 1, &end, 10);
		ck_assert_int_eq(*end, '\0');
		*blank = '\0';
		ck_assert_int_lt(strcmp(last, line), 0);
		snprintf(last, sizeof(last), "%s", line);
	}
	ck_assert_uint_eq(total, profile_total(profile, 1));
	free(folded);
	profile_destroy(profile);
}
END_TEST

static void check(const struct format_options *options, const char *want)
{
	struct profile *profile = profile_from_text("value samples count\nvalue cpu nanoseconds\n"
						    "default 1\nstack b;main 1 100\n"
						    "stack a;main 2 50\nstack a 3 25\n");
	char *folded;

	ck_assert_int_eq(profile_render(profile, "folded", options, NULL, &folded), 0);
	ck_assert_str_eq(folded, want);
	free(folded);
	profile_destroy(profile);
}

START_TEST(options_are_heeded)
{
	check(NULL, "a 25\na;main 50\nb;main 100\n");
	check(&(struct format_options){.value = "samples"}, "a 3\na;main 2\nb;main 1\n");
	check(&(struct format_options){.without_comm = true}, "[no stack] 25\nmain 150\n");
}
END_TEST

static Suite *folded_suite(void)
{
	Suite *suite = suite_create("format_folded");
	TCase *tc = tcase_create("folded");

	tcase_add_test(tc, golden_lines);
	tcase_add_loop_test(tc, properties, 1, 200);
	tcase_add_test(tc, options_are_heeded);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(folded_suite());
}
