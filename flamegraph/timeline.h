/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A time line: how much there was of something in each step of time, by series that
 * add up to the whole, with marks at what happened. Pure data: who has series of his
 * own fills the struct, timeline_from_profile() makes it of a profile's samples or series.
 *
 * Amounts are in the unit of the value, of one step. For people they are told as rates:
 * nanoseconds in a second are CPUs, anything else is "a second". A level (memory) is told
 * as it is.
 *
 * Ownership: the timeline owns all it holds. Texts are clean (text.h).
 */
#pragma once

#include <stdbool.h>
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
/* Width of a step of samples if nobody asks for another: finer ones are mostly noise. */
#define TIMELINE_STEP_NS 1000000000ULL
#define TIMELINE_STEP_SHORT_NS 100000000ULL /* of what is shorter than this many steps: */
#define TIMELINE_SHORT 10

struct timeline_series {
	struct strbuf name;
	uint64_t *values; /* timeline.steps of them */
	uint64_t *low, *high; /* likewise, what the true value lies between; NULL: exact */
	uint64_t total;
	uint64_t peak; /* the largest of the values */
};

struct timeline_mark {
	uint64_t at_ns; /* since start_ns */
	char key[32]; /* "peak", "start", "exit", or a profile mark's; clean */
	struct strbuf text;
	uint64_t value; /* a profile mark's */
	bool alarm; /* something was lost or went wrong */
};

struct timeline {
	struct strbuf title, origin;
	struct strbuf foot; /* lines, each with its \n */
	struct strbuf value, unit;
	uint64_t start_ns; /* CLOCK_REALTIME; 0: unknown */
	uint64_t step_ns;
	size_t steps;
	bool level; /* values are levels, not amounts of a step */
	VEC(struct timeline_series) series; /* the largest first, "others" last */
	VEC(struct timeline_mark) marks; /* by time */
	uint64_t total, peak; /* of all series together */
};

enum timeline_by {
	TIMELINE_AUTO,
	TIMELINE_PROCESS,
	TIMELINE_THREAD,
	TIMELINE_MODULE,
	TIMELINE_KIND
};

struct timeline_options {
	/* A value of the samples, or a group or name of series; NULL: the profile's default. */
	const char *value;
	/* Module and kind: of the frame that ran; kind of series: by name. AUTO: of samples
	 * process, of series kind. */
	enum timeline_by by;
	uint32_t top; /* series, the others are summed up; 0: TIMELINE_TOP_DEFAULT */
	uint64_t step_ns; /* at least, of samples; 0: TIMELINE_STEP_NS */
};

/* -EINVAL: no such value; -ENODATA: nothing in it, or no time axis; -ENOMEM. Nothing to
 * deinit then. */
int timeline_from_profile(const struct profile *profile, const struct timeline_options *options,
			  struct error *error, struct timeline *ret);
void timeline_deinit(struct timeline *timeline);

/* "1.82 CPUs", "3.10 MiB/s": an amount of `steps` steps as a rate; of a level, whose values
 * in these steps add up to `amount`, the mean: "3.10 MiB". */
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
