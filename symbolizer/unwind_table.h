/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The unwind table of one file (bpf/unwind.h has the format), and its form on
 * disk and over the wire: header, rules, blocks, rows, all little-endian, with a
 * checksum over everything behind it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/unwind.h"
#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"

#define UNWIND_TABLE_VERSION 5

struct unwind_table {
	uint64_t first_block; /* file offset of blocks[0], in units of 256 bytes */
	uint32_t block_count; /* without the one at the end */
	uint32_t row_count;
	uint32_t rule_count;
	uint32_t *blocks; /* block_count + 1 */
	uint32_t *rows;
	struct unwind_rule *rules;
};

void unwind_table_deinit(struct unwind_table *table);
/* The rule for a file offset; NULL outside the table. For tests and tools. */
const struct unwind_rule *unwind_table_find(const struct unwind_table *table, uint64_t offset);
/* 0 or -ENOMEM. */
int unwind_table_encode(const struct unwind_table *table, struct strbuf *out);
/* Foreign bytes: checks version, checksum, sizes, that rows are sorted within
 * their blocks, blocks rise, rule numbers exist and enums are in range. */
int unwind_table_decode(const void *data, size_t size, struct error *error,
			struct unwind_table *ret);
