/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of flamegraph/ share about profiles and nobody else needs.
 */
#pragma once

#include <stdint.h>

#include "flamegraph/profile.h"

/* Sums stay at the top instead of wrapping: a foreign profile may hold any
 * value, and a share must never come out above 100 %. */
static inline uint64_t profile_sum(uint64_t a, uint64_t b)
{
	return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

/* profile_stack() in two steps, of frames that are the profile's for certain: some hundred
 * nanoseconds after the first, what the second looks at has come nearer. */
uint32_t profile_stack_hash(const struct profile *profile, const uint32_t *frames, size_t count);
uint32_t profile_stack_hashed(struct profile *profile, uint32_t hash, const uint32_t *frames,
			      size_t count);

/* profile_add_count() with strings that are the profile's already. Fails only for
 * want of room in profile->counts. */
int profile_join_count(struct profile *profile, const struct profile_count *count);
#define PROFILE_MARKS_TEXT "marks that there was no room for"
/* Likewise for a mark; what is above PROFILE_MARKS_MAX becomes a count. */
int profile_join_mark(struct profile *profile, const struct profile_mark *mark);
