/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The report: one row a function, what ran in it itself (self) and in it or below
 * it (total). A recursive function counts once a sample. Inlined functions are
 * rows of their own. Rows are sorted by self, then total (largest first), then
 * name, so that equal profiles give equal tables.
 *
 * Ownership: the report refers to the profile, which must outlive it unchanged.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/vec.h"
#include "flamegraph/confidence.h"
#include "flamegraph/labels.h"
#include "flamegraph/profile.h"

struct report_row {
	uint32_t label; /* in report->labels */
	uint64_t self;
	uint64_t total;
	double self_squares, total_squares; /* see report.squares */
};

struct report {
	struct labels labels;
	VEC(struct report_row) rows;
	uint64_t total; /* of all samples */
	size_t rows_all; /* before `top` cut them */
	uint64_t samples; /* the value "samples" if there is one, else the number of records */
	uint64_t lost; /* sum of the counts that are losses */
	/* Sum of squares of what the samples stand for, for confidence.h. Those of one record
	 * are taken to be alike, as they are unless its rate changed within its bucket of
	 * time. 0: the profile does not say how many samples there were. */
	double squares;
};

/* `top`: rows kept, 0: all. 0, -EINVAL (no such value type), -ENOMEM. */
int report_compute(const struct profile *profile, uint32_t value_type, size_t top,
		   struct report *ret);
void report_deinit(struct report *report);

/* Of 0 to 1, at 95 %; only where report.squares is not 0. */
struct confidence report_self_share(const struct report *report, const struct report_row *row);
struct confidence report_total_share(const struct report *report, const struct report_row *row);

/* Number of samples of the whole profile, as report.samples. */
uint64_t report_samples(const struct profile *profile);
/* Samples that were lost, as report.lost. */
uint64_t report_lost(const struct profile *profile);
/* One value in each window of the profile's time, empty ones too; the last one only if it
 * is whole, or there are but two. */
struct report_windows {
	uint64_t width_ns; /* a multiple of the profile's buckets */
	size_t count; /* 0: the profile has no time axis */
	uint64_t min, mean, max;
	uint64_t p50, p90, p99; /* nearest rank */
};
/* 0, -E2BIG (more than REPORT_WINDOWS_MAX), -ENOMEM. */
#define REPORT_WINDOWS_MAX (1U << 24)
/* Windows are at least so wide if nobody asks for others: in finer ones there is mostly
 * the noise of sampling. */
#define REPORT_WINDOW_NS 1000000000ULL
/* `window_ns`: 0 for REPORT_WINDOW_NS. */
int report_windows(const struct profile *profile, uint32_t value_type, uint64_t window_ns,
		   struct report_windows *ret);

/* "user", "kernel", …: a label's kind, for programs. */
const char *report_kind_name(uint32_t kind);
