/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as Go's table of functions: an error with its offset, or functions in
 * order whose rows rise.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/go_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXT 0x400000ULL

static int check_row(void *context, uint64_t start, const struct unwind_rule *rule)
{
	uint64_t *last = context;

	if (start < *last || rule->cfa >= UNWIND_CFA_COUNT)
		abort();
	*last = start;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = {0};
	struct go_table table;
	uint8_t *bytes = malloc(size ? size : 1);

	if (!bytes)
		abort();
	memcpy(bytes, data, size);
	if (go_table_parse(bytes, size, TEXT, &error, &table)) {
		if (!error.text[0])
			abort();
		return 0;
	}
	for (size_t i = 0; i < table.functions.count; i++) {
		const struct go_function *function = &table.functions.items[i];
		uint64_t last = function->start;

		if (function->end < function->start)
			abort();
		go_table_name(&table, function);
		go_table_rows(&table, function, function->start, function->end, check_row, &last,
			      &error);
	}
	go_table_deinit(&table);
	return 0;
}
