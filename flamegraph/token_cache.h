/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a reader has already made of a piece of text: bytes -> id. A profile of
 * millions of lines has thousands of different names; each is looked at once.
 *
 * It is a cache: above TOKEN_CACHE_MAX bytes of keys it forgets all and begins anew.
 * Zero-initialised is empty and ready.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "daemon/base/vec.h"

#define TOKEN_CACHE_MAX (64U << 20)
#define TOKEN_NONE UINT32_MAX

/* Small, so that the table stays near the processor: the key lies with its id. */
struct token_slot {
	uint32_t tag; /* upper half of the hash */
	uint32_t record; /* its offset + 1; 0: free */
};

/* In `bytes`, the key right behind it. */
struct token_record {
	uint32_t length;
	uint32_t id;
};

struct token_cache {
	struct token_slot *slots;
	size_t capacity; /* 0 or a power of two */
	size_t count;
	VEC(char) bytes;
};

void token_cache_deinit(struct token_cache *cache);
/* To be asked once and handed to the functions below. */
static inline uint64_t token_hash(const char *bytes, size_t n)
{
	return XXH3_64bits(bytes, n);
}

/* Before token_cache_get(), when there is something else to do meanwhile. */
static inline void token_cache_prefetch(const struct token_cache *cache, uint64_t hash)
{
	if (cache->capacity)
		__builtin_prefetch(&cache->slots[hash & (cache->capacity - 1)]);
}

/* memcmp() is a call, and most names are short. */
static inline bool token_equal(const char *a, const char *b, size_t n)
{
	uint64_t x, y;

	if (n < sizeof(x))
		return !memcmp(a, b, n);
	for (size_t at = 0; at + sizeof(x) < n; at += sizeof(x)) {
		memcpy(&x, a + at, sizeof(x));
		memcpy(&y, b + at, sizeof(y));
		if (x != y)
			return false;
	}
	memcpy(&x, a + n - sizeof(x), sizeof(x));
	memcpy(&y, b + n - sizeof(y), sizeof(y));
	return x == y;
}

/* TOKEN_NONE: not known. */
static inline uint32_t token_cache_get(const struct token_cache *cache, uint64_t hash,
				       const char *bytes, size_t n)
{
	size_t mask = cache->capacity - 1;

	if (!cache->capacity)
		return TOKEN_NONE;
	for (size_t i = hash & mask; cache->slots[i].record; i = (i + 1) & mask) {
		const char *at = cache->bytes.items + cache->slots[i].record - 1;
		struct token_record record;

		if (cache->slots[i].tag != hash >> 32)
			continue;
		memcpy(&record, at, sizeof(record));
		if (record.length == n && token_equal(at + sizeof(record), bytes, n))
			return record.id;
	}
	return TOKEN_NONE;
}

/* Of bytes that are not there. 0 or -ENOMEM (the cache is unchanged then). */
int token_cache_put(struct token_cache *cache, uint64_t hash, const char *bytes, size_t n,
		    uint32_t id);
