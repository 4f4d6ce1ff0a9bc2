/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Look-up in the unwind tables (bpf/unwind.h).
 */
#pragma once

#include "bpf/maps.h"

/* Word `at` of the tables' memory; `fallback` where there is none. */
static __always_inline __u32 table_word(__u32 at, __u32 fallback)
{
	__u32 chunk = at >> UNWIND_CHUNK_SHIFT, zero = 0;
	void *inner = bpf_map_lookup_elem(&unwind_chunks, &chunk);
	__u32 *words;

	if (!inner)
		return fallback;
	words = bpf_map_lookup_elem(inner, &zero);
	return words ? words[at & (UNWIND_CHUNK_WORDS - 1)] : fallback;
}

/* The row whose rule holds at a file offset: the last one at or before it. A
 * block has at most 256 rows: 8 halvings. False: outside the table. */
static __always_inline bool find_row(const struct unwind_file *file, __u64 offset, __u32 *row)
{
	__u64 block = (offset >> UNWIND_BLOCK_SHIFT) - file->first_block;
	__u32 low, high, key = (__u32)(offset & 0xff);

	if (block >= file->block_count)
		return false;
	/* Rows [low, high) lie in the block; the one before them holds at its
	 * beginning. */
	low = table_word(file->blocks + (__u32)block, 0);
	high = table_word(file->blocks + (__u32)block + 1, 0);
	UNROLL
	for (int i = 0; i < 9; i++) {
		__u32 middle = (low + high) / 2;

		if (low >= high)
			break;
		if (UNWIND_ROW_LOW(table_word(file->rows + middle, 0)) <= key)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return false;
	*row = table_word(file->rows + low - 1, 0);
	return true;
}

/*
 * The number of the rule for an address of a file, or -reason: no table, or no
 * row. A global function (no "static"): the verifier then looks at it once, not
 * anew on every path of its callers, which together were too long for it.
 */
__noinline int find_rule(__u32 image, __u64 offset)
{
	const struct unwind_file *file = bpf_map_lookup_elem(&unwind_files, &image);
	__u32 row = 0;

	if (!file || !file->block_count)
		return file && file->none ? -ABI_REASON_NO_ROW : -ABI_REASON_EVICTED;
	if (!find_row(file, offset, &row))
		return -ABI_REASON_NO_ROW;
	return (int)UNWIND_ROW_RULE(row);
}
