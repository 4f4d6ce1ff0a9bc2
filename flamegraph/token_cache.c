/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/token_cache.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_BITS 7

void token_cache_deinit(struct token_cache *cache)
{
	free(cache->buckets);
	vec_free(&cache->bytes);
	*cache = (struct token_cache){0};
}

static void insert(struct token_bucket *buckets, unsigned bits, uint32_t hash, uint32_t record)
{
	size_t mask = ((size_t)1 << bits) - 1, i = token_home(hash, bits);
	unsigned k = 0;

	while (buckets[i].records[TOKEN_BUCKET - 1])
		i = (i + 1) & mask;
	while (buckets[i].records[k])
		k++;
	buckets[i].hashes[k] = hash;
	buckets[i].records[k] = record;
}

static size_t bucket_count(const struct token_cache *cache)
{
	return cache->buckets ? (size_t)1 << cache->bits : 0;
}

static int grow(struct token_cache *cache)
{
	unsigned bits = cache->buckets ? cache->bits + 1 : FIRST_BITS;
	size_t size = sizeof(*cache->buckets) << bits;
	struct token_bucket *buckets = aligned_alloc(sizeof(*buckets), size);

	if (!buckets)
		return -ENOMEM;
	memset(buckets, 0, size);
	for (size_t i = 0; i < bucket_count(cache); i++) {
		const struct token_bucket *bucket = &cache->buckets[i];

		for (unsigned k = 0; k < TOKEN_BUCKET && bucket->records[k]; k++)
			insert(buckets, bits, bucket->hashes[k], bucket->records[k]);
	}
	free(cache->buckets);
	cache->buckets = buckets;
	cache->bits = bits;
	return 0;
}

int token_cache_put(struct token_cache *cache, uint32_t hash, const char *bytes, size_t n,
		    uint32_t id)
{
	struct token_record record = {.length = (uint32_t)n, .id = id};
	size_t size = sizeof(record) + n;

	if (size > TOKEN_CACHE_MAX)
		return 0;
	if (cache->bytes.count + size > TOKEN_CACHE_MAX) {
		memset(cache->buckets, 0, bucket_count(cache) * sizeof(*cache->buckets));
		cache->count = 0;
		vec_clear(&cache->bytes);
	}
	/* At most five eighths full: nearly all are in the bucket where they are looked for. */
	if (((cache->count + 1) * 8 > bucket_count(cache) * TOKEN_BUCKET * 5 && grow(cache)) ||
	    vec_reserve(&cache->bytes, cache->bytes.count + size + TOKEN_PAD))
		return -ENOMEM;
	memcpy(cache->bytes.items + cache->bytes.count, &record, sizeof(record));
	if (n)
		memcpy(cache->bytes.items + cache->bytes.count + sizeof(record), bytes, n);
	insert(cache->buckets, cache->bits, hash, (uint32_t)cache->bytes.count + 1);
	cache->bytes.count += size;
	cache->count++;
	return 0;
}
