/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What every suite's main() does: runs it as the environment says (CK_FORK,
 * CK_VERBOSITY) and fails if a test failed.
 */
#pragma once

#include <check.h>
#include <stdlib.h>

static inline int suite_main(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Adds a case of the named tests. */
#define SUITE_CASE(suite, name, ...)                                                               \
	do {                                                                                       \
		const TTest *tests_[] = {__VA_ARGS__};                                             \
		TCase *case_ = tcase_create(name);                                                 \
		for (size_t i_ = 0; i_ < sizeof(tests_) / sizeof(tests_[0]); i_++)                 \
			tcase_add_test(case_, tests_[i_]);                                         \
		suite_add_tcase(suite, case_);                                                     \
	} while (0)
