/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What perfd itself costs the machine: its own CPU time and that of all its children, those
 * that run and those that ended, and the time that the CPUs were given to other machines.
 *
 * Children are found by /proc/self/task/TID/children (CONFIG_PROC_CHILDREN), their time by
 * their CPU clocks (clock_getcpuclockid(3)). One that ended and has not been waited for yet
 * is missing for that moment: sums never fall.
 */
#pragma once

#include <stdint.h>

struct own_cost {
	int children_fd; /* of the main thread, which has all of them; -1: cannot be read */
	int stat_fd; /* /proc/stat; likewise */
	uint64_t cpu_ns; /* as last seen */
};

void own_cost_init(struct own_cost *cost);
void own_cost_deinit(struct own_cost *cost);
/* CPU time of all so far, ns. */
uint64_t own_cost_cpu_ns(struct own_cost *cost);
/* Stolen time of all CPUs so far, ns; 0: not known. */
uint64_t own_cost_stolen_ns(const struct own_cost *cost);
