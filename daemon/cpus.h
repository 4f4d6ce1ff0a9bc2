/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A set of CPUs, in the kernel's list notation ("0-3,8").
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CPUS_MAX 8192 /* NR_CPUS of the largest configurations */

struct cpus {
	uint64_t bits[CPUS_MAX / 64];
};

static inline bool cpus_has(const struct cpus *cpus, uint32_t cpu)
{
	return cpu < CPUS_MAX && (cpus->bits[cpu / 64] >> (cpu % 64) & 1);
}

/* 0, or -EINVAL for a text that is no CPU list. */
int cpus_parse(const char *text, struct cpus *ret);
/* The CPUs that run now: /sys/devices/system/cpu/online. */
int cpus_online(struct cpus *ret);
/* For who asks again and again: a descriptor of that file, or -errno, which reading gives
 * again; what it says now. */
int cpus_online_open(void);
int cpus_online_read(int fd, struct cpus *ret);
