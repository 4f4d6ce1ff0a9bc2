/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/time_axis.h"

#include "flamegraph/profile_internal.h"

struct time_axis time_axis_of(const struct profile *profile)
{
	return (struct time_axis){
		.start_ns = profile->start_ns,
		.duration_ns = profile->duration_ns,
		.bucket_ns = profile->bucket_ns,
	};
}

struct time_axis time_axis_join(const struct profile *a, const struct profile *b)
{
	struct time_axis joined = {0};
	uint64_t a_start = a->start_ns ? a->start_ns : b->start_ns;
	uint64_t b_start = b->start_ns ? b->start_ns : a->start_ns;
	uint64_t a_end = profile_sum(a_start, a->duration_ns);
	uint64_t b_end = profile_sum(b_start, b->duration_ns);

	joined.start_ns = a_start < b_start ? a_start : b_start;
	joined.duration_ns = (a_end > b_end ? a_end : b_end) - joined.start_ns;
	if ((a->bucket_ns || !a->samples.count) && (b->bucket_ns || !b->samples.count))
		joined.bucket_ns = a->bucket_ns > b->bucket_ns ? a->bucket_ns : b->bucket_ns;
	return joined;
}

uint64_t time_axis_shift(const struct time_axis *axis, const struct time_axis *to)
{
	return axis->start_ns > to->start_ns ? axis->start_ns - to->start_ns : 0;
}

uint32_t time_axis_bucket(uint32_t bucket, const struct time_axis *axis, const struct time_axis *to)
{
	uint64_t at_ns, moved;

	if (!to->bucket_ns)
		return 0;
	if (__builtin_mul_overflow(bucket, axis->bucket_ns, &at_ns))
		at_ns = UINT64_MAX;
	moved = profile_sum(at_ns, time_axis_shift(axis, to)) / to->bucket_ns;
	return moved < UINT32_MAX ? (uint32_t)moved : UINT32_MAX;
}
