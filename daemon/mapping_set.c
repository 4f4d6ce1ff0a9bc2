/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/mapping_set.h"

#include <string.h>

struct mapping_set *mapping_set_create(void)
{
	struct mapping_set *set = calloc(1, sizeof(*set));

	if (set)
		set->references = 1;
	return set;
}

struct mapping_set *mapping_set_ref(struct mapping_set *set)
{
	if (set)
		set->references++;
	return set;
}

void mapping_set_unref(struct mapping_set *set)
{
	if (!set || --set->references)
		return;
	vec_free(&set->items);
	free(set);
}

int mapping_set_own(struct mapping_set **set)
{
	struct mapping_set *copy;

	if (*set && (*set)->references == 1)
		return 0;
	copy = mapping_set_create();
	if (!copy)
		return -ENOMEM;
	if (*set) {
		if (vec_reserve(&copy->items, (*set)->items.count + 1)) {
			mapping_set_unref(copy);
			return -ENOMEM;
		}
		copy->items.count = (*set)->items.count;
		if (copy->items.count)
			memcpy(copy->items.items, (*set)->items.items,
			       copy->items.count * sizeof(struct mapping));
	}
	mapping_set_unref(*set);
	*set = copy;
	return 0;
}

/* The first mapping that ends after `address`. */
static size_t lower(const struct mapping_set *set, uint64_t address)
{
	size_t low = 0, high = set->items.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->items.items[middle].end <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Puts `count` mappings in the place of [from, to). */
static int replace(struct mapping_set *set, size_t from, size_t to, const struct mapping *with,
		   size_t count)
{
	size_t after = set->items.count - to;

	if (vec_reserve(&set->items, set->items.count + count))
		return -ENOMEM;
	if (after)
		memmove(&set->items.items[from + count], &set->items.items[to],
			after * sizeof(*with));
	memcpy(&set->items.items[from], with, count * sizeof(*with));
	set->items.count = from + count + after;
	return 0;
}

int mapping_set_insert(struct mapping_set *set, const struct mapping *mapping)
{
	size_t from = lower(set, mapping->start), to = from, count = 0;
	struct mapping parts[3];

	while (to < set->items.count && set->items.items[to].start < mapping->end)
		to++;
	if (to > from && set->items.items[from].start < mapping->start) {
		parts[count] = set->items.items[from];
		parts[count++].end = mapping->start;
	}
	parts[count++] = *mapping;
	if (to > from && set->items.items[to - 1].end > mapping->end) {
		struct mapping rest = set->items.items[to - 1];

		rest.offset += mapping->end - rest.start;
		rest.start = mapping->end;
		parts[count++] = rest;
	}
	return replace(set, from, to, parts, count);
}

int mapping_set_fill(struct mapping_set *set, const struct mapping *mapping)
{
	struct mapping rest = *mapping;

	while (rest.start < rest.end) {
		size_t at = lower(set, rest.start);
		struct mapping part = rest;

		if (at < set->items.count && set->items.items[at].start <= rest.start) {
			/* Covered up to here: step over it. */
			uint64_t end = set->items.items[at].end;

			if (end >= rest.end)
				return 0;
			rest.offset += end - rest.start;
			rest.start = end;
			continue;
		}
		if (at < set->items.count && set->items.items[at].start < part.end)
			part.end = set->items.items[at].start;
		if (replace(set, at, at, &part, 1))
			return -ENOMEM;
		rest.offset += part.end - rest.start;
		rest.start = part.end;
	}
	return 0;
}

const struct mapping *mapping_set_find(const struct mapping_set *set, uint64_t address)
{
	size_t at;

	if (!set || !set->items.count)
		return NULL;
	at = lower(set, address);
	if (at == set->items.count || set->items.items[at].start > address)
		return NULL;
	return &set->items.items[at];
}
