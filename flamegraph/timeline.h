/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A time line: how much there was of something in each step of time, by series that
 * add up to the whole, with marks at what happened. Pure data: who has series of his
 * own fills the struct, timeline_from_profile() makes it of a profile's windows.
 *
 * Amounts are in the unit of the value, of one step. For people they are told as rates:
 * nanoseconds in a second are CPUs, anything else is "a second".
 *
 * Ownership: the timeline owns all it holds. Texts are clean (text.h).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"
#include "daemon/base/vec.h"
#include "flamegraph/profile.h"

#define TIMELINE_STEPS_MAX 2000 /* of a profile; if it has more windows, steps are wider */
#define TIMELINE_SERIES_MAX 10 /* "others" among them */
#define TIMELINE_TOP_DEFAULT 8

struct timeline_series {
	struct strbuf name;
	uint64_t *values; /* timeline.steps of them */
	uint64_t total;
	uint64_t peak; /* the largest of the values */
};

struct timeline_mark {
	uint64_t at_ns; /* since start_ns */
	const char *key; /* "peak", "start", "exit": static */
	struct strbuf text;
};

struct timeline {
	struct strbuf title, origin;
	struct strbuf foot; /* lines, each with its \n */
	struct strbuf value, unit;
	uint64_t start_ns; /* CLOCK_REALTIME; 0: unknown */
	uint64_t step_ns;
	size_t steps;
	VEC(struct timeline_series) series; /* the largest first, "others" last */
	VEC(struct timeline_mark) marks; /* by time */
	uint64_t total, peak; /* of all series together */
};

enum timeline_by { TIMELINE_PROCESS, TIMELINE_THREAD, TIMELINE_MODULE, TIMELINE_KIND };

struct timeline_options {
	const char *value; /* NULL: the profile's default */
	enum timeline_by by; /* module and kind: of the frame that ran */
	uint32_t top; /* series, the others are summed up; 0: TIMELINE_TOP_DEFAULT */
};

/* -EINVAL: no such value; -ENODATA: nothing in it, or no time axis; -ENOMEM. Nothing to
 * deinit then. */
int timeline_from_profile(const struct profile *profile, const struct timeline_options *options,
			  struct error *error, struct timeline *ret);
void timeline_deinit(struct timeline *timeline);

/* "1.82 CPUs", "3.10 MiB/s": an amount of `steps` steps as a rate. */
void timeline_put_rate(struct strbuf *out, const struct timeline *timeline, uint64_t amount,
		       size_t steps);

struct timeline_format {
	const char *name;
	const char *extensions;
	const char *help;
	int (*write)(const struct timeline *timeline, FILE *out);
};
extern const struct timeline_format timeline_formats[];
extern const size_t timeline_format_count;

int timeline_table_write(const struct timeline *timeline, FILE *out);
int timeline_json_write(const struct timeline *timeline, FILE *out);
int timeline_svg_write(const struct timeline *timeline, FILE *out);
/* A document around the SVG. */
int timeline_html_write(const struct timeline *timeline, FILE *out);
