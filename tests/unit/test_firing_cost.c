/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "daemon/firing_cost.h"
#include "tests/unit/suite.h"

/* 100 firings of about 12 us; of other interrupts, some are shorter and some longer. */
START_TEST(others_do_not_count)
{
	uint64_t gaps[130];
	size_t count = 0;
	uint32_t ns = 0;

	for (uint64_t i = 0; i < 100; i++)
		gaps[count++] = 11500 + i * 10;
	for (uint64_t i = 0; i < 18; i++)
		gaps[count++] = 400 + i;
	for (uint64_t i = 0; i < 12; i++)
		gaps[count++] = 90000;
	ck_assert_int_eq(firing_cost_of(gaps, count, 120, &ns), 0);
	ck_assert_uint_ge(ns, 11500);
	ck_assert_uint_le(ns, 12500);
}
END_TEST

/* The CPU was others' most of the time: what was seen says nothing. */
START_TEST(too_few_say_nothing)
{
	uint64_t gaps[59] = {[0 ... 58] = 12000};
	uint32_t ns = 7;

	ck_assert_int_eq(firing_cost_of(gaps, 59, 120, &ns), -EAGAIN);
	ck_assert_int_eq(firing_cost_of(gaps, 0, 0, &ns), -EAGAIN);
	ck_assert_uint_eq(ns, 7);
}
END_TEST

/* Wherever such events are given: no machine does it in no time, and none takes as long as a
 * task's turn. */
START_TEST(this_machine)
{
	uint32_t ns = 7;
	int r = firing_cost_measure(&ns);

	if (r) {
		ck_assert_uint_eq(ns, 7);
		return;
	}
	ck_assert_uint_gt(ns, 300);
	ck_assert_uint_lt(ns, 150000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("firing_cost");

	SUITE_CASE(suite, "firing_cost", others_do_not_count, too_few_say_nothing, this_machine);
	return suite_main(suite);
}
