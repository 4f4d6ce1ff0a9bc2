/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An index from hashes to ids, for what is kept elsewhere and compared there: a hash may
 * have many ids, and one that leads to something else is passed over by the caller.
 *
 * Made for hundreds of thousands of entries: 8 bytes a slot, one line of the cache a
 * look-up, and slots in the order of the hashes, so that growing reads and writes
 * straight on. Open addressing with linear probing. Zero-initialised is empty.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define ID_INDEX_NONE UINT32_MAX

struct id_slot {
	uint32_t hash;
	uint32_t id; /* + 1; 0: free */
};

struct id_index {
	struct id_slot *slots; /* 1 << bits of them; NULL: none */
	unsigned bits; /* at most 32 */
	size_t count;
};

void id_index_deinit(struct id_index *index);
/* `id` is below ID_INDEX_NONE. 0, or -ENOMEM (nothing is changed then). */
int id_index_put(struct id_index *index, uint32_t hash, uint32_t id);

static inline size_t id_index_home(uint32_t hash, unsigned bits)
{
	return (size_t)((uint64_t)hash << bits >> 32);
}

/* The ids of a hash, one a call: *at is id_index_begin() at first. ID_INDEX_NONE: there
 * are no more. */
static inline size_t id_index_begin(const struct id_index *index, uint32_t hash)
{
	return id_index_home(hash, index->bits);
}

static inline uint32_t id_index_next(const struct id_index *index, uint32_t hash, size_t *at)
{
	size_t mask = ((size_t)1 << index->bits) - 1;

	if (!index->slots)
		return ID_INDEX_NONE;
	for (;;) {
		struct id_slot slot = index->slots[*at];

		if (!slot.id)
			return ID_INDEX_NONE;
		*at = (*at + 1) & mask;
		if (slot.hash == hash)
			return slot.id - 1;
	}
}
