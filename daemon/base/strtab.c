/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/strtab.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define NONE UINT32_MAX

void strtab_deinit(struct strtab *tab)
{
	vec_free(&tab->bytes);
	vec_free(&tab->offsets);
	vec_free(&tab->next);
	hashmap_deinit(&tab->index);
}

static uint32_t append(struct strtab *tab, const char *bytes, size_t n, uint64_t hash)
{
	uint64_t *older = hashmap_get(&tab->index, hash);
	uint32_t id = (uint32_t)tab->next.count;
	size_t begin = tab->bytes.count;

	if (n > UINT32_MAX - 1 - begin || vec_reserve(&tab->bytes, begin + n + 1) ||
	    vec_reserve(&tab->offsets, tab->offsets.count + 2) ||
	    vec_reserve(&tab->next, tab->next.count + 1))
		return NONE;
	tab->next.items[id] = older ? (uint32_t)*older : NONE;
	if (hashmap_put(&tab->index, hash, id))
		return NONE;
	if (!tab->offsets.count)
		tab->offsets.items[tab->offsets.count++] = 0;
	if (n)
		memcpy(tab->bytes.items + begin, bytes, n);
	tab->bytes.items[begin + n] = '\0';
	tab->bytes.count = begin + n + 1;
	tab->offsets.items[tab->offsets.count++] = (uint32_t)tab->bytes.count;
	tab->next.count++;
	return id;
}

uint32_t strtab_add(struct strtab *tab, const char *bytes, size_t n)
{
	uint64_t hash = XXH3_64bits(bytes, n);
	uint64_t *found;

	if (!tab->next.count && append(tab, "", 0, XXH3_64bits("", 0)) == NONE)
		return NONE;
	found = hashmap_get(&tab->index, hash);
	for (uint32_t id = found ? (uint32_t)*found : NONE; id != NONE; id = tab->next.items[id]) {
		if (strtab_length(tab, id) == n &&
		    !memcmp(tab->bytes.items + tab->offsets.items[id], bytes, n))
			return id;
	}
	return append(tab, bytes, n, hash);
}

uint32_t strtab_count(const struct strtab *tab)
{
	return tab->next.count ? (uint32_t)tab->next.count : 1;
}

const char *strtab_get(const struct strtab *tab, uint32_t id)
{
	return id < tab->next.count ? tab->bytes.items + tab->offsets.items[id] : "";
}

size_t strtab_length(const struct strtab *tab, uint32_t id)
{
	return id < tab->next.count ? tab->offsets.items[id + 1] - tab->offsets.items[id] - 1 : 0;
}

size_t strtab_memory(const struct strtab *tab)
{
	return tab->bytes.capacity + tab->offsets.capacity * sizeof(*tab->offsets.items) +
	       tab->next.capacity * sizeof(*tab->next.items) +
	       tab->index.capacity * (sizeof(*tab->index.slots) + 1);
}
