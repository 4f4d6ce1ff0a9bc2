/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a session knows of time beside its samples: quantities that were measured (series
 * of its profile) and what happened (marks). Kept until the session's profile of that
 * time is made, then put into it.
 *
 * Ownership: processes are referenced; kinds and keys are static; texts are copied.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/vec.h"
#include "daemon/process_table.h"
#include "flamegraph/profile.h"

/* Kept at once, of either; what is above is counted. */
#define SESSION_MEASURES_MAX (1u << 16)
#define SESSION_MARKS_MAX 1024u

/* One kind of quantity: a row of a static table of who measures. */
struct measure_kind {
	const char *name; /* as struct series has them */
	const char *group;
	const char *unit;
	enum series_kind kind;
	uint64_t step_ns; /* about how often it is measured */
};

struct session_measure {
	const struct measure_kind *kind;
	struct process *process; /* a reference; NULL: of all */
	uint64_t time; /* boot time, ns */
	struct series_point point;
};

struct session_mark {
	const char *key;
	char text[160];
	uint64_t time; /* boot time, ns */
	uint64_t value;
};

struct session_times {
	VEC(struct session_measure) measures;
	VEC(struct session_mark) marks;
	uint64_t dropped; /* for want of room or memory */
};

void session_times_deinit(struct session_times *times);
void session_times_measure(struct session_times *times, const struct session_measure *measure);
void session_times_mark(struct session_times *times, const struct session_mark *mark);
/* The time of the first thing kept; 0: nothing is. */
uint64_t session_times_first(const struct session_times *times);

struct session_times_apply {
	struct profile *profile;
	uint64_t start; /* boot time, ns, of the profile's beginning; what was before counts as then
			 */
	uint64_t until; /* only what was before */
	/* The profile's index for a process. */
	uint32_t (*process)(void *context, struct process *process);
	void *context;
};
/* Puts what was kept into the profile and forgets it. */
void session_times_apply(struct session_times *times, const struct session_times_apply *how);
