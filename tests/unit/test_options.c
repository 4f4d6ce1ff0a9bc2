/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/options.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOWED                                                                                    \
	(OPTION_BIT(PID) | OPTION_BIT(ALL) | OPTION_BIT(FREQUENCY) | OPTION_BIT(DURATION) |        \
	 OPTION_BIT(OUTPUT))
#define ARGS_MAX 16

static struct options options;
static struct error problem;

/* Parses "record" and the words of `line`. */
static int parse_allowed(const char *line, uint64_t allowed)
{
	static char words[256];
	static char *argv[ARGS_MAX + 1];
	char *save = NULL;
	int argc = 1;

	snprintf(words, sizeof(words), "%s", line);
	argv[0] = (char[]){"record"};
	for (char *word = strtok_r(words, " ", &save); word && argc < ARGS_MAX;
	     word = strtok_r(NULL, " ", &save))
		argv[argc++] = word;
	argv[argc] = NULL;
	return options_parse(argc, argv, allowed, &options, &problem);
}

static int parse(const char *line)
{
	return parse_allowed(line, ALLOWED);
}

static void refuses(const char *line, const char *want)
{
	ck_assert_int_eq(parse(line), -EINVAL);
	ck_assert_str_eq(problem.text, want);
}

START_TEST(values)
{
	ck_assert_int_eq(parse("-p 12 -F499 --duration=1.5m -o x.svg"), 0);
	ck_assert_int_eq(options.pid, 12);
	ck_assert_uint_eq(options.frequency_hz, 499);
	ck_assert_uint_eq(options.duration_ns, 90000000000);
	ck_assert_str_eq(options.output, "x.svg");
	ck_assert_int_eq(options.rest_count, 0);
	ck_assert(option_given(&options, OPTION_PID) && !option_given(&options, OPTION_ALL));
}
END_TEST

START_TEST(the_commands_options_are_its_own)
{
	ck_assert_int_eq(parse("-F 9 -- ls -a --pid 3"), 0);
	ck_assert_int_eq(options.rest_count, 4);
	ck_assert_str_eq(options.rest[0], "ls");
	ck_assert_str_eq(options.rest[1], "-a");
	ck_assert_int_eq(options.pid, 0);
	ck_assert_int_eq(parse("ls -a"), 0);
	ck_assert_int_eq(options.rest_count, 2);
	ck_assert(!option_given(&options, OPTION_ALL));
}
END_TEST

START_TEST(files_may_stand_before_options)
{
	ck_assert_int_eq(parse_allowed("a.folded -o x.svg - -F 9", ALLOWED | OPTIONS_MIXED), 0);
	ck_assert_int_eq(options.rest_count, 2);
	ck_assert_str_eq(options.rest[0], "a.folded");
	ck_assert_str_eq(options.rest[1], "-");
	ck_assert_str_eq(options.output, "x.svg");
	ck_assert_uint_eq(options.frequency_hz, 9);
	ck_assert_int_eq(parse_allowed("a -- -o", ALLOWED | OPTIONS_MIXED), 0);
	ck_assert_int_eq(options.rest_count, 2);
	ck_assert_int_eq(parse_allowed("a --outputt x", ALLOWED | OPTIONS_MIXED), -EINVAL);
	ck_assert_str_eq(problem.text, "unknown option --outputt (did you mean --output?)");
}
END_TEST

START_TEST(errors_name_the_option)
{
	refuses("-p 0", "--pid 0: expected the number of a process");
	refuses("-p -1", "--pid -1: expected the number of a process");
	refuses("-p 99999999999", "--pid 99999999999: expected the number of a process");
	refuses("-F 1e3", "--frequency 1e3: expected a number of samples a second, from 1 on");
	refuses("-d 5x", "--duration 5x: expected a time: 500ms, 10s, 2m, 1h");
	refuses("--duraton 5", "unknown option --duraton (did you mean --duration?)");
	refuses("--xyzzy", "unknown option --xyzzy");
	refuses("-z", "unknown option -z");
	refuses("--json", "unknown option --json"); /* not one of this command's */
	refuses("--all=5", "option --all takes no value");
	refuses("--pid", "option --pid needs a value");
	refuses("-p", "option -p needs a value");
}
END_TEST

START_TEST(durations)
{
	static const struct {
		const char *text;
		uint64_t ns; /* 0: refused */
	} cases[] = {{"500ms", 500000000},
		     {"10s", 10000000000},
		     {"2m", 120000000000},
		     {"1h", 3600000000000},
		     {"10", 10000000000},
		     {"0.5", 500000000},
		     {"7us", 7000},
		     {"3ns", 3},
		     {"", 0},
		     {"0", 0},
		     {"-1s", 0},
		     {"+1s", 0},
		     {"inf", 0},
		     {"nan", 0},
		     {"0x10", 0},
		     {"1e3", 0},
		     {" 1s", 0},
		     {"1 s", 0},
		     {"1d", 0},
		     {"s", 0},
		     {".", 0},
		     {"0.1ns", 0},
		     {"99999999999h", 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t ns = 0;
		int r = parse_duration(cases[i].text, &ns);

		ck_assert_msg(r == (cases[i].ns ? 0 : -EINVAL) && ns == cases[i].ns,
			      "\"%s\": %d %llu", cases[i].text, r, (unsigned long long)ns);
	}
}
END_TEST

START_TEST(near_names)
{
	static const char *const names[] = {"record", "report", "status", "attach", "detach"};

	ck_assert_str_eq(nearest_name("recrod", names, 5), "record");
	ck_assert_str_eq(nearest_name("stat", names, 5), "status");
	ck_assert_str_eq(nearest_name("atach", names, 5), "attach");
	ck_assert_ptr_null(nearest_name("frobnicate", names, 5));
	ck_assert_ptr_null(nearest_name("", names, 5));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("options");
	TCase *tcase = tcase_create("options");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, values);
	tcase_add_test(tcase, the_commands_options_are_its_own);
	tcase_add_test(tcase, files_may_stand_before_options);
	tcase_add_test(tcase, errors_name_the_option);
	tcase_add_test(tcase, durations);
	tcase_add_test(tcase, near_names);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
