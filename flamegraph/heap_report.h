/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One look at a profile of allocations, for people and for programs: the totals of all views,
 * one view by function or site with how exact it is, growth, the pattern and the advice; and
 * the difference between two snapshots.
 *
 * Ownership: the report refers to profile and data, which must outlive it unchanged.
 */
#pragma once

#include <stdio.h>

#include "flamegraph/heap_advice.h"
#include "flamegraph/heap_view.h"

struct heap_report {
	const struct profile *profile;
	const struct heap_data *data;
	enum heap_by by;
	uint32_t top; /* rows; 0: all */
	struct heap_rows rows;
	struct heap_advice advice;
};

/* -ENOMEM. */
int heap_report_init(struct heap_report *report, const struct profile *profile,
		     const struct heap_data *data, enum heap_view view, enum heap_by by,
		     uint32_t top);
void heap_report_deinit(struct heap_report *report);
/* 0 or -ENOMEM. JSON: schema "perfd.heap/1", docs/schemas/perfd.heap-1.json. */
int heap_report_text(const struct heap_report *report, FILE *out);
int heap_report_json(const struct heap_report *report, FILE *out);

/* Two snapshots beside each other, by function or site. */
struct heap_change {
	uint32_t stack; /* of its largest change */
	uint32_t frame;
	size_t sites;
	struct heap_level before, after;
	double bytes, error; /* after - before, and its standard error */
	double count;
};

struct heap_diff {
	const struct profile *profile;
	const struct heap_data *data;
	size_t before, after; /* snapshots, or HEAP_AT_PEAK */
	enum heap_by by;
	uint32_t top;
	VEC(struct heap_change) rows; /* with a change, the largest first */
	struct heap_change all;
};

/* "10s", "-5s" (before the end), "start", "end": the nearest snapshot; "peak": just
 * that. -EINVAL: no moment; -ENODATA: there are no snapshots. */
int heap_diff_moment(const struct heap_data *data, const char *text, struct error *error,
		     size_t *ret);
/* Whether a word is meant as one. */
bool heap_diff_is_moment(const char *text);
int heap_diff_init(struct heap_diff *diff, const struct profile *profile,
		   const struct heap_data *data, size_t before, size_t after, enum heap_by by,
		   uint32_t top);
void heap_diff_deinit(struct heap_diff *diff);
int heap_diff_text(const struct heap_diff *diff, FILE *out);
int heap_diff_json(const struct heap_diff *diff, FILE *out);

/* What the two writers share: "app.c:main;serve;parse" is for people, root first. */
void heap_put_stack(struct strbuf *out, const struct profile *profile, uint32_t stack);
