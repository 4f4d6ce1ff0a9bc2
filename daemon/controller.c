/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/controller.h"

#include <math.h>

#include "daemon/base/clock.h"

#define QUANTILE 1.959963984540054 /* of the normal distribution, 95 % in the middle */
#define HEADROOM 0.9 /* of the budget: what is measured late, and noise */
#define RESERVE 0.1 /* of it: for the streams in any case */
#define RISE_MAX 1.5 /* times a window */
#define DEAD_BAND 0.1
#define LOSS_CUT 0.7
#define LOSS_SHARE 0.001 /* of samples lost: less is an accident */
#define LOSS_REST_NS (5 * NSEC_PER_SEC)
#define STOLEN_MAX 0.1 /* of all CPUs' time */
/* What is learned follows a jump up at once; else, and down, by so much in a window: noise is
 * no news, and a quiet moment between two storms no reason to forget them. */
#define JUMP 1.3
#define FOLLOW 0.2
/* Views by slices: their part of their budget falls and rises so in a window, down to the least. */
#define VIEWS_FALL 0.7
#define VIEWS_RISE 1.05
#define VIEWS_LEAST 0.1
#define VIEWS_EASE 0.7 /* of the budget: below it they rise */
/* Seconds of the whole budget that may be saved, that are there in the beginning, and that may
 * be used ahead. */
#define SAVED_MAX 120.0
#define SAVED_FIRST 60.0
#define SAVED_LEAST (-10.0)

static const struct {
	const char *key, *text;
} reasons[RATE_REASON_COUNT] = {
#define X(name, k, t) [RATE_##name] = {.key = k, .text = t},
	RATE_REASONS(X)
#undef X
};

const char *rate_reason_key(enum rate_reason reason)
{
	return reason < RATE_REASON_COUNT ? reasons[reason].key : "";
}

const char *rate_reason_text(enum rate_reason reason)
{
	return reason < RATE_REASON_COUNT ? reasons[reason].text : "";
}

void controller_init(struct controller *controller, const struct controller_limits *limits)
{
	*controller = (struct controller){.limits = *limits, .views = 1};
}

void controller_open(struct controller *controller, uint32_t slot, double wished, double floor,
		     bool clock)
{
	controller->streams[slot] = (struct controller_stream){
		.used = true,
		.clock = clock,
		.wished = wished,
		.floor = floor < wished ? floor : wished,
		.rate = wished,
	};
}

void controller_close(struct controller *controller, uint32_t slot)
{
	controller->streams[slot] = (struct controller_stream){0};
}

void controller_force(struct controller *controller, uint32_t slot, double rate)
{
	struct controller_stream *stream = &controller->streams[slot];

	stream->forced = rate;
	if (rate > 0) {
		stream->rate = rate;
		stream->why = RATE_FORCED;
	}
}

static double follow(double learned, double measured)
{
	if (measured > learned * JUMP)
		return measured;
	return learned + FOLLOW * (measured - learned);
}

/* What the window says of costs: per unit of rate of each stream, and what is fixed. */
static void learn(struct controller *controller, const struct controller_window *window)
{
	double second = (double)NSEC_PER_SEC / (double)window->elapsed;
	double whole = (double)window->elapsed * window->cpus, streams = 0;

	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		struct controller_stream *stream = &controller->streams[slot];
		double ns = (double)window->streams[slot].ns;

		if (!stream->used)
			continue;
		streams += ns;
		stream->cost = ns / whole;
		if (stream->rate > 0 && window->streams[slot].fired)
			stream->cost_rate = follow(stream->cost_rate, ns * second / stream->rate);
		if (stream->cost_rate_most > 0)
			stream->cost_rate = fmin(stream->cost_rate, stream->cost_rate_most);
	}
	streams = streams < (double)window->ns ? (double)window->ns - streams : 0;
	controller->fixed = controller->windows ? follow(controller->fixed, streams * second)
						: streams * second;
	controller->fixed_last[controller->windows % CONTROLLER_USUAL] = streams * second;
	controller->fixed_cost = streams / whole;
	controller->cost = (double)window->ns / whole;
	controller->mean =
		controller->windows
			? controller->mean + FOLLOW * (controller->cost - controller->mean)
			: controller->cost;
	controller->stolen = (double)window->stolen_ns / whole;
	controller->windows++;
	if (controller->limits.budget > 0 && controller->cost > controller->limits.budget)
		controller->over++;
}

/* The median of the last windows' fixed costs, or what was learned if that is less. */
static double usual(const struct controller *controller)
{
	uint32_t count = controller->windows < CONTROLLER_USUAL ? (uint32_t)controller->windows
								: CONTROLLER_USUAL;
	double sorted[CONTROLLER_USUAL] = {0};

	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = i;

		for (; at && sorted[at - 1] > controller->fixed_last[i]; at--)
			sorted[at] = sorted[at - 1];
		sorted[at] = controller->fixed_last[i];
	}
	return fmin(sorted[count / 2], controller->fixed);
}

/* The s of the header: how much of what is wished above the floors there is room for. */
static double room(const struct controller *controller, const struct controller_window *window,
		   double fixed)
{
	double budget = controller->limits.budget * window->cpus * (double)NSEC_PER_SEC * HEADROOM;
	double left = fmax(budget - fixed, budget * RESERVE), wanted = 0;

	if (controller->limits.budget <= 0)
		return 1;
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		const struct controller_stream *stream = &controller->streams[slot];

		if (!stream->used)
			continue;
		if (stream->forced > 0) {
			left -= stream->cost_rate * stream->forced;
			continue;
		}
		left -= stream->cost_rate * stream->floor;
		wanted += stream->cost_rate * (stream->wished - stream->floor);
	}
	if (left >= wanted)
		return 1;
	return left > 0 ? left / wanted : 0;
}

/* Of the rates that a thread could pay on its CPU, how much it may: 1, or less. */
static double process_share(const struct controller *controller,
			    const struct controller_window *window)
{
	double pays = 0;

	if (controller->limits.process <= 0)
		return 1;
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		const struct controller_stream *stream = &controller->streams[slot];

		if (stream->used && stream->clock)
			pays += stream->wished * (double)window->streams[slot].sample_ns /
				(double)NSEC_PER_SEC;
	}
	return pays > controller->limits.process ? controller->limits.process / pays : 1;
}

static void ease(struct controller *controller)
{
	double budget = controller->limits.budget;

	if (budget > 0 && controller->mean > budget * HEADROOM)
		controller->views = fmax(controller->views * VIEWS_FALL, VIEWS_LEAST);
	else if (budget <= 0 || controller->mean < budget * VIEWS_EASE)
		controller->views = fmin(controller->views * VIEWS_RISE, 1);
}

static void save(struct controller *controller, const struct controller_window *window)
{
	double second = controller->limits.budget * window->cpus * (double)NSEC_PER_SEC;
	double passed = (double)window->elapsed / (double)NSEC_PER_SEC;

	if (controller->windows == 1)
		controller->saved = SAVED_FIRST * second;
	controller->saved += second * passed - (double)window->ns;
	controller->saved = fmax(fmin(controller->saved, SAVED_MAX * second), SAVED_LEAST * second);
}

bool controller_may_spend(const struct controller *controller)
{
	return controller->limits.budget <= 0 || !controller->windows || controller->saved > 0;
}

struct target {
	double rate;
	enum rate_reason why;
};

static void at_most(struct target *target, double rate, enum rate_reason why)
{
	if (target->rate <= rate)
		return;
	target->rate = rate;
	target->why = why;
}

static struct target aim(struct controller_stream *stream,
			 const struct controller_measured *measured,
			 const struct controller_window *window, double s, double share)
{
	struct target target = {.rate = stream->wished, .why = stream->wished_why};
	double all = (double)(measured->samples + measured->lost);

	at_most(&target, stream->floor + s * (stream->wished - stream->floor), RATE_BUDGET);
	if (stream->clock)
		at_most(&target, stream->wished * share, RATE_PROCESS);
	if (measured->lost && (double)measured->lost > all * LOSS_SHARE) {
		at_most(&target, stream->rate * LOSS_CUT, RATE_LOSS);
		stream->resting_until = window->now + LOSS_REST_NS;
	} else if (window->now < stream->resting_until) {
		at_most(&target, stream->rate, RATE_LOSS);
	}
	if (stream->clock && window->kernel_hz)
		at_most(&target, window->kernel_hz, RATE_KERNEL);
	if (target.rate < stream->floor && target.why != RATE_KERNEL)
		target.rate = stream->floor;
	return target;
}

/* From what is to what shall be. True: it moved. */
static bool move(struct controller *controller, struct controller_stream *stream,
		 struct target target)
{
	double before = stream->rate;

	if (target.rate > before) {
		if (controller->stolen > STOLEN_MAX) {
			stream->why = RATE_STOLEN;
			return false;
		}
		if (target.rate > before * RISE_MAX) {
			target.rate = before * RISE_MAX;
			target.why = RATE_RISING;
		}
	}
	/* The ends are reached exactly; what lies between may be off by the band. */
	if (fabs(target.rate - before) <= DEAD_BAND * before && target.rate != stream->wished &&
	    target.rate != stream->floor) {
		if (target.why != RATE_RISING)
			stream->why = target.why;
		return false;
	}
	stream->why = target.why;
	if (target.rate == before)
		return false;
	stream->rate = target.rate;
	if (target.rate < before)
		controller->cuts++;
	else
		controller->rises++;
	return true;
}

uint64_t controller_run(struct controller *controller, const struct controller_window *window)
{
	uint64_t changed = 0;
	double s, patient, share;

	if (!window->elapsed || !window->cpus)
		return 0;
	learn(controller, window);
	ease(controller);
	save(controller, window);
	s = room(controller, window, controller->fixed);
	patient = room(controller, window, usual(controller));
	share = process_share(controller, window);
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		struct controller_stream *stream = &controller->streams[slot];

		if (!stream->used || stream->forced > 0)
			continue;
		if (move(controller, stream,
			 aim(stream, &window->streams[slot], window, stream->patient ? patient : s,
			     share)))
			changed |= 1ULL << slot;
	}
	return changed;
}

double controller_samples_for(double half_width)
{
	double n = QUANTILE / (2 * half_width);

	return n * n;
}

double controller_half_width(double weight, double squares)
{
	return weight > 0 ? QUANTILE / 2 * sqrt(squares) / weight : 1;
}
