/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/token_cache.h"

#include <errno.h>
#include <stdlib.h>

void token_cache_deinit(struct token_cache *cache)
{
	free(cache->slots);
	vec_free(&cache->bytes);
	*cache = (struct token_cache){0};
}

static uint64_t hash_of(const struct token_cache *cache, const struct token_slot *slot)
{
	const char *at = cache->bytes.items + slot->record - 1;
	struct token_record record;

	memcpy(&record, at, sizeof(record));
	return token_hash(at + sizeof(record), record.length);
}

static void insert(struct token_slot *slots, size_t capacity, uint64_t hash,
		   const struct token_slot *slot)
{
	size_t i = hash & (capacity - 1);

	while (slots[i].record)
		i = (i + 1) & (capacity - 1);
	slots[i] = *slot;
}

/* At most half full: a miss then costs little. */
static int grow(struct token_cache *cache)
{
	size_t capacity = cache->capacity ? cache->capacity * 2 : 1024;
	struct token_slot *slots = calloc(capacity, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < cache->capacity; i++) {
		const struct token_slot *slot = &cache->slots[i];

		if (slot->record)
			insert(slots, capacity, hash_of(cache, slot), slot);
	}
	free(cache->slots);
	cache->slots = slots;
	cache->capacity = capacity;
	return 0;
}

int token_cache_put(struct token_cache *cache, uint64_t hash, const char *bytes, size_t n,
		    uint32_t id)
{
	struct token_slot slot = {.tag = (uint32_t)(hash >> 32)};
	struct token_record record = {.length = (uint32_t)n, .id = id};
	size_t size = sizeof(record) + n;

	if (size > TOKEN_CACHE_MAX)
		return 0;
	if (cache->bytes.count + size > TOKEN_CACHE_MAX) {
		memset(cache->slots, 0, cache->capacity * sizeof(*cache->slots));
		cache->count = 0;
		vec_clear(&cache->bytes);
	}
	if (((cache->count + 1) * 2 > cache->capacity && grow(cache)) ||
	    vec_reserve(&cache->bytes, cache->bytes.count + size))
		return -ENOMEM;
	slot.record = (uint32_t)cache->bytes.count + 1;
	memcpy(cache->bytes.items + cache->bytes.count, &record, sizeof(record));
	if (n)
		memcpy(cache->bytes.items + cache->bytes.count + sizeof(record), bytes, n);
	cache->bytes.count += size;
	insert(cache->slots, cache->capacity, hash, &slot);
	cache->count++;
	return 0;
}
