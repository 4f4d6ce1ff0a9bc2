/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/hashmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Finaliser of splitmix64: keys are often small integers or addresses. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* The slot that holds `key`, or the free one where it would go. */
static size_t find(const struct hashmap *map, uint64_t key)
{
	size_t mask = map->capacity - 1;
	size_t i = mix(key) & mask;

	while (map->used[i] && map->slots[i].key != key)
		i = (i + 1) & mask;
	return i;
}

void hashmap_deinit(struct hashmap *map)
{
	free(map->slots);
	free(map->used);
	*map = (struct hashmap){0};
}

void hashmap_clear(struct hashmap *map)
{
	if (map->capacity)
		memset(map->used, 0, map->capacity);
	map->count = 0;
}

uint64_t *hashmap_get(const struct hashmap *map, uint64_t key)
{
	size_t i;

	if (!map->count)
		return NULL;
	i = find(map, key);
	return map->used[i] ? &map->slots[i].value : NULL;
}

static int grow(struct hashmap *map)
{
	struct hashmap wider = {.capacity = map->capacity ? map->capacity * 2 : 16,
				.count = map->count};

	wider.slots = malloc(wider.capacity * sizeof(*wider.slots));
	wider.used = calloc(wider.capacity, 1);
	if (!wider.slots || !wider.used) {
		hashmap_deinit(&wider);
		return -ENOMEM;
	}
	for (size_t i = 0; i < map->capacity; i++) {
		if (map->used[i]) {
			size_t at = find(&wider, map->slots[i].key);

			wider.slots[at] = map->slots[i];
			wider.used[at] = 1;
		}
	}
	free(map->slots);
	free(map->used);
	*map = wider;
	return 0;
}

int hashmap_put(struct hashmap *map, uint64_t key, uint64_t value)
{
	size_t i;

	/* At most three quarters full. */
	if ((map->count + 1) * 4 > map->capacity * 3) {
		int r = grow(map);

		if (r)
			return r;
	}
	i = find(map, key);
	if (!map->used[i]) {
		map->used[i] = 1;
		map->slots[i].key = key;
		map->count++;
	}
	map->slots[i].value = value;
	return 0;
}

bool hashmap_remove(struct hashmap *map, uint64_t key)
{
	size_t mask = map->capacity - 1, hole, i;

	if (!map->count)
		return false;
	hole = find(map, key);
	if (!map->used[hole])
		return false;
	/* Move back every later entry of the run that may not stay behind a hole. */
	for (i = (hole + 1) & mask; map->used[i]; i = (i + 1) & mask) {
		size_t home = mix(map->slots[i].key) & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->used[hole] = 0;
	map->count--;
	return true;
}

bool hashmap_next(const struct hashmap *map, size_t *at, uint64_t *key, uint64_t *value)
{
	for (; *at < map->capacity; (*at)++) {
		if (map->used[*at]) {
			*key = map->slots[*at].key;
			*value = map->slots[*at].value;
			(*at)++;
			return true;
		}
	}
	return false;
}
