/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How sure a share is that was found by sampling: its interval at 95 %.
 *
 * Samples stand for different amounts (their weights: rates change, and so do they), so the
 * share p of a part with the weights w is that of weights, and its variance is estimated by
 *
 *	[ (1-p)^2 Σ_part w^2 + p^2 Σ_rest w^2 ] / (Σ_all w)^2
 *
 * the ratio estimator's (Cochran, Sampling Techniques, 3rd ed., 6.4). It is that of
 * p (1-p) / variance samples alike, but no more than (Σ_all w)^2 / Σ_all w^2, for which Wilson's
 *interval is taken (JASA 22, 1927): it holds for small shares too, and never leaves 0 to 1.
 *
 * Samples are taken as independent of one another. A program that does one thing for much
 * longer than the time between two samples is known better than that: intervals are then
 * too wide, never too narrow.
 */
#pragma once

#include <stdint.h>

struct confidence {
	double low, high; /* shares, 0 to 1 */
};

/* What is summed over samples, of a part and of all. */
struct confidence_sum {
	double weight; /* Σ w */
	double squares; /* Σ w^2 */
};

struct confidence confidence_of_share(const struct confidence_sum *part,
				      const struct confidence_sum *all);
