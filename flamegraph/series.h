/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A series: a quantity over time that stands beside a profile's samples, by steps of
 * equal width from the profile's beginning on: resident memory by kind, live heap with
 * what it may be off by, a sampling rate.
 *
 *	level   how much there is; of several values in one step the largest counts,
 *		so that a peak is never lost
 *	amount  how much came in the step; several add up
 *
 * A step of which nothing is known is SERIES_UNKNOWN. Series of one group are parts of one
 * whole and are drawn stacked ("rss": anon, file, shmem); one without a group stands alone.
 *
 * Bounded: at SERIES_STEPS_MAX steps, two become one and the step is twice as wide.
 *
 * Ownership: the points are the series' own; strings and the process are ids of the
 * profile that holds it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/vec.h"

#define SERIES_STEPS_MAX 4096
#define SERIES_UNKNOWN UINT64_MAX

enum series_kind { SERIES_LEVEL, SERIES_AMOUNT, SERIES_KIND_COUNT };

/* low <= value <= high; all the same where the value is exact. */
struct series_point {
	uint64_t value;
	uint64_t low, high; /* the true value lies between them, 95 times of 100 */
};

struct series {
	uint32_t name; /* string: "anon" */
	uint32_t unit; /* string, as of value types: "bytes", "nanoseconds", "count" */
	uint32_t group; /* string: "rss"; "": stands alone */
	uint32_t process; /* index into the profile's, or PROFILE_NONE: of all */
	uint32_t kind; /* enum series_kind */
	uint64_t step_ns; /* > 0 */
	VEC(struct series_point) points; /* one a step */
};

/* Many of them: a VEC (vec.h) with a name. */
struct series_list {
	struct series *items;
	size_t count;
	size_t capacity;
};

void series_deinit(struct series *series);
void series_list_deinit(struct series_list *list);
/* The one alike, made without points if there is none; -ENOMEM: unchanged. */
int series_list_find(struct series_list *list, const struct series *like, struct series **ret);
/* The same thing measured: all but steps and points alike. */
bool series_same(const struct series *a, const struct series *b);
/* Puts a point at a time since the profile's beginning. -EINVAL: value SERIES_UNKNOWN, or
 * no step; -ENOMEM: unchanged. */
int series_put(struct series *series, uint64_t at_ns, const struct series_point *point);
/* Adds the points of `from`, moved by `shift_ns`; of two steps the wider one is kept.
 * -ENOMEM: `into` is then unchanged. */
int series_join(struct series *into, const struct series *from, uint64_t shift_ns);
/* Moves all points by `shift_ns`; -ENOMEM: unchanged. */
int series_shift(struct series *series, uint64_t shift_ns);
/* True where some point is not exact. */
bool series_has_band(const struct series *series);
