/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Two profiles beside each other: what became more, what became less, what is new, what
 * is gone, and which of it is no more than chance.
 *
 * Both are joined in one profile, frames by name, kind and the module's base name, so
 * that another folder or a moved address is no difference; modules count only if both
 * have any. It has five values: see DIFF_*.
 *
 * Amounts are compared on a common scale (enum diff_scale): the before is turned into
 * what it would be at the after's total, or duration. All deltas are after - before on
 * that scale, in the unit of the value.
 *
 * Chance: samples are counts. Of the samples that hit a function in either profile, the
 * number in the after is binomial if nothing has changed (the conditional test of two
 * Poisson rates, Przyborowski and Wilenski 1940), with a chance that heeds how much a
 * sample weighs on either side. Many functions are looked at, so the
 * p-values are adjusted for the share of false discoveries (Benjamini and Hochberg
 * 1995). Samples that come in bursts vary more than that: a "sure" is about sampling, not
 * about how alike two runs are.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"
#include "flamegraph/labels.h"
#include "flamegraph/profile.h"

enum diff_value { DIFF_BEFORE, DIFF_AFTER, DIFF_BEFORE_N, DIFF_AFTER_N, DIFF_SUM };
enum diff_scale { DIFF_AUTO, DIFF_SHARE, DIFF_SECOND, DIFF_RAW };
enum diff_width { DIFF_WIDTH_SUM, DIFF_WIDTH_AFTER, DIFF_WIDTH_BEFORE };
enum diff_verdict { DIFF_NOISE, DIFF_LIKELY, DIFF_SURE };

struct diff_side {
	const struct profile *profile;
	const char *value; /* its value type; NULL: the default one */
};

struct diff_amount {
	uint64_t before, after; /* as in the profiles */
	uint64_t before_n, after_n; /* samples */
	double delta; /* on the common scale */
	double p; /* of so large a difference by chance, adjusted */
	enum diff_verdict verdict;
};

struct diff_row {
	uint32_t label; /* in diff->labels */
	struct diff_amount self, total;
};

struct diff {
	struct profile *joined;
	const char *unit;
	char before_title[256], after_title[256];
	enum diff_scale scale; /* never DIFF_AUTO */
	double factor; /* of the before, to the after's scale */
	struct diff_amount all;
	struct labels labels; /* of the joined profile */
	VEC(struct diff_row) rows; /* with a difference; the largest first */
	size_t functions; /* that were compared */
};

/* Where both have a duration DIFF_AUTO is DIFF_SECOND, else DIFF_SHARE. -EINVAL: a value
 * that is not there, units that differ, DIFF_SECOND without durations; -ENODATA: nothing
 * in one of them; -ENOMEM. */
int diff_init(struct diff *diff, const struct diff_side *before, const struct diff_side *after,
	      enum diff_scale scale, struct error *error);
void diff_deinit(struct diff *diff);

/* Two-sided p-value of k_after of k_before + k_after, each being after with p. */
double diff_binomial(double k_before, double k_after, double p);

struct diff_options {
	uint32_t top; /* rows; 0: all */
	enum diff_width width;
	uint32_t width_px; /* of a picture; 0: 1200 */
};

struct diff_format {
	const char *name;
	const char *extensions;
	const char *help;
	int (*write)(const struct diff *diff, const struct diff_options *options, FILE *out);
};
extern const struct diff_format diff_formats[];
extern const size_t diff_format_count;

int diff_table_write(const struct diff *diff, const struct diff_options *options, FILE *out);
int diff_json_write(const struct diff *diff, const struct diff_options *options, FILE *out);
int diff_folded_write(const struct diff *diff, const struct diff_options *options, FILE *out);
int diff_svg_write(const struct diff *diff, const struct diff_options *options, FILE *out);
