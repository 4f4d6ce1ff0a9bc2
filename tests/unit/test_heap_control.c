/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The control word of a library, in this very process, as perfd reads and writes it.
 */
#include "daemon/heap_control.h"

#include <time.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/heap/control.h"
#include "tests/unit/suite.h"

#define USUAL ((uint64_t)512 << 10)
#define TRIES 10000 /* milliseconds */

static struct heap_control word;
static struct heap_rules rules;
static struct heap_control_hand hand;

static void setup(void)
{
	word = (struct heap_control){.magic = HEAP_CONTROL_MAGIC,
				     .version = HEAP_CONTROL_VERSION,
				     .interval = USUAL,
				     .usual = USUAL,
				     .changes = 7,
				     .sampled = 1000};
	hand = (struct heap_control_hand){0};
	heap_rules_init(&rules, USUAL, true);
}

static void turn(void)
{
	heap_control_run(&hand, getpid(), &rules, clock_boot_ns());
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void until_state(enum heap_control_state state)
{
	for (int i = 0; hand.state != state && i < TRIES; i++)
		turn();
	ck_assert_int_eq(hand.state, state);
}

static void until_changes(uint32_t changes)
{
	for (int i = 0; word.changes != changes && i < TRIES; i++)
		turn();
	ck_assert_uint_eq(word.changes, changes);
}

START_TEST(a_rule_is_written_and_taken_back)
{
	setup();
	turn();
	ck_assert_int_eq(hand.state, HEAP_CONTROL_NONE);
	heap_control_begin(&hand, (uintptr_t)&word);
	until_state(HEAP_CONTROL_KNOWN);
	ck_assert_uint_eq(hand.usual, USUAL);
	until_changes(8);
	ck_assert_uint_eq(word.interval, rules.behaviour.rule.interval);
	ck_assert_uint_eq(word.band, 1 << 20);
	ck_assert_uint_eq(word.granted, 1000 + (uint64_t)rules.behaviour.rule.grant * 4);
	/* Nothing new, nothing used up. */
	for (int i = 0; i < 20; i++)
		turn();
	ck_assert_uint_eq(word.changes, 8);
	/* Half of the grant is gone. */
	word.sampled += 600;
	rules.samples += rules.behaviour.rule.grant * 2;
	until_changes(9);
	ck_assert_uint_eq(word.granted, 1600 + (uint64_t)rules.behaviour.rule.grant * 4);
	heap_control_leave(&hand, getpid());
	for (int i = 0; word.changes != 10 && i < TRIES; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	ck_assert_uint_eq(word.interval, USUAL);
	ck_assert_uint_eq(word.band, 0);
	ck_assert_uint_eq(word.granted, 0);
	ck_assert_uint_eq(word.changes, 10);
}
END_TEST

START_TEST(an_interval_that_somebody_named_stays)
{
	setup();
	word.flags = HEAP_FIXED;
	word.interval = word.usual = 4096;
	heap_control_begin(&hand, (uintptr_t)&word);
	until_state(HEAP_CONTROL_FIXED);
	ck_assert_uint_eq(hand.usual, 4096);
	heap_rules_set(&rules, hand.usual, true);
	for (int i = 0; i < 20; i++)
		turn();
	heap_control_leave(&hand, getpid());
	ck_assert_uint_eq(word.interval, 4096);
	ck_assert_uint_eq(word.changes, 7);
}
END_TEST

/* Off from the beginning: nothing is written, but what a perfd before has left is undone. */
START_TEST(without_patterns)
{
	setup();
	heap_rules_init(&rules, USUAL, false);
	heap_control_begin(&hand, (uintptr_t)&word);
	until_state(HEAP_CONTROL_KNOWN);
	for (int i = 0; i < 20; i++)
		turn();
	ck_assert_uint_eq(word.changes, 7);
	heap_control_forget(&hand);
	word.interval = USUAL * 8;
	word.granted = 5;
	heap_control_begin(&hand, (uintptr_t)&word);
	until_changes(8);
	ck_assert_uint_eq(word.interval, USUAL);
	ck_assert_uint_eq(word.granted, 0);
	heap_control_forget(&hand);
}
END_TEST

START_TEST(what_is_no_control_word)
{
	setup();
	word.version++;
	heap_control_begin(&hand, (uintptr_t)&word);
	until_state(HEAP_CONTROL_LOST);
	for (int i = 0; i < 20; i++)
		turn();
	ck_assert_uint_eq(word.changes, 7);
	heap_control_forget(&hand);
	/* Nor is there any memory. */
	heap_control_begin(&hand, 4096);
	until_state(HEAP_CONTROL_LOST);
	heap_control_leave(&hand, getpid());
	ck_assert_int_eq(hand.state, HEAP_CONTROL_NONE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("heap_control");

	SUITE_CASE(suite, "word", a_rule_is_written_and_taken_back,
		   an_interval_that_somebody_named_stays, without_patterns,
		   what_is_no_control_word);
	return suite_main(suite);
}
