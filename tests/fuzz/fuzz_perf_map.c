/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as a list of a just-in-time compiler: functions in order that do not
 * overlap, each with a name, however they are cut into pieces.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/perf_map.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct perf_map map = {0};
	const char *middle = memrchr(data, '\n', size / 2);
	size_t first = middle ? (size_t)(middle + 1 - (const char *)data) : 0;
	uint64_t end = 0;

	if (perf_map_add(&map, (const char *)data, first) || jit_functions_settle(&map.functions) ||
	    perf_map_add(&map, (const char *)data + first, size - first) ||
	    jit_functions_settle(&map.functions))
		abort();
	for (size_t i = 0; i < map.functions.items.count; i++) {
		const struct jit_function *function = &map.functions.items.items[i];

		if (function->start < end || function->end <= function->start ||
		    !perf_map_find(&map, function->start)[0] ||
		    !perf_map_find(&map, function->end - 1))
			abort();
		end = function->end;
	}
	perf_map_find(&map, end);
	perf_map_deinit(&map);
	return 0;
}
