/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/duty.h"

#include <math.h>

#include "daemon/base/clock.h"

#define LOOK_NS (200 * NSEC_PER_MSEC) /* between two looks at the cost, all the time: a tick */
#define SOON_NS NSEC_PER_MSEC /* an end is said so long before it comes */
/* To begin and to end costs perfd half a millisecond each: as seldom as it takes no more than a
 * quarter of the budget, if that is within these bounds. */
#define SWITCH_NS NSEC_PER_MSEC
#define SWITCH_PART 4
#define FRAME_NS (2 * NSEC_PER_SEC)
#define FRAME_MAX_NS (8 * NSEC_PER_SEC)
#define SLICE_MIN_NS (20 * NSEC_PER_MSEC)
#define ONE (1u << 16)

static void always(struct duty *duty, uint64_t now)
{
	duty->state = DUTY_ALWAYS;
	duty->slices = 1;
	duty->window.end = UINT64_MAX;
	duty->next = now + LOOK_NS;
}

void duty_init(struct duty *duty, double budget, uint64_t now)
{
	*duty = (struct duty){.budget = budget, .window.scale = ONE};
	always(duty, now);
}

bool duty_wants_cost(const struct duty *duty, uint64_t now)
{
	return now >= duty->next && duty->state != DUTY_RESTING;
}

/* Up at once, down by halves: a slice without anything says little of the next. */
void duty_cost(struct duty *duty, double cost)
{
	duty->cost = cost > duty->cost ? cost : (duty->cost + cost) / 2;
}

static uint64_t wanted_frame(const struct duty *duty)
{
	double frame = duty->budget > 0 ? SWITCH_PART * SWITCH_NS / duty->budget : 0;

	return (uint64_t)fmax(fmin(frame, FRAME_MAX_NS), FRAME_NS);
}

static uint32_t wanted_slices(const struct duty *duty)
{
	double left = duty->budget - SWITCH_NS / (double)wanted_frame(duty), slices = 1;

	/* A budget that is hardly more than the switching has a quarter for looking. */
	if (duty->budget > 0 && duty->cost > duty->budget)
		slices = ceil(duty->cost / fmax(left, duty->budget / 4));
	return slices < 1 ? 1 : slices < DUTY_SLICES_MAX ? (uint32_t)slices : DUTY_SLICES_MAX;
}

/* The next frame begins where the last one ended. */
static void plan(struct duty *duty, uint64_t random)
{
	duty->frame = duty->frame_end;
	duty->slices = wanted_slices(duty);
	duty->slice = wanted_frame(duty) / duty->slices;
	if (duty->slice < SLICE_MIN_NS || duty->slices == 1)
		duty->slice = SLICE_MIN_NS;
	duty->frame_end = duty->frame + duty->slices * duty->slice;
	duty->next = duty->frame + random % duty->slices * duty->slice;
	duty->state = DUTY_RESTING;
}

static void open_slice(struct duty *duty, uint64_t now)
{
	uint64_t until = now + duty->slice;

	if (until > duty->frame_end)
		duty->frame_end = until;
	duty->window = (struct duty_window){
		.from = now,
		.until = until,
		.end = until,
		.scale = (uint32_t)fmin(
			round((double)(duty->frame_end - duty->frame) / (double)duty->slice * ONE),
			UINT32_MAX),
	};
	duty->state = DUTY_SLICE;
	duty->next = until;
	if (duty->slices == 1) {
		/* It stands for what was missed of its frame, and then all is seen. */
		always(duty, now);
	}
}

enum duty_step duty_run(struct duty *duty, uint64_t now, uint64_t random)
{
	if (now < duty->next)
		return DUTY_WAIT;
	switch (duty->state) {
	case DUTY_ALWAYS:
		duty->next = now + LOOK_NS;
		if (wanted_slices(duty) == 1)
			return DUTY_WAIT;
		duty->window.end = duty->frame_end = duty->next = now + SOON_NS;
		duty->state = DUTY_ENDING;
		return DUTY_TELL;
	case DUTY_ENDING:
	case DUTY_SLICE:
		plan(duty, random);
		return DUTY_CLOSE;
	case DUTY_RESTING:
		open_slice(duty, now);
		return DUTY_OPEN;
	}
	return DUTY_WAIT;
}
