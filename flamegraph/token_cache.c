/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/token_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

void token_cache_deinit(struct token_cache *cache)
{
	free(cache->slots);
	vec_free(&cache->bytes);
	*cache = (struct token_cache){0};
}

uint64_t token_hash(const char *bytes, size_t n)
{
	uint64_t hash = XXH3_64bits(bytes, n);

	return hash ? hash : 1;
}

uint32_t token_cache_get(const struct token_cache *cache, uint64_t hash, const char *bytes,
			 size_t n)
{
	size_t mask = cache->capacity - 1;

	if (!cache->capacity)
		return TOKEN_NONE;
	for (size_t i = hash & mask; cache->slots[i].hash; i = (i + 1) & mask) {
		const struct token_slot *slot = &cache->slots[i];

		if (slot->hash == hash && slot->length == n &&
		    !memcmp(cache->bytes.items + slot->offset, bytes, n))
			return slot->id;
	}
	return TOKEN_NONE;
}

static void insert(struct token_slot *slots, size_t capacity, const struct token_slot *slot)
{
	size_t i = slot->hash & (capacity - 1);

	while (slots[i].hash)
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
		if (cache->slots[i].hash)
			insert(slots, capacity, &cache->slots[i]);
	}
	free(cache->slots);
	cache->slots = slots;
	cache->capacity = capacity;
	return 0;
}

int token_cache_put(struct token_cache *cache, uint64_t hash, const char *bytes, size_t n,
		    uint32_t id)
{
	struct token_slot slot = {.hash = hash, .length = (uint32_t)n, .id = id};

	if (n > TOKEN_CACHE_MAX)
		return 0;
	if (cache->bytes.count + n > TOKEN_CACHE_MAX) {
		memset(cache->slots, 0, cache->capacity * sizeof(*cache->slots));
		cache->count = 0;
		vec_clear(&cache->bytes);
	}
	if ((cache->count + 1) * 2 > cache->capacity && grow(cache))
		return -ENOMEM;
	if (vec_reserve(&cache->bytes, cache->bytes.count + n))
		return -ENOMEM;
	slot.offset = (uint32_t)cache->bytes.count;
	if (n)
		memcpy(cache->bytes.items + slot.offset, bytes, n);
	cache->bytes.count += n;
	insert(cache->slots, cache->capacity, &slot);
	cache->count++;
	return 0;
}
