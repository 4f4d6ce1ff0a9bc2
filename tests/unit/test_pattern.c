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

static const struct {
	struct heap_second second;
	enum heap_pattern pattern;
	uint64_t interval;
} heaps[] = {
	{{0, 0}, HEAP_UNKNOWN, 65536},
	{{1e6, 24e6}, HEAP_MANY_SMALL, 120000},
	{{1e6, 500e6}, HEAP_MANY_SMALL, 2500000},
	{{1e6, 1e9}, HEAP_MANY_SMALL, PATTERN_INTERVAL_MAX},
	{{10, 100e6}, HEAP_FEW_LARGE, 500000},
	{{10, 100e3}, HEAP_FEW_LARGE, PATTERN_INTERVAL_MIN},
	{{5000, 1e6}, HEAP_MIXED, 5000},
};

START_TEST(memory)
{
	ck_assert_int_eq(heap_pattern_judge(&heaps[_i].second), heaps[_i].pattern);
	ck_assert_uint_eq(heap_pattern_interval(&heaps[_i].second, 65536), heaps[_i].interval);
	ck_assert_uint_gt(heap_pattern_name(heaps[_i].pattern)[0], 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pattern");
	TCase *memories = tcase_create("memory");

	SUITE_CASE(suite, "cpu", cpu, a_process_that_changes);
	tcase_add_loop_test(memories, memory, 0, sizeof(heaps) / sizeof(heaps[0]));
	suite_add_tcase(suite, memories);
	return suite_main(suite);
}
