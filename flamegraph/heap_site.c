/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/heap_site.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "flamegraph/profile_internal.h"

void heap_sum_add(struct heap_sum *into, const struct heap_sum *sum)
{
	into->n = profile_sum(into->n, sum->n);
	into->count = profile_sum(into->count, sum->count);
	into->bytes = profile_sum(into->bytes, sum->bytes);
	into->count_var += sum->count_var;
	into->bytes_var += sum->bytes_var;
}

static uint64_t less(uint64_t from, uint64_t by)
{
	return from > by ? from - by : 0;
}

void heap_sum_subtract(struct heap_sum *from, const struct heap_sum *sum)
{
	from->n = less(from->n, sum->n);
	from->count = less(from->count, sum->count);
	from->bytes = less(from->bytes, sum->bytes);
	from->count_var -= sum->count_var;
	from->bytes_var -= sum->bytes_var;
	/* What is left of a difference of large numbers is no variance. */
	if (!from->n || from->count_var < 0)
		from->count_var = 0;
	if (!from->n || from->bytes_var < 0)
		from->bytes_var = 0;
}

struct heap_sum heap_sum_one(uint64_t count, uint64_t bytes)
{
	double c = (double)count / HEAP_COUNT_SCALE, w = (double)bytes;
	double size = c > 0 ? w / c : w;

	return (struct heap_sum){
		.n = 1,
		.count = count,
		.bytes = bytes,
		.count_var = fmax(c * (c - 1), 0),
		.bytes_var = fmax(w * (w - size), 0),
	};
}

double heap_sum_bytes_error(const struct heap_sum *sum)
{
	return sqrt(fmax(sum->bytes_var, 0));
}

double heap_sum_count_error(const struct heap_sum *sum)
{
	return sqrt(fmax(sum->count_var, 0));
}

unsigned int heap_bucket(uint64_t value)
{
	unsigned int bucket = value ? 63 - (unsigned int)__builtin_clzll(value) : 0;

	return bucket < HEAP_BUCKETS ? bucket : HEAP_BUCKETS - 1;
}

uint64_t heap_histogram_total(const uint64_t *buckets)
{
	uint64_t total = 0;

	for (unsigned int i = 0; i < HEAP_BUCKETS; i++)
		total = profile_sum(total, buckets[i]);
	return total;
}

double heap_quantile(const uint64_t *buckets, double share)
{
	double wanted = share * (double)heap_histogram_total(buckets), sum = 0;

	for (unsigned int i = 0; i < HEAP_BUCKETS; i++) {
		double here = (double)buckets[i];

		if (here > 0 && sum + here >= wanted)
			return ldexp(1 + (wanted - sum) / here, (int)i);
		sum += here;
	}
	return 0;
}

void heap_site_deinit(struct heap_site *site)
{
	vec_free(&site->levels);
}

int heap_site_copy(const struct heap_site *site, struct heap_site *ret)
{
	struct heap_site copy = *site;

	memset(&copy.levels, 0, sizeof(copy.levels));
	if (site->levels.count) {
		if (vec_reserve(&copy.levels, site->levels.count))
			return -ENOMEM;
		memcpy(copy.levels.items, site->levels.items,
		       site->levels.count * sizeof(*site->levels.items));
		copy.levels.count = site->levels.count;
	}
	*ret = copy;
	return 0;
}

struct heap_level heap_site_level(const struct heap_site *site, size_t snapshot)
{
	size_t at = snapshot - site->first_level;

	return snapshot >= site->first_level && at < site->levels.count ? site->levels.items[at]
									: (struct heap_level){0};
}

static int add_levels(struct heap_site *into, const struct heap_site *site)
{
	size_t first = into->levels.count ? into->first_level : site->first_level;
	size_t into_end = first + into->levels.count;
	size_t end = site->first_level + site->levels.count;
	struct heap_site sum = {0};

	if (!site->levels.count)
		return 0;
	first = site->first_level < first ? site->first_level : first;
	end = into_end > end ? into_end : end;
	sum.first_level = (uint32_t)first;
	if (vec_reserve(&sum.levels, end - first))
		return -ENOMEM;
	for (size_t i = first; i < end; i++) {
		struct heap_level level = heap_site_level(into, i);
		struct heap_level more = heap_site_level(site, i);

		heap_sum_add(&level.live, &more.live);
		level.moved_var += more.moved_var;
		sum.levels.items[sum.levels.count++] = level;
	}
	vec_free(&into->levels);
	into->first_level = sum.first_level;
	memcpy(&into->levels, &sum.levels, sizeof(into->levels));
	return 0;
}

int heap_site_add(struct heap_site *into, const struct heap_site *site)
{
	heap_sum_add(&into->alloc, &site->alloc);
	heap_sum_add(&into->live, &site->live);
	heap_sum_add(&into->leaked, &site->leaked);
	heap_sum_add(&into->peak, &site->peak);
	heap_sum_add(&into->temporary, &site->temporary);
	heap_sum_add(&into->unknown, &site->unknown);
	for (unsigned int i = 0; i < HEAP_BUCKETS; i++) {
		into->sizes[i] = profile_sum(into->sizes[i], site->sizes[i]);
		into->lives[i] = profile_sum(into->lives[i], site->lives[i]);
		into->ages[i] = profile_sum(into->ages[i], site->ages[i]);
	}
	into->old = profile_sum(into->old, site->old);
	into->old_freed = profile_sum(into->old_freed, site->old_freed);
	return add_levels(into, site);
}
