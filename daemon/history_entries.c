/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_entries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/reader.h"
#include "daemon/history_packed.h"
#include "flamegraph/protobuf.h"

void history_entries_deinit(struct history_entries *entries)
{
	vec_free(&entries->items);
	vec_free(&entries->values);
	hashmap_deinit(&entries->index);
}

void history_entries_clear(struct history_entries *entries)
{
	vec_clear(&entries->items);
	vec_clear(&entries->values);
	hashmap_clear(&entries->index);
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

int history_entries_add(struct history_entries *entries, const struct history_entry *entry,
			const uint64_t *values)
{
	uint64_t hash = XXH3_64bits(entry, sizeof(*entry)), *found;
	size_t at = entries->items.count;

	_Static_assert(sizeof(*entry) == 24, "hashed as bytes: no padding");
	for (; (found = hashmap_get(&entries->index, hash)); hash++) {
		uint64_t *have = entries->values.items + *found * entries->width;

		if (memcmp(&entries->items.items[*found], entry, sizeof(*entry)))
			continue;
		for (uint32_t i = 0; i < entries->width; i++)
			have[i] = sum(have[i], values[i]);
		return 0;
	}
	if (vec_reserve(&entries->items, at + 1) ||
	    vec_reserve(&entries->values, (at + 1) * entries->width) ||
	    hashmap_put(&entries->index, hash, at))
		return -ENOMEM;
	entries->items.items[entries->items.count++] = *entry;
	for (uint32_t i = 0; i < entries->width; i++)
		entries->values.items[entries->values.count++] = values[i];
	return 0;
}

/* ---- encoding ---- */

struct ranked {
	struct history_entry entry;
	size_t at;
};

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	for (int i = 0; i < 3; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return 0;
}

static void put_entries(const struct history_entries *entries, const struct ranked *ranked,
			struct strbuf *out)
{
	struct history_entry before = {0};

	protobuf_put_varint(out, entries->width);
	protobuf_put_varint(out, entries->items.count);
	for (size_t i = 0; i < entries->items.count; i++) {
		const struct history_entry *entry = &ranked[i].entry;

		if (entry->process != before.process || entry->comm != before.comm)
			before.stack = 0;
		protobuf_put_varint(out, entry->process - before.process);
		protobuf_put_varint(out, entry->comm);
		protobuf_put_varint(out, entry->stack - before.stack);
		for (uint32_t v = 0; v < entries->width; v++)
			protobuf_put_varint(
				out, entries->values.items[ranked[i].at * entries->width + v]);
		before = *entry;
	}
}

int history_entries_encode(struct history_entries *entries, struct strbuf *out)
{
	_cleanup_(strbuf_deinit) struct strbuf plain = {0};
	_cleanup_free_ struct ranked *ranked = calloc(entries->items.count + 1, sizeof(*ranked));

	if (!ranked)
		return -ENOMEM;
	for (size_t i = 0; i < entries->items.count; i++)
		ranked[i] = (struct ranked){.entry = entries->items.items[i], .at = i};
	qsort(ranked, entries->items.count, sizeof(*ranked), compare);
	put_entries(entries, ranked, &plain);
	return strbuf_error(&plain) ? -ENOMEM : history_pack(&plain, out);
}

/* ---- decoding ---- */

static int decode(struct reader *reader, history_entry_fn *each, void *context)
{
	struct history_entry entry = {0};
	uint64_t width = protobuf_varint(reader), count = protobuf_varint(reader);
	uint64_t values[PROFILE_VALUES_MAX];
	int r = 0;

	if (!reader_ok(reader) || !width || width > PROFILE_VALUES_MAX)
		return -EBADMSG;
	for (uint64_t i = 0; !r && i < count; i++) {
		uint64_t process = protobuf_varint(reader), comm = protobuf_varint(reader);
		uint64_t stack = protobuf_varint(reader);

		if (process || comm != entry.comm)
			entry.stack = 0;
		entry.process += process;
		entry.comm = comm;
		entry.stack += stack;
		for (uint32_t v = 0; v < width; v++)
			values[v] = protobuf_varint(reader);
		if (!reader_ok(reader))
			return -EBADMSG;
		r = each(context, &entry, values, (uint32_t)width);
	}
	return r ? r : reader_left(reader) ? -EBADMSG : 0;
}

int history_entries_decode(const void *bytes, size_t size, history_entry_fn *each, void *context)
{
	_cleanup_free_ char *plain = NULL;
	struct reader reader;
	size_t n;
	int r = history_unpack(bytes, size, &plain, &n);

	if (r)
		return r;
	reader_init(&reader, plain, n);
	return decode(&reader, each, context);
}
