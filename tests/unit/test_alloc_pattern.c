/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What allocating processes are taken for, the rule that follows, and that sums stay
 * unbiased while rules change by what was sampled.
 */
#include "daemon/alloc_pattern.h"

#include <math.h>
#include <string.h>

#include "tests/unit/suite.h"

#define KIB 1024.0
#define MIB (1024.0 * KIB)
#define USUAL ((uint64_t)64 << 10)

static uint64_t state = 88172645463325252ull;

static double draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (double)((state * 2685821657736338717ull >> 11) + 1) * 0x1p-53;
}

/* A process that is sampled by its rule, and its own count beside what samples say. */
struct machine {
	struct alloc_behaviour behaviour;
	double gap; /* in intervals */
	uint32_t left; /* of the grant */
	uint32_t samples; /* of the present second */
	uint32_t large, large_seen; /* pieces of a MiB and more */
	double bytes, count, small, got_bytes, got_count, got_small;
};

static void start(struct machine *m)
{
	*m = (struct machine){.gap = -log(draw())};
	alloc_behaviour_init(&m->behaviour, USUAL);
}

static void sampled(struct machine *m, double size, double p)
{
	m->samples++;
	m->left -= m->left > 0;
	m->large_seen += size >= MIB;
	m->got_bytes += size / p;
	m->got_count += 1 / p;
	m->got_small += size <= ALLOC_SMALL ? 1 / p : 0;
	alloc_behaviour_add(&m->behaviour, size, size / p);
}

static void allocate(struct machine *m, double size)
{
	const struct alloc_rule *rule = &m->behaviour.rule;
	double times = m->left || !rule->grant ? 1 : ALLOC_COARSE;
	double interval = (double)rule->interval * times;

	m->bytes += size;
	m->count++;
	m->small += size <= ALLOC_SMALL;
	m->large += size >= MIB;
	if (rule->band && size >= (double)rule->band * times) {
		sampled(m, size, 1);
		return;
	}
	m->gap -= size / interval;
	if (m->gap > 0)
		return;
	sampled(m, size, -expm1(-size / interval));
	m->gap = -log(draw());
}

typedef void second_fn(struct machine *m, unsigned int second, unsigned int quarter);

static void run(struct machine *m, second_fn *second, unsigned int seconds)
{
	for (unsigned int i = 0; i < seconds; i++) {
		m->samples = 0;
		for (unsigned int quarter = 0; quarter < ALLOC_GRANTS; quarter++) {
			m->left = m->behaviour.rule.grant;
			second(m, i, quarter);
		}
		alloc_behaviour_second(&m->behaviour, 1);
	}
}

static void many(struct machine *m, unsigned int n, double low, double high)
{
	for (unsigned int i = 0; i < n; i++)
		allocate(m, floor(low + draw() * (high - low)));
}

/* ---- kinds of processes: what they do in a quarter of a second ---- */

static void little(struct machine *m, unsigned int second, unsigned int quarter)
{
	(void)second, (void)quarter;
	many(m, 25, 20, 500); /* 26 KB a second */
}

static void nothing(struct machine *m, unsigned int second, unsigned int quarter)
{
	(void)m, (void)second, (void)quarter;
}

static void large(struct machine *m, unsigned int second, unsigned int quarter)
{
	(void)second;
	many(m, 25, 20, 500);
	if (!quarter)
		many(m, 4, 1 * MIB, 5 * MIB);
}

static void small(struct machine *m, unsigned int second, unsigned int quarter)
{
	(void)second, (void)quarter;
	many(m, 15000, 8, 128); /* 4 MB a second */
}

static void steady(struct machine *m, unsigned int second, unsigned int quarter)
{
	(void)second, (void)quarter;
	many(m, 900, 400, 4000); /* 8 MB a second */
}

static void heavy(struct machine *m, unsigned int second, unsigned int quarter)
{
	(void)second, (void)quarter;
	many(m, 2500, 8 * KIB, 64 * KIB); /* 368 MB a second */
}

static void bursts(struct machine *m, unsigned int second, unsigned int quarter)
{
	many(m, 20, 20, 500);
	if (second % 5 == 4 && quarter == 1)
		many(m, 10, 1 * MIB, 9 * MIB);
}

/* What it does is something else every few seconds. */
static void changing(struct machine *m, unsigned int second, unsigned int quarter)
{
	static second_fn *const all[] = {little, nothing, heavy,   small,
					 bursts, large,   nothing, little};

	all[second / 5 % 8](m, second, quarter);
}

static const struct {
	second_fn *second;
	enum alloc_pattern pattern;
	uint64_t from, to; /* the interval is between */
	uint64_t band_from, band_to;
	unsigned int samples_from, samples_to; /* of its seconds, all together */
} kinds[] = {
	{little, ALLOC_RARE, USUAL / 64, USUAL / 32, 128 << 10, 128 << 10, 300, 1500},
	{nothing, ALLOC_RARE, USUAL / 64, USUAL / 64, 128 << 10, 128 << 10, 0, 0},
	{large, ALLOC_FEW_LARGE, USUAL / 16, USUAL / 16, 128 << 10, 128 << 10, 200, 1200},
	{small, ALLOC_MANY_SMALL, USUAL / 4, USUAL / 2, 128 << 10, 128 << 10, 7000, 11000},
	{steady, ALLOC_STEADY, USUAL, USUAL, 128 << 10, 128 << 10, 2000, 5000},
	{heavy, ALLOC_HEAVY, USUAL * 8, USUAL * 16, 128 << 10, 128 << 10, 8000, 24000},
	{bursts, ALLOC_BURSTS, USUAL / 16, USUAL / 16, 128 << 10, 128 << 10, 50, 800},
};

START_TEST(each_kind_has_its_rule)
{
	struct machine m;

	start(&m);
	run(&m, kinds[_i].second, 40);
	ck_assert_str_eq(alloc_pattern_name(m.behaviour.pattern),
			 alloc_pattern_name(kinds[_i].pattern));
	ck_assert_uint_ge(m.behaviour.rule.interval, kinds[_i].from);
	ck_assert_uint_le(m.behaviour.rule.interval, kinds[_i].to);
	ck_assert_uint_ge(m.behaviour.rule.band, kinds[_i].band_from);
	ck_assert_uint_le(m.behaviour.rule.band, kinds[_i].band_to);
	m.samples = 0;
	for (unsigned int i = 0; i < 40; i++) {
		uint32_t before = m.samples;

		run(&m, kinds[_i].second, 1);
		m.samples += before;
	}
	ck_assert_uint_ge(m.samples, kinds[_i].samples_from);
	ck_assert_uint_le(m.samples, kinds[_i].samples_to);
}
END_TEST

/* Whatever comes first, and of whatever size the burst is, its large pieces are all there. */
START_TEST(large_pieces_are_never_missed)
{
	struct machine m;

	start(&m);
	run(&m, bursts, 60);
	run(&m, little, 60);
	run(&m, bursts, 60);
	ck_assert_uint_eq(m.large, 2 * 12 * 10);
	ck_assert_uint_eq(m.large_seen, m.large);
}
END_TEST

/* A process that hardly did anything, and now allocates gigabytes. */
START_TEST(a_flood_is_no_flood_of_samples)
{
	struct machine m;

	start(&m);
	run(&m, little, 30);
	ck_assert_uint_lt(m.behaviour.rule.interval, USUAL / 16);
	run(&m, heavy, 1);
	/* At its interval they would be 100,000. */
	ck_assert_uint_lt(m.samples, 8000);
	ck_assert_uint_ge(m.behaviour.rule.interval, USUAL);
	run(&m, heavy, 10);
	ck_assert_uint_lt(m.samples, 600);
	/* And back again, not at once. */
	run(&m, little, 1);
	ck_assert_uint_ge(m.behaviour.rule.interval, USUAL);
	run(&m, little, 3 * ALLOC_SECONDS);
	ck_assert_uint_le(m.behaviour.rule.interval, USUAL / 16);
}
END_TEST

/* The mean of many runs is the truth, by bytes, number and number of small ones, of a
 * process whose rule changes all the time, by what the samples before said. */
#define SEEDS 400

static void unbiased(const char *what, const double *off)
{
	double mean = 0, square = 0, error;

	for (unsigned int i = 0; i < SEEDS; i++)
		mean += off[i] / SEEDS;
	for (unsigned int i = 0; i < SEEDS; i++)
		square += (off[i] - mean) * (off[i] - mean) / (SEEDS - 1);
	error = sqrt(square / SEEDS);
	ck_assert_msg(fabs(mean) < 3.5 * error, "%s: %+.5f, standard error %.5f", what, mean,
		      error);
	ck_assert_msg(error < 0.02, "%s: %.5f is too much to show anything", what, error);
}

START_TEST(sums_are_unbiased)
{
	static double bytes[SEEDS], count[SEEDS], small_count[SEEDS];
	unsigned int changes = 0;
	struct machine m;

	for (unsigned int i = 0; i < SEEDS; i++) {
		start(&m);
		for (unsigned int k = 0; k < 8; k++) {
			uint64_t was = m.behaviour.rule.interval;

			run(&m, changing, 5);
			changes += was != m.behaviour.rule.interval;
		}
		bytes[i] = m.got_bytes / m.bytes - 1;
		count[i] = m.got_count / m.count - 1;
		small_count[i] = m.got_small / m.small - 1;
	}
	ck_assert_uint_gt(changes, SEEDS);
	unbiased("bytes", bytes);
	unbiased("count", count);
	unbiased("small", small_count);
}
END_TEST

/* ---- by hand ---- */

static void second_of(struct alloc_behaviour *behaviour, double bytes, double size)
{
	if (bytes > 0)
		alloc_behaviour_add(behaviour, size, bytes);
	alloc_behaviour_second(behaviour, 1);
}

START_TEST(a_second_that_was_hardly_looked_at)
{
	struct alloc_behaviour behaviour;

	alloc_behaviour_init(&behaviour, USUAL);
	alloc_behaviour_add(&behaviour, 1000, 1 * MIB);
	ck_assert(!alloc_behaviour_second(&behaviour, 0.001));
	ck_assert_uint_eq(behaviour.count, 0);
	alloc_behaviour_add(&behaviour, 1000, 1 * MIB);
	alloc_behaviour_second(&behaviour, 0.02);
	ck_assert_double_eq_tol(alloc_behaviour_mean(&behaviour).bytes, 100 * MIB, 1);
}
END_TEST

START_TEST(less_is_believed_after_a_while)
{
	struct alloc_behaviour behaviour;
	uint64_t was;

	alloc_behaviour_init(&behaviour, USUAL);
	for (int i = 0; i < 20; i++)
		second_of(&behaviour, 400 * MIB, 10000);
	ck_assert_int_eq(behaviour.pattern, ALLOC_HEAVY);
	was = behaviour.rule.interval;
	ck_assert_uint_gt(was, USUAL * 8);
	/* Half as much is within the dead band; the other way, too. */
	for (int i = 0; i < 20; i++) {
		second_of(&behaviour, (i % 2 ? 500 : 300) * MIB, 10000);
		ck_assert_uint_eq(behaviour.rule.interval, was);
	}
	for (unsigned int i = 0; i < ALLOC_SECONDS + 3; i++)
		second_of(&behaviour, 8 * MIB, 1000);
	ck_assert_int_eq(behaviour.pattern, ALLOC_STEADY);
	ck_assert_uint_eq(behaviour.rule.interval, USUAL);
}
END_TEST

/* More pieces above a band than are to be taken: the next one, or none. */
START_TEST(bands)
{
	struct alloc_behaviour behaviour;

	alloc_behaviour_init(&behaviour, USUAL);
	ck_assert_uint_eq(behaviour.rule.band, 1 << 20);
	for (int i = 0; i < 5; i++)
		second_of(&behaviour, 200 * 300 * KIB, 300 * KIB);
	ck_assert_uint_eq(behaviour.rule.band, 512 << 10);
	for (int i = 0; i < 5; i++)
		second_of(&behaviour, 200 * 40 * MIB, 40 * MIB);
	ck_assert_uint_eq(behaviour.rule.band, 0);
	for (unsigned int i = 0; i < ALLOC_SECONDS; i++)
		second_of(&behaviour, 0, 1);
	ck_assert_uint_eq(behaviour.rule.band, 128 << 10);
}
END_TEST

START_TEST(bounds)
{
	struct alloc_behaviour behaviour;

	alloc_behaviour_init(&behaviour, ALLOC_INTERVAL_MIN);
	for (int i = 0; i < 10; i++)
		second_of(&behaviour, 100, 10);
	ck_assert_uint_eq(behaviour.rule.interval, ALLOC_INTERVAL_MIN);
	alloc_behaviour_init(&behaviour, ALLOC_INTERVAL_MAX);
	for (int i = 0; i < 10; i++)
		second_of(&behaviour, 1e15, 1000);
	ck_assert_uint_eq(behaviour.rule.interval, ALLOC_INTERVAL_MAX);
	/* The settings were read again. */
	alloc_behaviour_set_usual(&behaviour, USUAL);
	ck_assert_uint_le(behaviour.rule.interval, USUAL * 64);
	ck_assert_uint_gt(behaviour.rule.interval, USUAL);
}
END_TEST

START_TEST(names)
{
	for (int i = 0; i < ALLOC_PATTERN_COUNT; i++) {
		ck_assert_uint_gt(strlen(alloc_pattern_name((enum alloc_pattern)i)), 3);
		ck_assert_uint_gt(strlen(alloc_pattern_text((enum alloc_pattern)i)), 3);
	}
	ck_assert_str_eq(alloc_pattern_name(ALLOC_PATTERN_COUNT), "");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("alloc_pattern");
	TCase *tcase = tcase_create("kinds");

	tcase_add_loop_test(tcase, each_kind_has_its_rule, 0,
			    (int)(sizeof(kinds) / sizeof(kinds[0])));
	suite_add_tcase(suite, tcase);
	SUITE_CASE(suite, "rules", large_pieces_are_never_missed, a_flood_is_no_flood_of_samples,
		   a_second_that_was_hardly_looked_at, less_is_believed_after_a_while, bands,
		   bounds, names);
	SUITE_CASE(suite, "truth", sums_are_unbiased);
	return suite_main(suite);
}
