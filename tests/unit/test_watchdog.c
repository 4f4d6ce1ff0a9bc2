/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The watchdog's two decisions: how often, and whether.
 */
#include "daemon/base/clock.h"
#include "daemon/watchdog.h"
#include "tests/unit/suite.h"

#include <errno.h>

static const struct {
	const char *usec, *pid;
	int r;
	uint64_t ns;
} intervals[] = {
	{NULL, NULL, 0, 0},
	{"", NULL, 0, 0},
	{"15000000", NULL, 0, 7500 * NSEC_PER_MSEC},
	{"15000000", "", 0, 7500 * NSEC_PER_MSEC},
	{"15000000", "42", 0, 7500 * NSEC_PER_MSEC},
	{"15000000", "43", 0, 0}, /* another's */
	{"15000000", "42x", 0, 0},
	{"1000", "42", 0, 500 * 1000},
	{"999", "42", -EINVAL, 0},
	{"0", "42", -EINVAL, 0},
	{"-1", "42", -EINVAL, 0},
	{" 15", "42", -EINVAL, 0},
	{"15s", "42", -EINVAL, 0},
	{"18446744073709551615", "42", -EINVAL, 0},
	{"18446744073709551616", "42", -EINVAL, 0},
};

START_TEST(half_of_the_time)
{
	uint64_t ns = 1;

	ck_assert_int_eq(watchdog_interval(intervals[_i].usec, intervals[_i].pid, 42, &ns),
			 intervals[_i].r);
	ck_assert_uint_eq(ns, intervals[_i].ns);
}
END_TEST

START_TEST(progress_is_life)
{
	struct watchdog watchdog = {.moved = 100 * NSEC_PER_SEC};
	uint64_t now = 100 * NSEC_PER_SEC;

	for (uint64_t i = 1; i < 5; i++) {
		now += 7 * NSEC_PER_SEC;
		ck_assert(watchdog_alive(&watchdog, i, now));
	}
	/* Read no more: no sign of life, until it goes on. */
	now += 7 * NSEC_PER_SEC;
	ck_assert(!watchdog_alive(&watchdog, 4, now));
	now += 7 * NSEC_PER_SEC;
	ck_assert(!watchdog_alive(&watchdog, 4, now));
	ck_assert(watchdog_alive(&watchdog, 5, now));
}
END_TEST

/* The source is read four times a second: a short watchdog may look twice between. */
START_TEST(grace_of_a_second)
{
	struct watchdog watchdog = {0};

	ck_assert(watchdog_alive(&watchdog, 1, 5 * NSEC_PER_SEC));
	ck_assert(watchdog_alive(&watchdog, 1, 5 * NSEC_PER_SEC + 999 * NSEC_PER_MSEC));
	ck_assert(!watchdog_alive(&watchdog, 1, 6 * NSEC_PER_SEC));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("watchdog");
	TCase *tc = tcase_create("watchdog");

	tcase_add_loop_test(tc, half_of_the_time, 0, sizeof(intervals) / sizeof(intervals[0]));
	tcase_add_test(tc, progress_is_life);
	tcase_add_test(tc, grace_of_a_second);
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}
