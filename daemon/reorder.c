/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/reorder.h"

#include <string.h>

/* Room that is kept from round to round; what a burst needed beyond that is given back. To give
 * all back would have the kernel clear new pages each time. */
#define KEPT_WORDS (256u << 10)

void reorder_deinit(struct reorder *reorder)
{
	vec_free(&reorder->words);
	vec_free(&reorder->entries);
	vec_free(&reorder->merged);
	vec_free(&reorder->spare);
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

/* Behind the last of the entries from `at` on that are in order. */
static size_t run_end(const struct reorder_entry *entries, size_t at, size_t count)
{
	for (at++; at < count && entries[at - 1].time <= entries[at].time; at++)
		;
	return at < count ? at : count;
}

/* Neighbouring runs become one, the earlier of equal ones first; gives how many there are
 * then. */
static size_t merge_runs(const struct reorder_entry *from, struct reorder_entry *to, size_t count)
{
	size_t runs = 0;

	for (size_t at = 0, end; at < count; at = end, runs++) {
		size_t middle = run_end(from, at, count), left = at, right = middle;

		end = middle < count ? run_end(from, middle, count) : count;
		for (size_t i = at; i < end; i++) {
			if (left < middle && (right == end || from[left].time <= from[right].time))
				to[i] = from[left++];
			else
				to[i] = from[right++];
		}
	}
	return runs;
}

/* Each ring is in order, nearly: what was read is a few long runs. */
static void sort(struct reorder *reorder)
{
	size_t count = reorder->entries.count, capacity = reorder->entries.capacity;
	struct reorder_entry *entries = reorder->entries.items, *other;

	if (run_end(entries, 0, count) == count)
		return;
	if (vec_reserve(&reorder->merged, capacity)) {
		qsort(entries, count, sizeof(*entries), compare);
		return;
	}
	other = reorder->merged.items;
	for (size_t runs = count; runs > 1;) {
		struct reorder_entry *sorted = other;

		runs = merge_runs(entries, sorted, count);
		other = entries;
		entries = sorted;
	}
	if (entries == reorder->entries.items)
		return;
	reorder->entries.capacity = reorder->merged.capacity;
	reorder->entries.items = entries;
	reorder->merged.items = other;
	reorder->merged.capacity = capacity;
}

/* The record of an entry, and its size in words. */
static const uint64_t *record_of(const struct reorder *reorder, size_t entry, size_t *ret_words)
{
	const uint64_t *record = &reorder->words.items[reorder->entries.items[entry].at];

	*ret_words = (((const struct abi_header *)record)->size + 7u) / 8u;
	return record;
}

/* The words that are left become the first ones of the spare room. */
static void swap_words(struct reorder *reorder)
{
	uint64_t *items = reorder->spare.items;
	size_t count = reorder->spare.count, capacity = reorder->spare.capacity;

	reorder->spare.items = reorder->words.items;
	reorder->spare.capacity = reorder->words.capacity;
	reorder->words.items = items;
	reorder->words.count = count;
	reorder->words.capacity = capacity;
	if (reorder->spare.capacity > KEPT_WORDS)
		vec_free(&reorder->spare);
}

/* Drops the first `released` entries and the words that nobody needs. */
static void compact(struct reorder *reorder, size_t released)
{
	size_t left = reorder->entries.count - released, total = 0, n;

	if (!left) {
		vec_clear(&reorder->words);
		vec_clear(&reorder->entries);
		if (reorder->words.capacity > KEPT_WORDS)
			vec_free(&reorder->words);
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
	vec_clear(&reorder->spare);
	if (vec_reserve(&reorder->spare, total))
		return;
	for (size_t i = 0; i < left; i++) {
		const uint64_t *record = record_of(reorder, i, &n);

		memcpy(&reorder->spare.items[reorder->spare.count], record, n * sizeof(*record));
		reorder->entries.items[i].at = (uint32_t)reorder->spare.count;
		reorder->entries.items[i].order = (uint32_t)i;
		reorder->spare.count += n;
	}
	swap_words(reorder);
}

void reorder_release(struct reorder *reorder, uint64_t until,
		     void (*each)(void *context, const struct abi_header *record), void *context)
{
	size_t i;

	if (!reorder->entries.count)
		return;
	sort(reorder);
	for (i = 0; i < reorder->entries.count; i++) {
		const struct reorder_entry *entry = &reorder->entries.items[i];

		if (entry->time > until)
			break;
		each(context, (const struct abi_header *)&reorder->words.items[entry->at]);
	}
	compact(reorder, i);
}
