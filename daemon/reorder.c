/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/reorder.h"

#include <string.h>

void reorder_deinit(struct reorder *reorder)
{
	vec_free(&reorder->words);
	vec_free(&reorder->entries);
}

int reorder_add(struct reorder *reorder, const void *record, size_t size)
{
	const struct abi_header *header = record;
	size_t words = (size + 7) / 8, at = reorder->words.count;

	if (size < sizeof(*header) || header->size > size || at > UINT32_MAX - words)
		return -EINVAL;
	if (vec_reserve(&reorder->words, at + words) ||
	    vec_reserve(&reorder->entries, reorder->entries.count + 1))
		return -ENOMEM;
	memcpy(&reorder->words.items[at], record, size);
	reorder->words.count = at + words;
	reorder->entries.items[reorder->entries.count] = (struct reorder_entry){
		.time = header->time,
		.at = (uint32_t)at,
		.order = (uint32_t)reorder->entries.count,
	};
	reorder->entries.count++;
	return 0;
}

static int compare(const void *left, const void *right)
{
	const struct reorder_entry *a = left, *b = right;

	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

/* The record of an entry, and its size in words. */
static const uint64_t *record_of(const struct reorder *reorder, size_t entry, size_t *ret_words)
{
	const uint64_t *record = &reorder->words.items[reorder->entries.items[entry].at];

	*ret_words = (((const struct abi_header *)record)->size + 7u) / 8u;
	return record;
}

/* Drops the first `released` entries and the words that nobody needs. */
static void compact(struct reorder *reorder, size_t released)
{
	size_t left = reorder->entries.count - released, total = 0, n;
	VEC(uint64_t) words = {0};

	if (!left) {
		vec_clear(&reorder->words);
		vec_clear(&reorder->entries);
		return;
	}
	memmove(reorder->entries.items, reorder->entries.items + released,
		left * sizeof(*reorder->entries.items));
	reorder->entries.count = left;
	for (size_t i = 0; i < left; i++) {
		record_of(reorder, i, &n);
		total += n;
	}
	/* A copy of what is left; on failure the old words just stay. */
	if (vec_reserve(&words, total))
		return;
	for (size_t i = 0; i < left; i++) {
		const uint64_t *record = record_of(reorder, i, &n);

		memcpy(&words.items[words.count], record, n * sizeof(*record));
		reorder->entries.items[i].at = (uint32_t)words.count;
		reorder->entries.items[i].order = (uint32_t)i;
		words.count += n;
	}
	free(reorder->words.items);
	reorder->words.items = words.items;
	reorder->words.count = words.count;
	reorder->words.capacity = words.capacity;
}

void reorder_release(struct reorder *reorder, uint64_t until,
		     void (*each)(void *context, const struct abi_header *record), void *context)
{
	size_t i;

	if (!reorder->entries.count)
		return;
	qsort(reorder->entries.items, reorder->entries.count, sizeof(*reorder->entries.items),
	      compare);
	for (i = 0; i < reorder->entries.count; i++) {
		const struct reorder_entry *entry = &reorder->entries.items[i];

		if (entry->time > until)
			break;
		each(context, (const struct abi_header *)&reorder->words.items[entry->at]);
	}
	compact(reorder, i);
}
