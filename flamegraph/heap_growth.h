/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether what a site has in use grows, and whether it leaks: by its levels at the snapshots,
 * and by what became of what is old.
 *
 * The first quarter of the site's time is its start and counts for nothing; what follows is
 * looked at as a whole and in three parts. The slope is that of least squares. It is a linear
 * form in the increments between snapshots, whose sampling errors are nearly independent, so
 * its variance is the sum of their variances (heap_level.moved_var) times the squared
 * coefficients: what stayed in use from snapshot to snapshot adds no error, however much it is.
 * The error is that of sampling alone.
 *
 * Growth is called a leak only if all of this holds; a cache that has filled, a start, a heap
 * that only fragments fail at least one of it:
 *
 *	the site was watched for HEAP_LEAK_NS
 *	the slope is HEAP_LEAK_SIGMAS standard errors above 0
 *	in each of the three parts it grew, by HEAP_PART_SIGMAS standard errors
 *	in the last part at least HEAP_LEAK_LAST of the mean of all three
 *	at least HEAP_LEAK_OLD sampled objects became old (HEAP_OLD_NS), and of these no more than
 *	HEAP_LEAK_FREED were freed since
 *
 * What still fills, and keeps all it has, cannot be told from a leak by anybody.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/heap_data.h"

#define HEAP_LEAK_NS (30 * 1000000000ULL)
#define HEAP_LEAK_SIGMAS 4.0
#define HEAP_PART_SIGMAS 2.0
#define HEAP_LEAK_LAST 0.5
#define HEAP_LEAK_OLD 10u
#define HEAP_LEAK_FREED 0.05
#define HEAP_PARTS 3

enum heap_verdict {
	HEAP_UNKNOWN, /* no frees, or too few snapshots */
	HEAP_STEADY,
	HEAP_SHRINKS,
	HEAP_SETTLED, /* it grew, and does no more */
	HEAP_GROWS, /* but is no leak, or it is too early to say: `why` */
	HEAP_LEAKS,
};

enum heap_doubt {
	HEAP_DOUBT_NONE,
	HEAP_DOUBT_SHORT, /* not watched for long enough */
	HEAP_DOUBT_UNEVEN, /* not in all parts */
	HEAP_DOUBT_SLOWS,
	HEAP_DOUBT_FEW, /* too few old ones were sampled */
	HEAP_DOUBT_FREED, /* old ones are freed */
};

struct heap_growth {
	enum heap_verdict verdict;
	enum heap_doubt doubt;
	double slope, error; /* bytes a second; standard error */
	double parts[HEAP_PARTS], part_errors[HEAP_PARTS]; /* likewise */
	uint64_t from_ns, until_ns; /* what the slope is of */
	uint64_t old, old_freed;
};

/* `site`: of the data, or a sum of such. */
void heap_growth_of(const struct heap_data *data, const struct heap_site *site,
		    struct heap_growth *ret);
const char *heap_verdict_name(enum heap_verdict verdict);
/* "grows 1.02 ± 0.08 MiB/s for 44 s, none of the 412 sampled objects older than 10 s was freed":
 * the interval is that of 95 %. */
void heap_growth_put(struct strbuf *out, const struct heap_growth *growth);
/* "1.02 ± 0.08 MiB/s"; nothing is known: "-". */
void heap_growth_put_slope(struct strbuf *out, const struct heap_growth *growth);
