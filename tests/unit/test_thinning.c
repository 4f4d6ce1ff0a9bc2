/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When firings on busy processes are thinned out, and what is said of it; that the source is
 * told and outputs have their mark is in tests/scenario/busy.py.
 */
#include "daemon/thinning.h"
#include "tests/unit/suite.h"

static struct config usual(void)
{
	return (struct config){.budget_permille = 10, .budget_thin = 5};
}

START_TEST(under_a_budget)
{
	struct config config = usual();
	struct thinning thinning = thinning_judge(&config, false);

	ck_assert_uint_eq(thinning.one_in, 5);
	ck_assert_str_eq(thinning.why, "the budget goes further (budget.thin)");
	config.budget_thin = 255;
	ck_assert_uint_eq(thinning_judge(&config, false).one_in, 255);
}
END_TEST

static void check_none(const struct config *config, bool forced, const char *why)
{
	struct thinning thinning = thinning_judge(config, forced);

	ck_assert_uint_eq(thinning.one_in, 1);
	ck_assert_str_eq(thinning.why, why);
}

START_TEST(where_all_are_wanted)
{
	struct config config = usual();

	check_none(&config, true, "the rate is set by hand");
	config.precision_permille = 10;
	check_none(&config, false, "budget.precision is set");
	config.budget_permille = 0;
	check_none(&config, false, "there is no budget (budget.machine is 0)");
	config.budget_thin = 1;
	check_none(&config, true, "budget.thin is 1");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("thinning");

	SUITE_CASE(suite, "judge", under_a_budget, where_all_are_wanted);
	return suite_main(suite);
}
