/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A map from a 64-bit key to a 64-bit value (an index, or a pointer as
 * uintptr_t). Open addressing with linear probing and backward-shift deletion
 * (Knuth vol. 3, 6.4, algorithm R), so that no tombstones pile up. Keys may be
 * anything, 0 included. Zero-initialised is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hashmap_slot {
	uint64_t key;
	uint64_t value;
};

struct hashmap {
	struct hashmap_slot *slots;
	uint8_t *used; /* one byte a slot */
	size_t capacity; /* 0 or a power of two */
	size_t count;
};

void hashmap_deinit(struct hashmap *map);
void hashmap_clear(struct hashmap *map);
/* NULL if the key is not there; valid until the next put or remove. */
uint64_t *hashmap_get(const struct hashmap *map, uint64_t key);
/* Inserts or overwrites; 0 or -ENOMEM (map unchanged). */
int hashmap_put(struct hashmap *map, uint64_t key, uint64_t value);
/* True if the key was there. */
bool hashmap_remove(struct hashmap *map, uint64_t key);
/* Walks all entries in no order: start with *at = 0, until false. The map must
 * not change meanwhile. */
bool hashmap_next(const struct hashmap *map, size_t *at, uint64_t *key, uint64_t *value);
