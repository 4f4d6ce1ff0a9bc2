/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a firing of a cpu-clock takes from the thread that it hits, without any program that
 * runs in it: the interrupt, perf's event, and the timer set anew. No counter of the kernel
 * tells it, and machines differ by ten: some 1 to 2 us on bare metal, and up to 20 us on a virtual
 * CPU, where the interrupt and the timer are the hypervisor's work. So it is measured from
 * within: the thread has a clock of its own that fires often, and looks at the time without
 * pause; where that stands still, it fired.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Measures, for some milliseconds of the calling thread's CPU time. 0: *ret, in ns; -errno:
 * the kernel gives no such event, or -EAGAIN: too few firings were seen (the CPU was others'). */
int firing_cost_measure(uint32_t *ret);
/* The judgement: ns that the clock stood still, of which most were firings. Sorts them. -EAGAIN:
 * fewer than half as many as had to come. */
int firing_cost_of(uint64_t *gaps, size_t count, size_t expected, uint32_t *ret);
