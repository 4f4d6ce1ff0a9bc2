/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Answers a query: adds up what databases (and windows that are not in one yet) hold
 * into one profile.
 *
 *	history_reader_init(&reader, &query);
 *	history_day_read(db, &reader, …);		// each day, in the order of time
 *	history_reader_add_profile(&reader, profile, …);	// what is not written yet
 *	profile = history_reader_finish(&reader);
 *	history_reader_deinit(&reader);
 *
 * The profile's time is that of the windows found; its counts say how much of the time
 * asked for they leave out ("history_missing", milliseconds).
 */
#pragma once

#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"
#include "daemon/history_query.h"
#include "flamegraph/profile.h"

struct history_span {
	uint64_t start_ns, end_ns;
};

struct history_reader {
	struct history_query query;
	struct profile *profile;
	VEC(struct history_span) spans; /* of the windows found */
	uint64_t last_ns; /* end of the last of them */
	uint32_t frequency_hz;
	uint32_t windows;
};

int history_reader_init(struct history_reader *reader, const struct history_query *query);
void history_reader_deinit(struct history_reader *reader);
/* A window was found. -ENOMEM. */
int history_reader_note(struct history_reader *reader, const struct history_span *span,
			uint32_t frequency_hz);
/* The step in which a window begins; one that begins before the first is in that. */
uint32_t history_reader_bucket(const struct history_reader *reader, uint64_t start_ns);
/* A window that is in no database yet. -EINVAL: values that do not fit those of other
 * windows; -ENOMEM. */
int history_reader_add_profile(struct history_reader *reader, const struct profile *profile,
			       struct error *error);
/* The result, the caller's; NULL without memory. Without windows it has no values. */
struct profile *history_reader_finish(struct history_reader *reader);
