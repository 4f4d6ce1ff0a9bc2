/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "bpf/busy.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "tests/unit/suite.h"

#define HZ 99u
#define MOST 5u
#define RUNS 4000u

static uint64_t state = 88172645463325252ull;

static uint32_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state * 2685821657736338717ull >> 32);
}

/* A CPU whose clock fires. */
struct cpu {
	struct busy_table table;
	uint64_t now;
};

static struct cpu begin(void)
{
	return (struct cpu){.now = NSEC_PER_SEC * (draw() % 100000) + draw()};
}

static uint32_t fire(struct cpu *cpu, uint32_t pid)
{
	cpu->now += NSEC_PER_SEC / HZ;
	return busy_share(&cpu->table.places[busy_place(pid)], pid, cpu->now, MOST, draw());
}

START_TEST(who_is_hit_seldom_has_all_its_samples)
{
	struct cpu cpu = begin();

	/* One that takes all there is, and others once a second or two. */
	for (uint32_t i = 0; i < 100 * HZ; i++) {
		if (i % HZ == 7)
			ck_assert_uint_eq(fire(&cpu, 1000), 1);
		else if (i % (2 * HZ) == 9)
			ck_assert_uint_eq(fire(&cpu, 1001), 1);
		else
			fire(&cpu, 1002);
	}
}
END_TEST

START_TEST(who_takes_all_has_a_part)
{
	struct cpu cpu = begin();
	uint32_t samples = 0, first = 0;
	uint64_t weight = 0;

	for (uint32_t i = 0; i < 100 * HZ; i++) {
		uint32_t share = fire(&cpu, 1000);

		weight += share;
		samples += share > 0;
		first += i < HZ && share;
		/* No moment's sum is off by more than a block. */
		ck_assert_uint_le(weight, i + 1 + MOST);
		ck_assert_uint_ge(weight + MOST, i + 1);
	}
	ck_assert_uint_le(samples, 100 * HZ / MOST + 6);
	ck_assert_uint_ge(samples, 100 * HZ / MOST);
	/* From its first second on. */
	ck_assert_uint_le(first, HZ / MOST + 6);
}
END_TEST

START_TEST(who_rests_begins_anew)
{
	struct cpu cpu = begin();

	for (uint32_t turn = 0; turn < 10; turn++) {
		for (uint32_t i = 0; i < HZ + turn; i++)
			fire(&cpu, 1000);
		cpu.now += 3 * NSEC_PER_SEC;
		ck_assert_uint_eq(fire(&cpu, 1000), 1);
	}
	/* And one whose place another takes. */
	for (uint32_t i = 0; i < HZ; i++) {
		ck_assert_uint_eq(fire(&cpu, 1000 ^ 1u << 16), 1);
		ck_assert_uint_eq(fire(&cpu, 1000), 1);
	}
}
END_TEST

/* A compiler's runs are one program; who lives longer, or has another name, is himself. */
START_TEST(the_young_of_one_name_are_one)
{
	const char cc1[ABI_COMM_MAX] = "cc1", as[ABI_COMM_MAX] = "as", none[ABI_COMM_MAX] = "";
	struct cpu cpu = begin();
	uint32_t samples = 0;
	uint64_t weight = 0;

	for (uint32_t i = 0; i < 10 * HZ; i++) {
		uint32_t share = fire(&cpu, busy_who(1000 + i / 8, i % 8 * NSEC_PER_SEC / HZ, cc1));

		weight += share;
		samples += share > 0;
	}
	ck_assert_uint_le(samples, 10 * HZ / MOST + 6);
	ck_assert_uint_ge(weight + MOST, 10 * HZ);
	ck_assert_uint_le(weight, 10 * HZ + MOST);
	ck_assert_uint_eq(fire(&cpu, busy_who(5000, 0, as)), 1);
	ck_assert_uint_eq(fire(&cpu, busy_who(5000, BUSY_YOUNG_NS, cc1)), 1);
	ck_assert_uint_eq(busy_who(5000, BUSY_YOUNG_NS, cc1), 5000);
	ck_assert_uint_ne(busy_who(5000, 0, as), busy_who(5000, 0, cc1));
	ck_assert_uint_eq(busy_who(5000, 0, cc1), busy_who(5001, 1, cc1));
	ck_assert_uint_ge(busy_who(5000, 0, none), BUSY_NAME);
}
END_TEST

#define FUNCTIONS 4u

struct sums {
	double truth[FUNCTIONS], estimate[FUNCTIONS], squares[FUNCTIONS];
};

/* A program whose function is another with each firing, in step with the clock, in steps as long as
 * a block, and by turns of a second; that ends in the middle of whatever it does. */
static uint32_t function_at(uint32_t firing, uint32_t end)
{
	if (firing + 3 >= end)
		return 3; /* what it does last */
	if (firing / HZ % 2)
		return firing % MOST == 0;
	return firing % 2 ? 2 : firing / 3 % 2;
}

static void add(struct sums *sums, const double *truth, const double *estimate)
{
	for (uint32_t i = 0; i < FUNCTIONS; i++) {
		double off = estimate[i] - truth[i];

		sums->truth[i] += truth[i];
		sums->estimate[i] += estimate[i];
		sums->squares[i] += off * off;
	}
}

/* So many firings of it, with others in between, in each of the runs. */
static void runs_of(uint32_t firings, uint32_t others, struct sums *sums)
{
	for (uint32_t run = 0; run < RUNS; run++) {
		struct cpu cpu = begin();
		double truth[FUNCTIONS] = {0}, estimate[FUNCTIONS] = {0};

		for (uint32_t i = 0; i < firings; i++) {
			uint32_t function = function_at(i, firings);

			for (uint32_t k = 0; k < others; k++)
				fire(&cpu, 2000 + draw() % 3);
			truth[function]++;
			estimate[function] += fire(&cpu, 1000);
		}
		add(sums, truth, estimate);
	}
}

START_TEST(sums_are_unbiased)
{
	static const struct {
		uint32_t firings, others;
	} cases[] = {{3, 0}, {8, 0}, {23, 0}, {3 * HZ, 0}, {57, 1}, {100, 20}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sums sums = {0};

		runs_of(cases[i].firings, cases[i].others, &sums);
		for (uint32_t k = 0; k < FUNCTIONS; k++) {
			double error = sqrt(sums.squares[k]);

			ck_assert_double_le(fabs(sums.estimate[k] - sums.truth[k]),
					    4.5 * error + 1e-9);
			/* That would find a bias of a few percent. */
			if (sums.truth[k] >= 3 * RUNS)
				ck_assert_double_le(error, 0.03 * sums.truth[k]);
		}
	}
}
END_TEST

START_TEST(the_longest_block_is_as_told)
{
	for (uint32_t most = 2; most < 256; most *= 2) {
		struct busy busy = {0};
		uint64_t now = NSEC_PER_SEC, weight = 0;
		uint32_t longest = 0;

		for (uint32_t i = 0; i < 100 * most; i++) {
			uint32_t share = busy_share(&busy, 7, now += NSEC_PER_MSEC, most, draw());

			weight += share;
			longest = share > longest ? share : longest;
		}
		ck_assert_uint_eq(longest, most);
		ck_assert_uint_ge(weight, 99 * most);
		ck_assert_uint_le(weight, 101 * most);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("busy");

	SUITE_CASE(suite, "which", who_is_hit_seldom_has_all_its_samples, who_takes_all_has_a_part,
		   who_rests_begins_anew, the_young_of_one_name_are_one,
		   the_longest_block_is_as_told);
	SUITE_CASE(suite, "truth", sums_are_unbiased);
	return suite_main(suite);
}
