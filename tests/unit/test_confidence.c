/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Intervals of shares: against known ones, and how often they hold the truth.
 */
#include <math.h>

#include "flamegraph/confidence.h"
#include "tests/unit/suite.h"

#define RUNS 4000

static struct confidence_sum alike(double n, double weight)
{
	return (struct confidence_sum){.weight = n * weight, .squares = n * weight * weight};
}

/* Wilson's for 10 of 100: 0.0552 to 0.1744; whatever each stands for. */
START_TEST(known_ones)
{
	for (double weight = 1; weight < 1e8; weight *= 100) {
		struct confidence_sum part = alike(10, weight), all = alike(100, weight);
		struct confidence interval = confidence_of_share(&part, &all);

		ck_assert_double_eq_tol(interval.low, 0.0552, 1e-4);
		ck_assert_double_eq_tol(interval.high, 0.1744, 1e-4);
	}
}
END_TEST

START_TEST(ends)
{
	struct confidence_sum none = {0}, all = alike(100, 3);
	struct confidence interval = confidence_of_share(&none, &all);

	ck_assert_double_eq(interval.low, 0);
	ck_assert_double_eq_tol(interval.high, 0.0370, 1e-4);
	interval = confidence_of_share(&all, &all);
	ck_assert_double_eq_tol(interval.low, 0.9630, 1e-4);
	ck_assert_double_eq(interval.high, 1);
	interval = confidence_of_share(&none, &none);
	ck_assert_double_eq(interval.low, 0);
	ck_assert_double_eq(interval.high, 1);
}
END_TEST

static double chance(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (double)(*seed >> 11) / (double)(1ULL << 53);
}

/* Of samples whose weights jump as if the rate did, between 19 and 999 Hz. */
static const double shares[] = {0.5, 0.3, 0.1, 0.02};

START_TEST(holds_the_truth)
{
	double share = shares[_i];
	uint64_t seed = 7 + (uint64_t)_i;
	int held = 0;

	for (int run = 0; run < RUNS; run++) {
		struct confidence_sum part = {0}, all = {0};
		struct confidence interval;
		double weight = 1;

		for (int i = 0; i < 1000; i++) {
			if (i % 50 == 0)
				weight = 1000 / (19 + 980 * chance(&seed));
			all.weight += weight;
			all.squares += weight * weight;
			if (chance(&seed) >= share)
				continue;
			part.weight += weight;
			part.squares += weight * weight;
		}
		interval = confidence_of_share(&part, &all);
		held += interval.low <= share && share <= interval.high;
	}
	ck_assert_msg(fabs((double)held / RUNS - 0.95) < 0.03, "%.2f: %d of %d intervals", share,
		      held, RUNS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("confidence");
	TCase *truth = tcase_create("truth");

	SUITE_CASE(suite, "intervals", known_ones, ends);
	tcase_add_loop_test(truth, holds_the_truth, 0, sizeof(shares) / sizeof(shares[0]));
	suite_add_tcase(suite, truth);
	return suite_main(suite);
}
