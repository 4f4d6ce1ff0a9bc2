/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/radix.h"

#include <string.h>

#define RADIX_LEAST 64 /* below, insertion is faster than counting */

static void insertion_sort(struct radix_item *items, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		struct radix_item item = items[i];
		size_t at = i;

		for (; at && items[at - 1].key > item.key; at--)
			items[at] = items[at - 1];
		items[at] = item;
	}
}

void radix_sort(struct radix_item *items, struct radix_item *spare, size_t count)
{
	struct radix_item *from = items, *to = spare, *swapped;
	uint64_t differ = 0;

	if (count < RADIX_LEAST) {
		insertion_sort(items, count);
		return;
	}
	for (size_t i = 1; i < count; i++)
		differ |= items[i].key ^ items[0].key;
	for (unsigned byte = 0; byte < 8; byte++) {
		size_t place[256] = {0}, begin = 0;

		if (!(differ >> (byte * 8) & 0xff))
			continue;
		for (size_t i = 0; i < count; i++)
			place[from[i].key >> (byte * 8) & 0xff]++;
		for (unsigned digit = 0; digit < 256; digit++) {
			size_t here = place[digit];

			place[digit] = begin;
			begin += here;
		}
		for (size_t i = 0; i < count; i++)
			to[place[from[i].key >> (byte * 8) & 0xff]++] = from[i];
		swapped = from;
		from = to;
		to = swapped;
	}
	if (from != items)
		memcpy(items, from, count * sizeof(*items));
}
