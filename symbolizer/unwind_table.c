/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/unwind_table.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "daemon/base/reader.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tables are written and read as they lie in memory: little-endian"
#endif

/* Header: 8 bytes of magic; u64 checksum (XXH3) of all that follows it; u32
 * version, rules, blocks, rows; u64 first block. Then the three arrays, of which
 * each is aligned to the size of its elements if the whole is. */
static const uint8_t magic[8] = {'p', 'f', 'd', 'u', 'n', 'w', 'n', 'd'};
#define HEADER_SIZE 40u
#define CHECKED_FROM 16u /* behind the checksum */

void unwind_table_deinit(struct unwind_table *table)
{
	free(table->blocks);
	free(table->rows);
	free(table->rules);
	*table = (struct unwind_table){0};
}

const struct unwind_rule *unwind_table_find(const struct unwind_table *table, uint64_t offset)
{
	uint64_t block = offset >> UNWIND_BLOCK_SHIFT;
	uint32_t low = (uint32_t)(offset & (UNWIND_BLOCK_BYTES - 1));
	uint32_t first, last;

	if (block < table->first_block || block - table->first_block >= table->block_count)
		return NULL;
	block -= table->first_block;
	first = table->blocks[block];
	last = table->blocks[block + 1];
	/* The first row of the block that lies behind the offset. */
	while (first < last) {
		uint32_t middle = first + (last - first) / 2;

		if (UNWIND_ROW_LOW(table->rows[middle]) <= low)
			first = middle + 1;
		else
			last = middle;
	}
	return first ? &table->rules[UNWIND_ROW_RULE(table->rows[first - 1])] : NULL;
}

int unwind_table_encode(const struct unwind_table *table, struct strbuf *out)
{
	size_t start = out->length;
	uint64_t checksum;

	strbuf_append(out, magic, sizeof(magic));
	strbuf_u64(out, 0);
	strbuf_u32(out, UNWIND_TABLE_VERSION);
	strbuf_u32(out, table->rule_count);
	strbuf_u32(out, table->block_count);
	strbuf_u32(out, table->row_count);
	strbuf_u64(out, table->first_block);
	strbuf_append(out, table->rules, table->rule_count * sizeof(*table->rules));
	strbuf_append(out, table->blocks,
		      ((size_t)table->block_count + 1) * sizeof(*table->blocks));
	strbuf_append(out, table->rows, table->row_count * sizeof(*table->rows));
	if (strbuf_error(out))
		return -ENOMEM;
	checksum =
		XXH3_64bits(out->data + start + CHECKED_FROM, out->length - start - CHECKED_FROM);
	memcpy(out->data + start + sizeof(magic), &checksum, sizeof(checksum));
	return 0;
}

/* The counts, and that they agree with the size. */
static void read_header(struct reader *reader, struct unwind_table *table)
{
	const void *found = reader_take(reader, sizeof(magic));
	uint64_t checksum = reader_u64(reader);
	uint64_t size;

	if (found && memcmp(found, magic, sizeof(magic)) != 0)
		reader_fail(reader, "not an unwind table");
	if (reader_ok(reader) &&
	    checksum != XXH3_64bits(reader->data + CHECKED_FROM, reader->size - CHECKED_FROM))
		reader_fail(reader, "the checksum does not agree");
	if (reader_u32(reader) != UNWIND_TABLE_VERSION)
		reader_fail(reader, "a table of another version");
	table->rule_count = reader_u32(reader);
	table->block_count = reader_u32(reader);
	table->row_count = reader_u32(reader);
	table->first_block = reader_u64(reader);
	size = table->rule_count * sizeof(*table->rules) +
	       ((uint64_t)table->block_count + 1) * sizeof(*table->blocks) +
	       (uint64_t)table->row_count * sizeof(*table->rows);
	if (table->rule_count > UNWIND_RULES_MAX)
		reader_fail(reader, "too many rules");
	else if (table->first_block > (UINT64_MAX >> UNWIND_BLOCK_SHIFT) - table->block_count)
		reader_fail(reader, "blocks beyond any file");
	else if (size != reader_left(reader))
		reader_fail(reader, "the counts do not agree with the size");
}

/* A copy of the next `size` bytes; NULL for none, or out of memory. */
static void *take_copy(struct reader *reader, size_t size)
{
	const void *bytes = reader_take(reader, size);
	void *copy = bytes && size ? malloc(size) : NULL;

	if (copy)
		memcpy(copy, bytes, size);
	return copy;
}

static bool rule_is_good(const struct unwind_rule *rule)
{
	if (rule->cfa >= UNWIND_CFA_COUNT || rule->reg >= UNWIND_REGISTERS)
		return false;
	if (rule->rbp >= UNWIND_REGISTER_COUNT || rule->rbp == UNWIND_IN_REGISTER)
		return false;
	if (rule->ra == UNWIND_IN_REGISTER)
		return rule->extra >= 0 && rule->extra < UNWIND_REGISTERS;
	return rule->ra == UNWIND_AT_CFA;
}

static void check_rules(struct reader *reader, const struct unwind_table *table)
{
	for (uint32_t i = 0; i < table->rule_count; i++) {
		if (!rule_is_good(&table->rules[i])) {
			reader_fail(reader, "a rule that does not exist");
			return;
		}
	}
}

static void check_blocks(struct reader *reader, const struct unwind_table *table)
{
	bool good = table->blocks[0] == 0 && table->blocks[table->block_count] == table->row_count;

	for (uint32_t i = 0; i < table->block_count; i++)
		good &= table->blocks[i] <= table->blocks[i + 1];
	if (!good)
		reader_fail(reader, "blocks that do not rise");
}

/* Rows rise strictly within their block, and name rules that exist. */
static void check_rows(struct reader *reader, const struct unwind_table *table)
{
	bool good = true;

	for (uint32_t block = 0; block < table->block_count; block++) {
		uint32_t at = table->blocks[block], end = table->blocks[block + 1];

		for (int64_t low = -1; at < end; at++) {
			uint32_t row = table->rows[at];

			good &= UNWIND_ROW_LOW(row) < UNWIND_BLOCK_BYTES;
			good &= UNWIND_ROW_LOW(row) > low;
			good &= UNWIND_ROW_RULE(row) < table->rule_count;
			low = UNWIND_ROW_LOW(row);
		}
	}
	if (!good)
		reader_fail(reader, "rows out of order or without a rule");
}

static int read_arrays(struct reader *reader, struct unwind_table *table)
{
	table->rules = take_copy(reader, table->rule_count * sizeof(*table->rules));
	table->blocks =
		take_copy(reader, ((size_t)table->block_count + 1) * sizeof(*table->blocks));
	table->rows = take_copy(reader, table->row_count * sizeof(*table->rows));
	if (!table->blocks || (table->rule_count && !table->rules) ||
	    (table->row_count && !table->rows))
		return -ENOMEM;
	check_rules(reader, table);
	check_blocks(reader, table);
	if (reader_ok(reader))
		check_rows(reader, table);
	return 0;
}

int unwind_table_decode(const void *data, size_t size, struct error *error,
			struct unwind_table *ret)
{
	struct unwind_table table = {0};
	struct reader reader;
	int r = 0;

	reader_init(&reader, data, size);
	read_header(&reader, &table);
	if (reader_ok(&reader))
		r = read_arrays(&reader, &table);
	if (r < 0)
		error_set(error, r, "out of memory for an unwind table of %zu bytes", size);
	else if (!reader_ok(&reader))
		r = error_set(error, -EBADMSG, "the unwind table is damaged at byte %zu: %s",
			      reader.bad_at, reader.bad);
	if (r < 0) {
		unwind_table_deinit(&table);
		return r;
	}
	*ret = table;
	return 0;
}
