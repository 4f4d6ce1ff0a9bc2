/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether all mappings are told: at once not where that is much, again after a while, and later and
 * later where that does not last.
 */
#include "daemon/mapping_choice.h"

#include "daemon/base/clock.h"
#include "tests/unit/suite.h"

#define BUDGET 0.01
#define MUCH (BUDGET / 2)
#define LITTLE (BUDGET / 100)
#define MODERATE (BUDGET / 10)
#define BETWEEN (BUDGET / 30) /* neither */
#define STEP_NS (500 * NSEC_PER_MSEC)

struct world {
	struct mapping_choice choice;
	uint64_t now;
};

/* Looks as often as the engine does; for how long it was as it is at the end, at most `limit`. */
static uint64_t until_turn(struct world *world, double cost, uint64_t limit)
{
	uint64_t began = world->now;
	bool blind;

	while (world->now - began < limit) {
		blind = mapping_choice_make(&world->choice, cost, BUDGET, world->now);
		if (blind != world->choice.blind) {
			mapping_choice_turned(&world->choice, blind, world->now);
			return world->now - began;
		}
		world->now += STEP_NS;
	}
	return limit;
}

START_TEST(at_once_and_back_when_it_is_over)
{
	struct world world = {.now = 100 * NSEC_PER_SEC};
	const uint64_t hour = 3600 * NSEC_PER_SEC;

	ck_assert_uint_eq(until_turn(&world, LITTLE, hour), hour);
	ck_assert(!world.choice.blind);
	ck_assert_uint_eq(until_turn(&world, MUCH, hour), 0);
	ck_assert(world.choice.blind);
	/* Neither much nor little: as it is. */
	ck_assert_uint_eq(until_turn(&world, BETWEEN, hour), hour);
	ck_assert_uint_eq(until_turn(&world, LITTLE, hour), 10 * NSEC_PER_SEC);
	ck_assert(!world.choice.blind);
	ck_assert_uint_eq(until_turn(&world, BETWEEN, hour), hour);
}
END_TEST

/* A compiler's runs; and a script's burst, which is over soon. */
START_TEST(less_has_to_last)
{
	struct world world = {.now = 100 * NSEC_PER_SEC};
	const uint64_t hour = 3600 * NSEC_PER_SEC;
	uint64_t took;

	until_turn(&world, LITTLE, 10 * NSEC_PER_SEC);
	ck_assert_uint_eq(until_turn(&world, MODERATE, NSEC_PER_SEC), NSEC_PER_SEC);
	ck_assert_uint_eq(until_turn(&world, LITTLE, hour), hour);
	took = until_turn(&world, MODERATE, hour);
	ck_assert_uint_ge(took, 2 * NSEC_PER_SEC);
	ck_assert_uint_le(took, 5 * NSEC_PER_SEC);
	ck_assert(world.choice.blind);
}
END_TEST

START_TEST(a_moment_of_calm_is_none)
{
	struct world world = {.now = 100 * NSEC_PER_SEC};

	until_turn(&world, MUCH, NSEC_PER_SEC);
	for (int i = 0; i < 100; i++) {
		until_turn(&world, LITTLE, 9 * NSEC_PER_SEC);
		until_turn(&world, MUCH, STEP_NS);
		ck_assert(world.choice.blind);
	}
}
END_TEST

/* What takes its toll only while it is told: mappings that no start of a program makes. */
START_TEST(no_oscillation)
{
	struct world world = {.now = 100 * NSEC_PER_SEC};
	const uint64_t day = 86400 * NSEC_PER_SEC;
	uint64_t end = world.now + 3600 * NSEC_PER_SEC, wait = 0, last = 0;
	int turns = 0;

	while (world.now < end) {
		ck_assert_uint_eq(until_turn(&world, MUCH, day), 0);
		world.now += STEP_NS;
		wait = until_turn(&world, LITTLE, day);
		ck_assert_uint_ge(wait, last);
		last = wait;
		world.now += STEP_NS;
		turns++;
	}
	ck_assert_int_le(turns, 20);
	ck_assert_uint_eq(wait, 320 * NSEC_PER_SEC);
	/* It has lasted: from the beginning. */
	world.now += 60 * NSEC_PER_SEC;
	until_turn(&world, MUCH, day);
	world.now += STEP_NS;
	ck_assert_uint_eq(until_turn(&world, LITTLE, day), 10 * NSEC_PER_SEC);
}
END_TEST

START_TEST(without_a_budget_all_are_told)
{
	struct mapping_choice choice = {0};

	ck_assert(!mapping_choice_make(&choice, 1, 0, NSEC_PER_SEC));
	mapping_choice_turned(&choice, true, NSEC_PER_SEC);
	ck_assert(!mapping_choice_make(&choice, 1, 0, 2 * NSEC_PER_SEC));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mapping_choice");

	SUITE_CASE(suite, "choice", at_once_and_back_when_it_is_over, less_has_to_last,
		   a_moment_of_calm_is_none, no_oscillation, without_a_budget_all_are_told);
	return suite_main(suite);
}
