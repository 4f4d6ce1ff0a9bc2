/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For suites about unwind tables on disk: a small table, keys, records, and a
 * folder for each test.
 */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/table_record.h"

static char table_place[32]; /* a folder, and one in it for the tables */
static char table_folder[64];

/* Not there yet: whoever wants the folder makes it. */
static inline void table_folder_setup(void)
{
	snprintf(table_place, sizeof(table_place), "/tmp/perfd-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(table_place));
	snprintf(table_folder, sizeof(table_folder), "%s/tables", table_place);
}

static inline void table_folder_teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", table_place);
	ck_assert_int_eq(system(command), 0);
}

static inline struct table_key table_key(uint64_t number)
{
	return (struct table_key){.file = {.device = 8, .inode = number, .size = 1000},
				  .builder = 1};
}

/* An encoded table of `rows` rows, to be freed by strbuf_deinit(). */
static inline struct strbuf table_bytes(uint32_t rows)
{
	uint32_t blocks = rows / 128 + 1;
	struct unwind_table table = {.block_count = blocks, .row_count = rows, .rule_count = 1};
	struct unwind_rule rule = {
		.cfa = UNWIND_CFA_REGISTER, .reg = UNWIND_RSP, .ra = UNWIND_AT_CFA, .offset = 8};
	struct strbuf bytes = {0};

	table.rules = &rule;
	table.blocks = calloc(blocks + 1, sizeof(uint32_t));
	table.rows = calloc(rows + 1, sizeof(uint32_t));
	ck_assert(table.blocks && table.rows);
	for (uint32_t i = 0; i <= blocks; i++)
		table.blocks[i] = i * 128 < rows ? i * 128 : rows;
	for (uint32_t i = 0; i < rows; i++)
		table.rows[i] = UNWIND_ROW(i % 128 * 2, 0);
	ck_assert_int_eq(unwind_table_encode(&table, &bytes), 0);
	free(table.blocks);
	free(table.rows);
	return bytes;
}
