/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/confidence.h"

#include <math.h>

#define QUANTILE 1.959963984540054 /* of the normal distribution, 95 % in the middle */

/* So many samples of one weight know the share as well. */
static double samples_alike(const struct confidence_sum *part, const struct confidence_sum *all,
			    double p)
{
	double rest = all->squares > part->squares ? all->squares - part->squares : 0;
	double spread = (1 - p) * (1 - p) * part->squares + p * p * rest;
	double whole = all->weight * all->weight / all->squares, n;

	/* What was hit a few times tells its own spread badly, mostly too small a one: not more
	 * than all of them together know. */
	if (p <= 0 || p >= 1 || spread <= 0)
		return whole;
	n = p * (1 - p) * all->weight * all->weight / spread;
	return n < whole ? n : whole;
}

struct confidence confidence_of_share(const struct confidence_sum *part,
				      const struct confidence_sum *all)
{
	double p, n, z = QUANTILE, middle, half;

	if (all->weight <= 0 || all->squares <= 0)
		return (struct confidence){.high = 1};
	p = fmin(1, fmax(0, part->weight / all->weight));
	n = samples_alike(part, all, p);
	middle = (p + z * z / (2 * n)) / (1 + z * z / n);
	half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
	return (struct confidence){
		.low = p > 0 ? fmax(0, middle - half) : 0,
		.high = p < 1 ? fmin(1, middle + half) : 1,
	};
}
