/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/id_index.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/base/huge.h"

#define FIRST_BITS 6
#define MOST_BITS 32

void id_index_deinit(struct id_index *index)
{
	free(index->slots);
	*index = (struct id_index){0};
}

static void insert(struct id_index *index, struct id_slot slot)
{
	size_t mask = ((size_t)1 << index->bits) - 1;
	size_t at = id_index_home(slot.hash, index->bits);

	while (index->slots[at].id)
		at = (at + 1) & mask;
	index->slots[at] = slot;
}

static int grow(struct id_index *index)
{
	struct id_index wider = {.bits = index->slots ? index->bits + 1 : FIRST_BITS,
				 .count = index->count};

	if (wider.bits > MOST_BITS)
		return -ENOMEM;
	wider.slots = huge_alloc_zero(sizeof(*wider.slots) << wider.bits);
	if (!wider.slots)
		return -ENOMEM;
	for (size_t i = 0; index->slots && i < (size_t)1 << index->bits; i++) {
		if (index->slots[i].id)
			insert(&wider, index->slots[i]);
	}
	free(index->slots);
	*index = wider;
	return 0;
}

int id_index_put(struct id_index *index, uint32_t hash, uint32_t id)
{
	size_t capacity = index->slots ? (size_t)1 << index->bits : 0;

	/* At most three quarters full: there is always a free slot, where a search ends. */
	if (!index->slots || (index->count + 1) * 4 > capacity * 3) {
		int r = grow(index);

		if (r)
			return r;
	}
	insert(index, (struct id_slot){hash, id + 1});
	index->count++;
	return 0;
}
