/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The time axis of a profile, and how one is laid over another.
 */
#pragma once

#include <stdint.h>

#include "flamegraph/profile.h"

/* Where the buckets of a profile lie in time. */
struct time_axis {
	uint64_t start_ns;
	uint64_t duration_ns;
	uint64_t bucket_ns;
};

struct time_axis time_axis_of(const struct profile *profile);
/* The axis of both. A start of 0 is unknown and taken as that of the other. No time axis is
 * the widest bucket of all, unless there is nothing in it. */
struct time_axis time_axis_join(const struct profile *a, const struct profile *b);
/* By how much what lies on `axis` is later on `to`. */
uint64_t time_axis_shift(const struct time_axis *axis, const struct time_axis *to);
/* The bucket of `to` in which a bucket of `axis` begins. */
uint32_t time_axis_bucket(uint32_t bucket, const struct time_axis *axis,
			  const struct time_axis *to);
