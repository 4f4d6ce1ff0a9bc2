/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What processes are taken for, and the rule that follows.
 */
#include "daemon/pattern.h"
#include "tests/unit/suite.h"

static enum cpu_pattern after(const double *shares, size_t n)
{
	struct cpu_seconds seconds = {0};

	for (size_t i = 0; i < n; i++)
		cpu_seconds_add(&seconds, shares[i]);
	return cpu_pattern_judge(&seconds);
}

START_TEST(cpu)
{
	const double busy[] = {0.9, 1.0, 0.95}, light[] = {0.1, 0.12, 0.05},
		     rare[] = {0, 0.001, 0.002}, few[] = {1, 1};
	double bursts[PATTERN_SECONDS] = {0};

	ck_assert_int_eq(after(few, 2), CPU_UNKNOWN);
	ck_assert_int_eq(after(busy, 3), CPU_BUSY);
	ck_assert_int_eq(after(light, 3), CPU_LIGHT);
	ck_assert_int_eq(after(rare, 3), CPU_RARE);
	/* One second of work in sixteen; of the first seconds none is a burst yet. */
	for (size_t i = 0; i < PATTERN_SECONDS; i++)
		bursts[i] = i ? 0.02 : 1;
	ck_assert_int_eq(after(bursts, PATTERN_SECONDS), CPU_BURSTY);
	ck_assert_int_eq(after(bursts, PATTERN_SECONDS - 1), CPU_LIGHT);
}
END_TEST

/* What was long ago is forgotten. */
START_TEST(a_process_that_changes)
{
	struct cpu_seconds seconds = {0};

	for (int i = 0; i < 100; i++)
		cpu_seconds_add(&seconds, 1);
	ck_assert_int_eq(cpu_pattern_judge(&seconds), CPU_BUSY);
	for (unsigned int i = 0; i < PATTERN_SECONDS; i++)
		cpu_seconds_add(&seconds, 0);
	ck_assert_int_eq(cpu_pattern_judge(&seconds), CPU_RARE);
	ck_assert_double_gt(cpu_pattern_factor(CPU_RARE), cpu_pattern_factor(CPU_BUSY));
	ck_assert_double_eq(cpu_pattern_factor(CPU_UNKNOWN), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pattern");

	SUITE_CASE(suite, "cpu", cpu, a_process_that_changes);
	return suite_main(suite);
}
