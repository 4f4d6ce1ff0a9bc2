/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/mapping_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

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

static void leaf_unref(struct mapping_leaf *leaf)
{
	if (!--leaf->references)
		free(leaf);
}

void mapping_set_unref(struct mapping_set *set)
{
	if (!set || --set->references)
		return;
	for (size_t i = 0; i < set->leaves.count; i++)
		leaf_unref(set->leaves.items[i]);
	vec_free(&set->leaves);
	vec_free(&set->nodes);
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
	if (*set && vec_reserve(&copy->leaves, (*set)->leaves.count)) {
		mapping_set_unref(copy);
		return -ENOMEM;
	}
	for (size_t i = 0; *set && i < (*set)->leaves.count; i++) {
		copy->leaves.items[i] = (*set)->leaves.items[i];
		copy->leaves.items[i]->references++;
		copy->leaves.count++;
	}
	copy->count = *set ? (*set)->count : 0;
	mapping_set_unref(*set);
	*set = copy;
	return 0;
}

const struct mapping *mapping_set_next(const struct mapping_set *set, struct mapping_place *place)
{
	const struct mapping_leaf *leaf;

	if (!set || place->leaf >= set->leaves.count)
		return NULL;
	leaf = set->leaves.items[place->leaf];
	if (place->item + 1 < leaf->count)
		return &leaf->items[place->item++];
	*place = (struct mapping_place){place->leaf + 1, 0};
	return &leaf->items[leaf->count - 1];
}

/* The mapping at a place; NULL at the end. */
static const struct mapping *at(const struct mapping_set *set, struct mapping_place place)
{
	return mapping_set_next(set, &place);
}

/* The first mapping that ends after `address`. */
static struct mapping_place lower(const struct mapping_set *set, uint64_t address)
{
	struct mapping_place place = {0};
	const struct mapping_leaf *leaf;
	size_t high = set->leaves.count;

	while (place.leaf < high) {
		size_t middle = place.leaf + (high - place.leaf) / 2;

		leaf = set->leaves.items[middle];
		if (leaf->items[leaf->count - 1].end <= address)
			place.leaf = middle + 1;
		else
			high = middle;
	}
	if (place.leaf == set->leaves.count)
		return place;
	leaf = set->leaves.items[place.leaf];
	while (leaf->items[place.item].end <= address)
		place.item++;
	return place;
}

/* The same place, as one behind the last mapping of a leaf where there is one: what
 * is added goes to the leaf before it. */
static struct mapping_place behind(const struct mapping_set *set, struct mapping_place place)
{
	if (place.leaf == set->leaves.count && place.leaf) {
		place.leaf--;
		place.item = set->leaves.items[place.leaf]->count;
	}
	return place;
}

/* Mappings that take the place of others: what a leaf holds before them, themselves,
 * and what a leaf holds behind. */
struct splice {
	const struct mapping *parts[3];
	size_t counts[3];
};

static void copy_out(const struct splice *splice, size_t from, size_t count, struct mapping *to)
{
	for (size_t i = 0; i < 3; i++) {
		size_t have = splice->counts[i];

		if (from >= have) {
			from -= have;
			continue;
		}
		have -= from;
		if (have > count)
			have = count;
		memcpy(to, splice->parts[i] + from, have * sizeof(*to));
		to += have;
		count -= have;
		from = 0;
	}
}

/* The splice as leaves of about the same size. */
static int make_leaves(const struct splice *splice, size_t total, struct mapping_leaf **leaves,
		       size_t count)
{
	size_t from = 0;

	for (size_t i = 0; i < count; i++) {
		size_t to = total * (i + 1) / count;

		leaves[i] = malloc(sizeof(*leaves[i]));
		if (!leaves[i]) {
			while (i--)
				free(leaves[i]);
			return -ENOMEM;
		}
		leaves[i]->references = 1;
		leaves[i]->number = leaves[i]->uses = 0;
		leaves[i]->count = (uint32_t)(to - from);
		copy_out(splice, from, to - from, leaves[i]->items);
		from = to;
	}
	return 0;
}

/* Puts `count` leaves in the place of [from, to); the room is there. */
static void put_leaves(struct mapping_set *set, size_t from, size_t to,
		       struct mapping_leaf **leaves, size_t count)
{
	struct mapping_leaf **items = set->leaves.items;

	for (size_t i = from; i < to; i++)
		leaf_unref(items[i]);
	memmove(&items[from + count], &items[to], (set->leaves.count - to) * sizeof(*items));
	memcpy(&items[from], leaves, count * sizeof(*items));
	set->leaves.count = set->leaves.count - (to - from) + count;
}

/* Most processes that begin have few mappings, which come one after another: nobody else has
 * the leaf, and it has room. False: it is not so. */
static bool replace_within(struct mapping_leaf *leaf, uint32_t from, uint32_t to,
			   const struct mapping *with, uint32_t count)
{
	uint32_t behind = leaf->count - to;

	if (leaf->references > 1 || leaf->number || leaf->uses ||
	    from + count + behind > UNWIND_LEAF_MAPPINGS)
		return false;
	memmove(&leaf->items[from + count], &leaf->items[to], behind * sizeof(*with));
	memcpy(&leaf->items[from], with, count * sizeof(*with));
	leaf->count = from + count + behind;
	return true;
}

#define NEW_LEAVES_MAX 4 /* two leaves' rest and three mappings: at most three */

/* Puts `count` mappings (at most three) in the place of [from, to), of which there
 * are `gone`. */
static int replace(struct mapping_set *set, struct mapping_place from, struct mapping_place to,
		   size_t gone, const struct mapping *with, size_t count)
{
	struct mapping_leaf *leaves[NEW_LEAVES_MAX];
	struct splice splice = {.parts = {NULL, with, NULL}, .counts = {0, count, 0}};
	size_t first, last, total, n;

	from = behind(set, from);
	/* Not the next leaf, of which nothing goes. */
	if (!to.item && to.leaf > from.leaf) {
		to.leaf--;
		to.item = set->leaves.items[to.leaf]->count;
	}
	to = behind(set, to);
	first = from.leaf;
	last = set->leaves.count ? to.leaf + 1 : 0;
	if (last == first + 1 &&
	    replace_within(set->leaves.items[first], from.item, to.item, with, (uint32_t)count)) {
		set->count += count - gone;
		return 0;
	}
	if (last > first) {
		splice.parts[0] = set->leaves.items[first]->items;
		splice.counts[0] = from.item;
		splice.parts[2] = set->leaves.items[to.leaf]->items + to.item;
		splice.counts[2] = set->leaves.items[to.leaf]->count - to.item;
		/* Behind a full last leaf: most sets grow at their end. */
		if (from.item == UNWIND_LEAF_MAPPINGS && first + 1 == set->leaves.count) {
			splice.counts[0] = 0;
			first = last;
		}
	}
	total = splice.counts[0] + count + splice.counts[2];
	n = (total + UNWIND_LEAF_MAPPINGS - 1) / UNWIND_LEAF_MAPPINGS;
	if (vec_reserve(&set->leaves, set->leaves.count + n) ||
	    make_leaves(&splice, total, leaves, n))
		return -ENOMEM;
	put_leaves(set, first, last, leaves, n);
	set->count += count - gone;
	return 0;
}

int mapping_set_insert(struct mapping_set *set, const struct mapping *mapping)
{
	struct mapping_place from = lower(set, mapping->start), to = from, next = from;
	const struct mapping *item, *last = NULL;
	struct mapping parts[3];
	size_t count = 0, gone = 0;

	while ((item = mapping_set_next(set, &next)) && item->start < mapping->end) {
		if (!gone && item->start < mapping->start) {
			parts[count] = *item;
			parts[count++].end = mapping->start;
		}
		last = item;
		to = next;
		gone++;
	}
	parts[count++] = *mapping;
	if (last && last->end > mapping->end) {
		parts[count] = *last;
		parts[count].offset += mapping->end - last->start;
		parts[count++].start = mapping->end;
	}
	return replace(set, from, to, gone, parts, count);
}

int mapping_set_fill(struct mapping_set *set, const struct mapping *mapping)
{
	struct mapping rest = *mapping;

	while (rest.start < rest.end) {
		struct mapping_place place = lower(set, rest.start);
		const struct mapping *item = at(set, place);
		struct mapping part = rest;

		if (item && item->start <= rest.start) {
			/* Covered up to here: step over it. */
			uint64_t end = item->end;

			if (end >= rest.end)
				return 0;
			rest.offset += end - rest.start;
			rest.start = end;
			continue;
		}
		if (item && item->start < part.end)
			part.end = item->start;
		if (replace(set, place, place, 0, &part, 1))
			return -ENOMEM;
		rest.offset += part.end - rest.start;
		rest.start = part.end;
	}
	return 0;
}

const struct mapping *mapping_set_find(const struct mapping_set *set, uint64_t address)
{
	const struct mapping *found;

	if (!set)
		return NULL;
	found = at(set, lower(set, address));
	return found && found->start <= address ? found : NULL;
}

void mapping_set_mark(const struct mapping_set *set, bool *used, size_t count)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;

	while ((mapping = mapping_set_next(set, &place)))
		if (mapping->image && mapping->image <= count)
			used[mapping->image - 1] = true;
}

uint64_t mapping_set_hash(const struct mapping_set *set)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;
	uint64_t hash = 0;

	while ((mapping = mapping_set_next(set, &place))) {
		const uint64_t words[] = {mapping->start, mapping->end, mapping->offset,
					  mapping->image};

		hash = XXH3_64bits_withSeed(words, sizeof(words), hash);
	}
	return hash;
}
