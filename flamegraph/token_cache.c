/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/token_cache.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_BITS 10

void token_cache_deinit(struct token_cache *cache)
{
	free(cache->slots);
	vec_free(&cache->bytes);
	*cache = (struct token_cache){0};
}

static void insert(struct token_slot *slots, unsigned bits, struct token_slot slot)
{
	size_t mask = ((size_t)1 << bits) - 1, i = token_home(slot.hash, bits);

	while (slots[i].record)
		i = (i + 1) & mask;
	slots[i] = slot;
}

static size_t capacity_of(const struct token_cache *cache)
{
	return cache->slots ? (size_t)1 << cache->bits : 0;
}

static int grow(struct token_cache *cache)
{
	unsigned bits = cache->slots ? cache->bits + 1 : FIRST_BITS;
	struct token_slot *slots = calloc((size_t)1 << bits, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < capacity_of(cache); i++) {
		if (cache->slots[i].record)
			insert(slots, bits, cache->slots[i]);
	}
	free(cache->slots);
	cache->slots = slots;
	cache->bits = bits;
	return 0;
}

int token_cache_put(struct token_cache *cache, uint32_t hash, const char *bytes, size_t n,
		    uint32_t id)
{
	struct token_slot slot = {.hash = hash};
	struct token_record record = {.length = (uint32_t)n, .id = id};
	size_t size = sizeof(record) + n;

	if (size > TOKEN_CACHE_MAX)
		return 0;
	if (cache->bytes.count + size > TOKEN_CACHE_MAX) {
		memset(cache->slots, 0, capacity_of(cache) * sizeof(*cache->slots));
		cache->count = 0;
		vec_clear(&cache->bytes);
	}
	/* At most two thirds full: a look-up then takes one line of the processor's cache. */
	if (((cache->count + 1) * 3 > capacity_of(cache) * 2 && grow(cache)) ||
	    vec_reserve(&cache->bytes, cache->bytes.count + size + TOKEN_PAD))
		return -ENOMEM;
	slot.record = (uint32_t)cache->bytes.count + 1;
	memcpy(cache->bytes.items + cache->bytes.count, &record, sizeof(record));
	if (n)
		memcpy(cache->bytes.items + cache->bytes.count + sizeof(record), bytes, n);
	cache->bytes.count += size;
	insert(cache->slots, cache->bits, slot);
	cache->count++;
	return 0;
}
