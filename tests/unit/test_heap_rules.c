/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rules of sampling, one after another, and samples that are weighed by their own.
 */
#include "daemon/heap_rules.h"

#include <math.h>

#include "daemon/base/clock.h"
#include "tests/unit/suite.h"

#define USUAL ((uint64_t)64 << 10)

static double by_interval(double size, double interval)
{
	return size / -expm1(-size / interval);
}

static uint32_t code_of(const struct heap_rules *rules)
{
	struct abi_heap_target target = {0};

	heap_rules_fill(rules, &target);
	return target.weight;
}

/* A second in which so many bytes were seen, in pieces of that size. */
static bool second(struct heap_rules *rules, unsigned int number, double bytes, double size)
{
	if (bytes > 0)
		heap_rules_saw(rules, size, bytes);
	return heap_rules_look(rules, (number + 1) * NSEC_PER_SEC, number * NSEC_PER_SEC);
}

START_TEST(off)
{
	struct abi_heap_target target = {.hits = 7};
	struct heap_rules rules;

	heap_rules_init(&rules, 100000, false);
	for (unsigned int i = 0; i < 10; i++)
		ck_assert(!second(&rules, i, 1000, 100));
	heap_rules_fill(&rules, &target);
	ck_assert_uint_eq(target.interval, 100000);
	ck_assert_uint_eq(target.band, 0);
	ck_assert_uint_eq(target.grant, 0);
	ck_assert_uint_eq(target.hits, 7);
	ck_assert_double_eq_tol(heap_rules_weigh(&rules, target.weight, 3000),
				by_interval(3000, 100000), 1e-6);
}
END_TEST

START_TEST(a_sample_is_weighed_by_its_own_rule)
{
	uint32_t codes[ABI_WEIGHT_RULES], coarse;
	uint64_t intervals[ABI_WEIGHT_RULES];
	struct heap_rules rules;
	unsigned int at = 0, n = 0;

	heap_rules_init(&rules, USUAL, true);
	codes[n] = code_of(&rules);
	intervals[n++] = USUAL;
	/* It allocates more and more. */
	for (double bytes = 1e8; n < 4; bytes *= 3) {
		while (!second(&rules, at++, bytes, 2000))
			ck_assert_uint_lt(at, 100);
		codes[n] = code_of(&rules);
		intervals[n++] = heap_rules_present(&rules)->interval;
	}
	for (unsigned int i = 0; i < n; i++) {
		ck_assert_double_eq_tol(heap_rules_weigh(&rules, codes[i], 2000),
					by_interval(2000, (double)intervals[i]), 1e-6);
		coarse = codes[i] + 1;
		ck_assert_double_eq_tol(heap_rules_weigh(&rules, coarse, 2000),
					by_interval(2000, (double)abi_coarse(intervals[i])), 1e-6);
		for (unsigned int other = 0; other < i; other++)
			ck_assert_uint_ne(codes[i], codes[other]);
	}
	ck_assert_uint_eq(rules.coarse, n);
	ck_assert_double_eq(heap_rules_weigh(&rules, ABI_WEIGHT_BAND, 5e6), 5e6);
	ck_assert_uint_eq(rules.coarse, n);
}
END_TEST

START_TEST(codes_are_no_weights)
{
	ck_assert_uint_gt(ABI_WEIGHT_RULE, abi_small(1ULL << 57, ABI_WEIGHT_MANTISSA, UINT64_MAX));
	ck_assert_uint_lt(ABI_WEIGHT_BAND, ABI_WEIGHT_ITSELF);
	ck_assert_uint_lt(ABI_WEIGHT_ITSELF, 1u << (32 - ABI_PID_BITS));
	ck_assert_uint_eq(abi_coarse(1024), 64 << 10);
	ck_assert_uint_eq(abi_coarse(1 << 30), ABI_INTERVAL_MAX);
	ck_assert_uint_eq(abi_coarse(0), 0);
}
END_TEST

/* Other settings hold at once, and what was drawn before keeps its weight. */
START_TEST(settings)
{
	struct heap_rules rules;
	uint32_t before;

	heap_rules_init(&rules, USUAL, true);
	before = code_of(&rules);
	heap_rules_set(&rules, USUAL, true);
	ck_assert_uint_eq(code_of(&rules), before);
	ck_assert_uint_eq(rules.changes, 0);
	heap_rules_set(&rules, 4096, true);
	ck_assert_uint_eq(heap_rules_present(&rules)->interval, 4096);
	ck_assert_uint_gt(heap_rules_present(&rules)->band, 0);
	heap_rules_set(&rules, 4096, false);
	ck_assert_uint_eq(heap_rules_present(&rules)->band, 0);
	ck_assert_uint_eq(rules.changes, 2);
	ck_assert_double_eq_tol(heap_rules_weigh(&rules, before, 100),
				by_interval(100, (double)USUAL), 1e-6);
}
END_TEST

/* Only time that was looked at says how much is allocated. */
START_TEST(seconds_that_were_looked_at)
{
	struct heap_rules rules;
	uint64_t now = NSEC_PER_SEC, looked = 0;

	heap_rules_init(&rules, USUAL, true);
	heap_rules_look(&rules, now, looked);
	for (int i = 0; i < 20; i++) {
		/* 20 ms of each second, in which 160 KB come: 8 MB a second. */
		heap_rules_saw(&rules, 1000, 160000);
		now += NSEC_PER_SEC;
		looked += 20 * NSEC_PER_MSEC;
		heap_rules_look(&rules, now, looked);
	}
	ck_assert_double_eq_tol(alloc_behaviour_mean(&rules.behaviour).bytes, 8e6, 1);
	ck_assert_int_eq(rules.behaviour.pattern, ALLOC_STEADY);
	/* The probes are out for long: nothing is known of that. */
	for (int i = 0; i < 60; i++)
		heap_rules_look(&rules, now += NSEC_PER_SEC, looked);
	ck_assert_double_eq_tol(alloc_behaviour_mean(&rules.behaviour).bytes, 8e6, 1);
	/* Another program. */
	heap_rules_restart(&rules);
	ck_assert_int_eq(rules.behaviour.pattern, ALLOC_UNKNOWN);
	ck_assert_uint_eq(heap_rules_present(&rules)->interval, USUAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("heap_rules");

	SUITE_CASE(suite, "rules", off, a_sample_is_weighed_by_its_own_rule, codes_are_no_weights,
		   settings, seconds_that_were_looked_at);
	return suite_main(suite);
}
