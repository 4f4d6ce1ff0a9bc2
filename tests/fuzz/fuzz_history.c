/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a database of the history may have in its blobs, by anybody's hand.
 */
#include <stddef.h>
#include <stdint.h>

#include "daemon/history_entries.h"
#include "daemon/history_times.h"

static int take(void *context, const struct history_entry *entry, const uint64_t *values,
		uint32_t width)
{
	struct history_entries *entries = context;

	if (!entries->items.count)
		entries->width = width;
	return width == entries->width ? history_entries_add(entries, entry, values) : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct history_entries entries = {.width = 1};
	struct series_list list = {0};
	struct strbuf out = {0};

	history_entries_decode(data, size, take, &entries);
	history_entries_encode(&entries, &out);
	history_times_decode(data, size, 1000, 1000000000, &list);
	history_times_encode(&list, &out);
	strbuf_deinit(&out);
	series_list_deinit(&list);
	history_entries_deinit(&entries);
	return 0;
}
