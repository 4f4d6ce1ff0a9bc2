/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as an unwind table: refused with a text, or taken; and what was taken
 * has a rule, or none, for each address, and encodes to the same bytes again. The
 * checksum is made right first, or nothing would get past it.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "symbolizer/unwind_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECKSUM_AT 8
#define CHECKED_FROM 16

static void look_up(const struct unwind_table *table)
{
	uint64_t first = table->first_block << UNWIND_BLOCK_SHIFT;
	const struct unwind_rule *rule;

	for (uint64_t at = 0; at < 4096; at += 7) {
		rule = unwind_table_find(table, first + at);
		if (rule && (rule < table->rules || rule >= table->rules + table->rule_count ||
			     rule->cfa >= UNWIND_CFA_COUNT))
			abort();
	}
	if (unwind_table_find(table, first - 1) && first)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct unwind_table table;
	struct strbuf again = {0};
	struct error error = {0};
	uint64_t checksum;
	uint8_t *bytes = malloc(size ? size : 1);

	if (!bytes)
		abort();
	memcpy(bytes, data, size);
	if (size >= CHECKED_FROM) {
		checksum = XXH3_64bits(bytes + CHECKED_FROM, size - CHECKED_FROM);
		memcpy(bytes + CHECKSUM_AT, &checksum, sizeof(checksum));
	}
	if (unwind_table_decode(bytes, size, &error, &table)) {
		if (!error.text[0])
			abort();
	} else {
		look_up(&table);
		if (unwind_table_encode(&table, &again) || again.length != size ||
		    memcmp(again.data, bytes, size) != 0)
			abort();
		strbuf_deinit(&again);
		unwind_table_deinit(&table);
	}
	free(bytes);
	return 0;
}
