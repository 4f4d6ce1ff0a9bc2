/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The controller against a simulated machine: costs that follow the rates, storms that
 * begin and end, noise from a seed.
 */
#include <math.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/controller.h"
#include "tests/unit/suite.h"

#define WINDOW (500 * NSEC_PER_MSEC)
#define CPUS 2
#define VIEW 0
#define SESSION 1
#define HEAP ABI_SLOT_HEAP

/* A machine: what a second costs. */
struct machine {
	struct controller controller;
	double fixed; /* ns a second, whatever the rates */
	double per_rate[ABI_SLOTS_MAX]; /* ns a second for one unit of rate */
	double sample_ns;
	uint64_t lost, stolen;
	uint32_t kernel_hz;
	double noise; /* of each cost: so much of it either way */
	uint64_t seed, now;
};

static double chance(struct machine *machine)
{
	machine->seed = machine->seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (double)(machine->seed >> 11) / (double)(1ULL << 53);
}

static double noisy(struct machine *machine, double value)
{
	return value * (1 + machine->noise * (2 * chance(machine) - 1));
}

/* One window: what it cost, of all CPUs' time. */
static double pass(struct machine *machine)
{
	struct controller_window window = {.now = machine->now += WINDOW,
					   .elapsed = WINDOW,
					   .cpus = CPUS,
					   .stolen_ns = machine->stolen,
					   .kernel_hz = machine->kernel_hz};
	double part = (double)WINDOW / NSEC_PER_SEC;
	double ns = noisy(machine, machine->fixed) * part;

	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		struct controller_stream *stream = &machine->controller.streams[slot];
		struct controller_measured *measured = &window.streams[slot];
		double cost;

		if (!stream->used)
			continue;
		cost = noisy(machine, machine->per_rate[slot] * stream->rate) * part;
		ns += cost;
		measured->fired = measured->samples = (uint64_t)(stream->rate * part * CPUS) + 1;
		measured->lost = machine->lost;
		measured->sample_ns = (uint64_t)machine->sample_ns;
		measured->ns = (uint64_t)cost;
	}
	window.ns = (uint64_t)ns;
	controller_run(&machine->controller, &window);
	return ns / ((double)WINDOW * CPUS);
}

static double pass_for(struct machine *machine, double seconds)
{
	double worst = 0;

	for (int i = 0; i < seconds * (double)NSEC_PER_SEC / WINDOW; i++)
		worst = fmax(worst, pass(machine));
	return worst;
}

static struct machine quiet(double budget)
{
	const struct controller_limits limits = {.budget = budget, .process = 0.05};
	struct machine machine = {.fixed = 2e6, .sample_ns = 4000, .seed = 1};

	controller_init(&machine.controller, &limits);
	controller_open(&machine.controller, VIEW, 99, 19, true);
	machine.per_rate[VIEW] = CPUS * 4000;
	return machine;
}

static const struct controller_stream *view_of(const struct machine *machine)
{
	return &machine->controller.streams[VIEW];
}

START_TEST(nothing_to_do)
{
	struct machine machine = quiet(0.01);

	machine.noise = 0.3;
	pass_for(&machine, 60);
	ck_assert_double_eq(view_of(&machine)->rate, 99);
	ck_assert_int_eq(view_of(&machine)->why, RATE_WISHED);
	ck_assert_uint_eq(machine.controller.cuts + machine.controller.rises, 0);
	ck_assert_uint_eq(machine.controller.over, 0);
}
END_TEST

/* Within the budget three seconds after a storm began, and from then on, in a hundred
 * different ones. */
START_TEST(storm)
{
	struct machine machine = quiet(0.01);

	machine.seed = (uint64_t)_i + 1;
	machine.noise = 0.2;
	controller_open(&machine.controller, SESSION, 99 + 900 * chance(&machine), 19, true);
	controller_open(&machine.controller, HEAP, 10, 0.1, false);
	machine.controller.streams[HEAP].patient = true;
	pass_for(&machine, 5);
	machine.fixed = 2e6 + 5e6 * chance(&machine);
	machine.per_rate[VIEW] = CPUS * (4000 + 30000 * chance(&machine));
	machine.per_rate[SESSION] = CPUS * (4000 + 100000 * chance(&machine));
	machine.per_rate[HEAP] = 4e6 * chance(&machine);
	pass_for(&machine, 2.5);
	ck_assert_double_le(pass_for(&machine, 600), 0.012);
	ck_assert_double_ge(view_of(&machine)->rate, 19);
}
END_TEST

/* What a session's opening costs, once, leaves its probes in; what costs on takes them out. So does
 * not what they cost in one window for the next ones, as long as it is what was promised. */
START_TEST(patience)
{
	struct machine machine = quiet(0.01);
	struct controller_stream *stream = &machine.controller.streams[HEAP];

	controller_open(&machine.controller, HEAP, 10, 0.1, false);
	stream->patient = true;
	stream->cost_rate_most = 1e6;
	machine.per_rate[HEAP] = 5e5;
	pass_for(&machine, 5);
	machine.fixed = 400e6;
	pass_for(&machine, 1);
	machine.fixed = 2e6;
	pass_for(&machine, 0.5);
	ck_assert_double_eq(stream->rate, 10);
	ck_assert_double_lt(view_of(&machine)->rate, 99);
	machine.per_rate[HEAP] = 40e5; /* two turns in one window */
	pass_for(&machine, 0.5);
	machine.per_rate[HEAP] = 0;
	pass_for(&machine, 2);
	ck_assert_double_ge(stream->rate, 5);
	machine.fixed = 400e6;
	machine.per_rate[HEAP] = 1e6;
	pass_for(&machine, 2);
	ck_assert_double_le(stream->rate, 2);
}
END_TEST

START_TEST(floor_is_kept)
{
	struct machine machine = quiet(0.01);

	machine.fixed = 100e6; /* five budgets: only the reserve is left */
	pass_for(&machine, 3);
	ck_assert_double_eq(view_of(&machine)->rate, 99); /* for which they are cheap enough */
	machine.per_rate[VIEW] = CPUS * 100000;
	pass_for(&machine, 3);
	ck_assert_double_eq(view_of(&machine)->rate, 19);
	ck_assert_int_eq(view_of(&machine)->why, RATE_BUDGET);
	ck_assert_uint_gt(machine.controller.over, 0);
}
END_TEST

/* Down at once, up by half a window at most, and there it stays. */
START_TEST(rises_slowly)
{
	struct machine machine = quiet(0.01);
	double before, rates = 0;
	int steps = 0;

	machine.per_rate[VIEW] = CPUS * 100000;
	pass(&machine);
	ck_assert_double_eq(view_of(&machine)->rate, 80);
	machine.per_rate[VIEW] = CPUS * 1000000;
	pass(&machine);
	ck_assert_double_eq(view_of(&machine)->rate, 19);
	machine.per_rate[VIEW] = CPUS * 4000;
	for (before = 19; before < 99 && steps < 100; steps++) {
		pass(&machine);
		ck_assert_double_le(view_of(&machine)->rate, before * 1.5 + 1e-9);
		ck_assert_double_ge(view_of(&machine)->rate, before);
		before = view_of(&machine)->rate;
	}
	/* ln(99/19)/ln(1.5) = 4.1 windows, and those in which the storm is remembered. */
	ck_assert_int_ge(steps, 5);
	ck_assert_int_le(steps, 30);
	machine.noise = 0.1;
	rates = (double)machine.controller.rises;
	pass_for(&machine, 60);
	ck_assert_double_eq((double)machine.controller.rises, rates);
}
END_TEST

/* Costs that waver by a fifth where the budget binds: no rate that goes up and down. */
START_TEST(no_oscillation)
{
	struct machine machine = quiet(0.01);
	uint64_t changes;

	machine.noise = 0.2;
	machine.fixed = 5e6;
	machine.per_rate[VIEW] = 2.5e5;
	pass_for(&machine, 5);
	ck_assert_double_lt(view_of(&machine)->rate, 99);
	changes = machine.controller.cuts + machine.controller.rises;
	pass_for(&machine, 600);
	changes = machine.controller.cuts + machine.controller.rises - changes;
	ck_assert_msg(changes < 60, "%lu changes in 1200 windows", (unsigned long)changes);
}
END_TEST

START_TEST(losses)
{
	struct machine machine = quiet(0.01);
	double cut;

	machine.lost = 5;
	pass(&machine);
	cut = view_of(&machine)->rate;
	ck_assert_double_eq_tol(cut, 99 * 0.7, 1e-9);
	ck_assert_int_eq(view_of(&machine)->why, RATE_LOSS);
	machine.lost = 0;
	pass_for(&machine, 4);
	ck_assert_double_eq_tol(view_of(&machine)->rate, cut, 1e-9);
	pass_for(&machine, 4);
	ck_assert_double_eq(view_of(&machine)->rate, 99);
}
END_TEST

START_TEST(cap_for_a_process)
{
	struct machine machine = quiet(0);

	controller_open(&machine.controller, SESSION, 9901, 99, true);
	machine.sample_ns = 20000; /* 10,000 of them a second: a fifth of its time */
	pass(&machine);
	ck_assert_double_eq_tol(machine.controller.streams[SESSION].rate, 9901 * 0.25, 1);
	ck_assert_int_eq(machine.controller.streams[SESSION].why, RATE_PROCESS);
}
END_TEST

START_TEST(kernel_and_stolen)
{
	struct machine machine = quiet(0);

	machine.kernel_hz = 50;
	pass(&machine);
	ck_assert_double_eq(view_of(&machine)->rate, 50);
	ck_assert_int_eq(view_of(&machine)->why, RATE_KERNEL);
	machine.kernel_hz = 100000;
	machine.stolen = WINDOW;
	pass(&machine);
	ck_assert_double_eq(view_of(&machine)->rate, 50);
	ck_assert_int_eq(view_of(&machine)->why, RATE_STOLEN);
	machine.stolen = 0;
	pass_for(&machine, 2);
	ck_assert_double_eq(view_of(&machine)->rate, 99);
	ck_assert_int_eq(view_of(&machine)->why, RATE_WISHED);
}
END_TEST

START_TEST(forced)
{
	struct machine machine = quiet(0.01);

	controller_force(&machine.controller, VIEW, 999);
	machine.per_rate[VIEW] = CPUS * 1000000;
	pass_for(&machine, 2);
	ck_assert_double_eq(view_of(&machine)->rate, 999);
	ck_assert_int_eq(view_of(&machine)->why, RATE_FORCED);
	controller_force(&machine.controller, VIEW, 0);
	pass(&machine);
	ck_assert_double_eq(view_of(&machine)->rate, 19);
}
END_TEST

START_TEST(windows_that_say_nothing)
{
	struct machine machine = quiet(0.01);
	struct controller_window window = {.now = 1};

	ck_assert_uint_eq(controller_run(&machine.controller, &window), 0);
	window.elapsed = WINDOW;
	ck_assert_uint_eq(controller_run(&machine.controller, &window), 0);
	controller_close(&machine.controller, VIEW);
	window.cpus = CPUS;
	ck_assert_uint_eq(controller_run(&machine.controller, &window), 0);
}
END_TEST

START_TEST(precision)
{
	ck_assert_double_eq_tol(controller_samples_for(0.01), 9604, 0.5);
	ck_assert_double_eq_tol(controller_samples_for(0.05), 384.1, 0.1);
	ck_assert_double_eq_tol(controller_half_width(9604e6, 9604e12), 0.01, 1e-4);
	ck_assert_double_eq(controller_half_width(0, 0), 1);
	for (int i = 0; i < RATE_REASON_COUNT; i++) {
		ck_assert_uint_gt(strlen(rate_reason_key(i)), 0);
		ck_assert_uint_gt(strlen(rate_reason_text(i)), 0);
	}
}
END_TEST

/* What is no stream's: views by slices get a part of their budget while all costs too much, and
 * all of it again; what can wait waits while nothing is saved. */
START_TEST(views_and_what_can_wait)
{
	struct machine machine = quiet(0.01);

	ck_assert(controller_may_spend(&machine.controller));
	pass_for(&machine, 5);
	ck_assert_double_eq(machine.controller.views, 1);
	ck_assert(controller_may_spend(&machine.controller));
	machine.fixed = 60e6; /* three budgets: what was saved lasts for half a minute */
	pass_for(&machine, 5);
	ck_assert_double_eq_tol(machine.controller.views, 0.1, 1e-9);
	ck_assert(controller_may_spend(&machine.controller));
	pass_for(&machine, 40);
	ck_assert(!controller_may_spend(&machine.controller));
	/* However long it went on, it is over soon after the storm. */
	pass_for(&machine, 600);
	machine.fixed = 2e6;
	pass_for(&machine, 20);
	ck_assert(controller_may_spend(&machine.controller));
	pass_for(&machine, 20);
	ck_assert_double_eq(machine.controller.views, 1);
	/* Without a budget there is nothing to save. */
	machine.controller.limits.budget = 0;
	machine.fixed = 400e6;
	pass_for(&machine, 60);
	ck_assert(controller_may_spend(&machine.controller));
	ck_assert_double_eq(machine.controller.views, 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("controller");
	TCase *storms = tcase_create("storms");

	SUITE_CASE(suite, "controller", nothing_to_do, patience, floor_is_kept, rises_slowly,
		   no_oscillation, losses, cap_for_a_process, kernel_and_stolen, forced,
		   windows_that_say_nothing, precision, views_and_what_can_wait);
	tcase_add_loop_test(storms, storm, 0, 100);
	suite_add_tcase(suite, storms);
	return suite_main(suite);
}
