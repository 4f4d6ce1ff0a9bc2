/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A site: what is known of the allocations of one stack in one process, beyond the sums that
 * the profile's samples have: how exact these are, sizes, lifetimes, and how what is in use
 * came about.
 *
 * An allocation of s bytes is sampled with probability p and stands for s / p bytes and 1 / p
 * allocations, so sums are unbiased. Each was drawn by itself (Poisson sampling), so the
 * variance of a sum of bytes is that of Horvitz and Thompson, estimated without bias by the
 * sum of (1 - p) (s / p)^2 = w (w - s) over the sampled ones, w being the weighted bytes;
 * that of a number by the sum of c (c - 1), c = 1 / p.
 *
 * Counts are in 1/HEAP_COUNT_SCALE, for 1 / p is no whole number. `n` counts what was really
 * seen. Times are in ns.
 *
 * Ownership: a site owns its levels.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/vec.h"

#define HEAP_COUNT_SCALE 1024u
/* Bucket i has what is in [2^i, 2^(i + 1)), the first also 0, the last all that is larger. */
#define HEAP_BUCKETS 48u
/* What is freed sooner is temporary. */
#define HEAP_TEMPORARY_NS 1000000ULL
/* What was in use for so long is old: see heap_growth.h. */
#define HEAP_OLD_NS (10 * 1000000000ULL)

struct heap_sum {
	uint64_t n;
	uint64_t count; /* in 1/HEAP_COUNT_SCALE */
	uint64_t bytes;
	double count_var, bytes_var; /* of allocations, of bytes: squared */
};

/* What is in use at a snapshot. */
struct heap_level {
	struct heap_sum live;
	/* Variance of the bytes by which it differs from the snapshot before: what has come or
	 * gone since, not what stayed. */
	double moved_var;
};

struct heap_site {
	uint32_t stack; /* of the profile */
	uint32_t process; /* index into the profile's, or PROFILE_NONE */
	struct heap_sum alloc; /* all */
	struct heap_sum live; /* in use at the end, of a process that lives */
	struct heap_sum leaked; /* in use when its process ended */
	struct heap_sum peak; /* in use when all sites together had most */
	struct heap_sum temporary; /* freed within HEAP_TEMPORARY_NS */
	struct heap_sum unknown; /* of all: whose end was not followed, or not to the end */
	uint64_t sizes[HEAP_BUCKETS]; /* counts by bytes asked for */
	uint64_t lives[HEAP_BUCKETS]; /* counts by lifetime, of what was freed */
	uint64_t ages[HEAP_BUCKETS]; /* counts by age, of what is in use at the end */
	uint64_t old, old_freed; /* n that were in use for HEAP_OLD_NS; of these: freed later */
	uint32_t first_level; /* snapshot that levels begin at: nothing before */
	VEC(struct heap_level) levels; /* one a snapshot, until its process ended */
};

void heap_sum_add(struct heap_sum *into, const struct heap_sum *sum);
/* What was added before. */
void heap_sum_subtract(struct heap_sum *from, const struct heap_sum *sum);
/* What one sampled allocation stands for. */
struct heap_sum heap_sum_one(uint64_t count, uint64_t bytes);
/* Standard errors. */
double heap_sum_bytes_error(const struct heap_sum *sum);
double heap_sum_count_error(const struct heap_sum *sum);
static inline double heap_sum_count(const struct heap_sum *sum)
{
	return (double)sum->count / HEAP_COUNT_SCALE;
}

unsigned int heap_bucket(uint64_t value);
/* Of a histogram, where `share` (0 to 1) of all lies below, straight within a bucket; 0: it is
 * empty. */
double heap_quantile(const uint64_t *buckets, double share);
uint64_t heap_histogram_total(const uint64_t *buckets);

void heap_site_deinit(struct heap_site *site);
/* -ENOMEM: unchanged. */
int heap_site_copy(const struct heap_site *site, struct heap_site *ret);
/* Adds another site's sums and histograms, and the levels, of the same snapshots: a process that
 * has ended has nothing after. -ENOMEM: levels are then missing. */
int heap_site_add(struct heap_site *into, const struct heap_site *site);
/* The level at a snapshot; nothing where there is none. */
struct heap_level heap_site_level(const struct heap_site *site, size_t snapshot);
