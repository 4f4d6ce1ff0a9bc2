/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When to look at something that costs each time it happens, looked at or not thrown away: a
 * tracepoint of page faults, of mappings. Pure: it knows no BPF and no clock.
 *
 * All the time, as long as that costs the CPU that pays most no more than the budget. Else in
 * one of n slices of a frame, drawn at random, where n is what keeps the budget by what
 * the slices before cost. What is seen in a slice stands for the whole frame, n times itself:
 * a share that is settled before the slice begins, so it has nothing to do with what is in
 * it, and each moment has the same chance. So sums stay unbiased, whatever comes in bursts,
 * and are less exact.
 *
 * A slice that begins late, because perfd was late, is as long as it was to be; one that
 * reaches beyond its frame stands for the time until its own end, where the next frame begins. How
 * late its end is seen to does not matter: it is said before, and the kernel side counts by it
 * (abi_slot.from, until, end).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DUTY_SLICES_MAX 200u

struct duty_window {
	uint64_t from, until, end; /* as in struct abi_slot */
	uint32_t scale;
};

enum duty_state {
	DUTY_ALWAYS, /* looks, and will go on */
	DUTY_ENDING, /* looks all the time, until the window's end */
	DUTY_RESTING, /* waits for the slice */
	DUTY_SLICE,
};

struct duty {
	enum duty_state state;
	double budget; /* of a CPU's time, 0 to 1; 0: no limit */
	double cost; /* of a CPU's time, while it is looked at; an estimate */
	uint32_t slices; /* one of so many is looked at */
	uint64_t slice; /* ns: how long one is */
	uint64_t frame, frame_end; /* boot time, ns: the present one */
	struct duty_window window;
	uint64_t next; /* boot time, ns: when something is to be done */
};

/* What the owner has to do. */
enum duty_step {
	DUTY_WAIT, /* nothing, until `next` */
	DUTY_TELL, /* tell the kernel side the window; it is on already */
	DUTY_OPEN, /* likewise, and begin to look */
	DUTY_CLOSE, /* look no more */
};

/* Looks all the time, from now on. */
void duty_init(struct duty *duty, double budget, uint64_t now);
/* Whether the owner is to measure what it costs before it calls duty_run(). */
bool duty_wants_cost(const struct duty *duty, uint64_t now);
/* What the last look cost, as a part of the time of the CPU that had most of it. */
void duty_cost(struct duty *duty, double cost);
/* `random`: of 64 bits, which draw the slice. To be called until DUTY_WAIT. */
enum duty_step duty_run(struct duty *duty, uint64_t now, uint64_t random);
