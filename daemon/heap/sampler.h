/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which allocations are sampled, and what a sample stands for.
 *
 * Sampling points lie on the line of a thread's allocated bytes as a Poisson process
 * of one point in `interval` bytes: gaps are drawn from the exponential distribution,
 * and an allocation with a point in it is a sample. An allocation of s bytes is
 * sampled with p = 1 - exp(-s / interval), whatever came before it, and stands for
 * s / p bytes: so sums are unbiased for any mix of sizes.
 *
 * That an exponential gap has no memory makes changes harmless. The gap under way
 * belongs to the interval it was drawn under (`interval` of the thread, not the
 * control's), p is that interval's, and nothing that is known before an allocation
 * says more about its being sampled: E[weight | the past] = s for each, so it holds
 * across any change of the interval, at any time. A gap may be thrown away and drawn
 * anew between two allocations for the same reason (after a fork, after a change).
 *
 * What is as large as the band is a sample with p = 1, and takes nothing off the gap. A gap's
 * bytes are handed to the hot path in portions smaller than the band, so that such an
 * allocation never fits there, and costs the others nothing. The band under which it is
 * judged is the thread's, of its last draw, as is the interval: so both are settled before.
 *
 * Nothing here allocates, locks, or calls the C library.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/heap/control.h"

/* A thread's. All zero is a new one: its first allocation draws. */
struct heap_thread {
	uint64_t left; /* bytes until the next look at all this; the hot path's */
	uint64_t reserve; /* of the gap, beyond `left` */
	uint64_t interval; /* that the gap was drawn under */
	uint64_t band; /* likewise; UINT64_MAX: none */
	uint64_t random;
	uint32_t changes; /* of the control, then */
	uint32_t tid; /* 0: new */
};

/* An allocation of `size` bytes did not fit into `left` any more (and is not taken off
 * it yet). Takes it off the gap and says whether it is a sample; then *ret_weight is
 * size / p, rounded without bias, and a new gap begins after it. `tid`: the thread's, so
 * that a forked child draws numbers of its own. */
bool heap_sampler_step(struct heap_thread *thread, struct heap_control *control, uint32_t tid,
		       uint64_t size, uint64_t *ret_weight);

/* For tests. A gap in bytes: exponential, rounded down. */
uint64_t heap_sampler_gap(struct heap_thread *thread, uint64_t interval);
/* 1 - exp(-x) for x >= 0, and the natural logarithm of 0 < x <= 1. */
double heap_one_minus_exp(double x);
double heap_log(double x);
