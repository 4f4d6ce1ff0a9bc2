/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Look-up in the unwind tables (bpf/unwind.h).
 */
#pragma once

#include "bpf/maps.h"

#define CHUNK_MASK (UNWIND_CHUNK_WORDS - 1)

/* The chunk that word `at` lies in; NULL: there is none. */
static __always_inline const __u32 *table_chunk(__u32 at)
{
	__u32 chunk = at >> UNWIND_CHUNK_SHIFT, zero = 0;
	void *inner = bpf_map_lookup_elem(&unwind_chunks, &chunk);

	return inner ? bpf_map_lookup_elem(inner, &zero) : NULL;
}

static __always_inline __u32 table_word(__u32 at)
{
	const __u32 *words = table_chunk(at);

	return words ? words[at & CHUNK_MASK] : 0;
}

/* How many of the rows [0, high) begin at or before `key`, where those before `low`
 * do: rows that lie in two chunks, which is rare. */
__noinline int rows_before_across(__u32 rows, __u32 low, __u32 high, __u32 key)
{
	UNROLL
	for (int i = 0; i < 9; i++) {
		__u32 middle = (low + high) / 2;

		if (low >= high)
			break;
		if (UNWIND_ROW_LOW(table_word(rows + middle)) <= key)
			low = middle + 1;
		else
			high = middle;
	}
	return (int)low;
}

/* Likewise, in one chunk: looking it up anew for each word took half of the time. */
static __always_inline __u32 rows_before(const __u32 *words, __u32 rows, __u32 low, __u32 high,
					 __u32 key)
{
	UNROLL
	for (int i = 0; i < 9; i++) {
		__u32 middle = (low + high) / 2;

		if (low >= high)
			break;
		if (UNWIND_ROW_LOW(words[(rows + middle) & CHUNK_MASK]) <= key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The row whose rule holds at a file offset: the last one at or before it. A
 * block has at most 256 rows: 8 halvings. False: outside the table. */
static __always_inline bool find_row(const struct unwind_file *file, __u64 offset, __u32 *row)
{
	__u64 block = (offset >> UNWIND_BLOCK_SHIFT) - file->first_block;
	__u32 low, high, at, rows = file->rows, key = (__u32)(offset & 0xff);
	const __u32 *words;

	if (block >= file->block_count)
		return false;
	/* Rows [low, high) lie in the block; the one before them holds at its
	 * beginning. */
	at = file->blocks + (__u32)block;
	words = table_chunk(at);
	if (!words)
		return false;
	low = words[at & CHUNK_MASK];
	high = (at & CHUNK_MASK) == CHUNK_MASK ? table_word(at + 1) : words[(at + 1) & CHUNK_MASK];
	at = rows + low - (low > 0);
	if ((at ^ (rows + high)) >> UNWIND_CHUNK_SHIFT) {
		low = (__u32)rows_before_across(rows, low, high, key);
		*row = table_word(rows + low - 1);
		return low > 0;
	}
	words = table_chunk(at);
	if (!words)
		return false;
	low = rows_before(words, rows, low, high, key);
	*row = words[(rows + low - 1) & CHUNK_MASK];
	return low > 0;
}

#define RULE_MIX 0x9e3779b97f4a7c15ULL

/*
 * The number of the rule for an address of a file, or -reason: no table, or no
 * row. A global function (no "static"): the verifier then looks at it once, not
 * anew on every path of its callers, which together were too long for it.
 */
__noinline int find_rule(__u32 image, __u64 offset)
{
	__u64 key = ABI_FRAME(image, offset);
	__u32 row = 0, zero = 0, at = (__u32)(key * RULE_MIX >> (64 - RULE_CACHE_BITS));
	struct rule_cache *cache = bpf_map_lookup_elem(&rule_caches, &zero);
	const __u32 *generation = bpf_map_lookup_elem(&unwind_generation, &zero);
	const struct unwind_file *file;
	struct rule_cached *cached;
	__u64 value;

	if (!cache || !generation)
		return -ABI_REASON_EVICTED;
	cached = &cache->entries[at & (RULE_CACHE_ENTRIES - 1)];
	/* Read once: somebody may write it now. */
	value = *(volatile __u64 *)&cached->value;
	if (value && cached->check == (key ^ value * RULE_MIX) && value >> 32 == *generation)
		return (int)((__u32)value - 1);
	file = bpf_map_lookup_elem(&unwind_files, &image);
	if (!file || !file->block_count)
		return file && file->none ? -ABI_REASON_NO_ROW : -ABI_REASON_EVICTED;
	if (!find_row(file, offset, &row))
		return -ABI_REASON_NO_ROW;
	value = (__u64)*generation << 32 | (UNWIND_ROW_RULE(row) + 1);
	cached->value = value;
	cached->check = key ^ value * RULE_MIX;
	return (int)UNWIND_ROW_RULE(row);
}
