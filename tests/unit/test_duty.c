/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/duty.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/base/clock.h"
#include "tests/unit/suite.h"

#define MS NSEC_PER_MSEC
#define BUDGET 0.003

static uint64_t state = 88172645463325252ull;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state * 2685821657736338717ull;
}

/* A machine in which something happens at a rate that changes, and what is made of it. */
struct machine {
	struct duty duty;
	bool on;
	uint64_t now, looked, on_ns;
	double truth, estimate, cost, paid;
	uint64_t late_max; /* perfd comes that much too late, at most */
};

/* Events a millisecond at that time. */
typedef double rate_fn(uint64_t now);

/* Each costs its CPU 100 ns. */
static void pass(struct machine *m, double events)
{
	const struct duty_window *window = &m->duty.window;

	m->truth += events;
	if (!m->on)
		return;
	m->cost += events * 100;
	m->paid += events * 100;
	m->on_ns += MS;
	if (m->now < window->from || m->now >= window->end)
		return;
	m->estimate += events * (m->now < window->until ? window->scale / 65536.0 : 1);
}

static void step(struct machine *m)
{
	struct duty *duty = &m->duty;
	enum duty_step what;

	if (duty_wants_cost(duty, m->now)) {
		if (m->now > m->looked)
			duty_cost(duty, m->cost / (double)(m->now - m->looked));
		m->looked = m->now;
		m->cost = 0;
	}
	while ((what = duty_run(duty, m->now, draw()))) {
		if (what == DUTY_TELL)
			continue;
		ck_assert_int_ne(m->on, what == DUTY_OPEN);
		m->on = what == DUTY_OPEN;
		m->looked = m->now;
		m->cost = 0;
	}
}

static void run(struct machine *m, rate_fn *rate, uint64_t ms)
{
	uint64_t late = 0, end = m->now + ms * MS;

	for (; m->now < end; m->now += MS) {
		if (m->now >= m->duty.next + late) {
			step(m);
			late = m->late_max ? draw() % (m->late_max + 1) : 0;
		}
		pass(m, rate(m->now));
	}
}

static struct machine start(uint64_t late_max)
{
	struct machine m = {.now = NSEC_PER_SEC, .on = true, .late_max = late_max};

	m.looked = m.now;
	duty_init(&m.duty, BUDGET, m.now);
	return m;
}

static double quiet(uint64_t now)
{
	(void)now;
	return 20;
}

static double storm(uint64_t now)
{
	(void)now;
	return 700;
}

/* A third of the time, in step with nothing. */
static double bursts(uint64_t now)
{
	return now / MS % 1700 < 600 ? 700 : 3;
}

START_TEST(what_costs_little_is_looked_at_all_the_time)
{
	struct machine m = start(0);

	run(&m, quiet, 10000);
	ck_assert_uint_eq(m.duty.slices, 1);
	ck_assert_int_eq(m.duty.state, DUTY_ALWAYS);
	ck_assert_double_eq(m.estimate, m.truth);
}
END_TEST

START_TEST(a_storm_costs_the_budget)
{
	struct machine m = start(0);
	double paid;

	run(&m, storm, 1000);
	paid = m.paid;
	/* Half a thousandth is for beginning and ending. */
	ck_assert_uint_eq(m.duty.slices, (uint32_t)ceil(0.07 / (BUDGET - 0.0005)));
	run(&m, storm, 60000);
	/* Of 60 s. */
	ck_assert_double_le((m.paid - paid) / 60e9, BUDGET);
	ck_assert_double_ge((m.paid - paid) / 60e9, BUDGET * 0.7);
	/* Steady: nearly exact, for each frame has its slice. */
	ck_assert_double_le(fabs(m.estimate / m.truth - 1), 0.05);
	/* And when it is over, all is looked at again. */
	run(&m, quiet, 20000);
	ck_assert_uint_eq(m.duty.slices, 1);
	ck_assert_int_eq(m.duty.state, DUTY_ALWAYS);
}
END_TEST

START_TEST(no_limit_is_none)
{
	struct machine m = start(0);

	m.duty.budget = 0;
	run(&m, storm, 5000);
	ck_assert_double_eq(m.estimate, m.truth);
}
END_TEST

/* 400 runs of bursts, from quiet to quiet: the mean of what is estimated is the truth, also
 * where perfd comes late. */
static void is_unbiased(uint64_t late_max)
{
	const int runs = 400;
	double sum = 0, squares = 0, sigma;

	for (int i = 0; i < runs; i++) {
		struct machine m = start(late_max);
		double off;

		run(&m, quiet, draw() % 1700);
		run(&m, bursts, 20000 + draw() % 1700);
		run(&m, quiet, 10000);
		off = m.estimate / m.truth - 1;
		sum += off;
		squares += off * off;
	}
	sigma = sqrt(squares / runs);
	ck_assert_msg(fabs(sum / runs) < 3 * sigma / sqrt(runs), "off by %+.4f, sigma %.4f",
		      sum / runs, sigma);
	/* It says something: no single run is far off. */
	ck_assert_double_le(sigma, 0.5);
}

START_TEST(bursts_have_no_bias)
{
	is_unbiased(0);
}
END_TEST

START_TEST(nor_when_perfd_is_late)
{
	is_unbiased(15 * MS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("duty");

	SUITE_CASE(suite, "cost", what_costs_little_is_looked_at_all_the_time,
		   a_storm_costs_the_budget, no_limit_is_none);
	SUITE_CASE(suite, "truth", bursts_have_no_bias, nor_when_perfd_is_late);
	return suite_main(suite);
}
