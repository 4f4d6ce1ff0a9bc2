/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as .debug_aranges: ranges that are not empty, fewer than there are
 * bytes for them, or refused with the offset.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/dwarf_aranges.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count_range(void *context, uint64_t unit, uint64_t start, uint64_t end)
{
	(void)unit;
	if (end <= start)
		abort();
	++*(size_t *)context;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = {0};
	size_t count = 0;

	if (dwarf_aranges_parse(data, size, count_range, &count, &error) &&
	    (!error.code || !strstr(error.text, "offset")))
		abort();
	if (count > size / 8)
		abort();
	return 0;
}
