/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/code_ranges.h"

#include <errno.h>

int code_range_init(struct code_range *range)
{
	range->marks = calloc(range->size, sizeof(*range->marks));
	range->at = calloc(range->size, sizeof(*range->at));
	if (range->marks && range->at)
		return 0;
	code_range_deinit(range);
	return -ENOMEM;
}

void code_range_deinit(struct code_range *range)
{
	free(range->marks);
	free(range->at);
	range->marks = NULL;
	range->at = NULL;
}

bool code_range_decode(const struct code_range *range, uint32_t place, struct code_insn *ret)
{
	return place < range->size && code_insn_decode(range->bytes + place, range->size - place,
						       range->address + place, ret);
}

struct code_range *code_ranges_find(const struct elf_image *image, const code_ranges_vec *ranges,
				    uint64_t address, uint32_t *ret_place)
{
	size_t first = 0, last = ranges->count;
	uint64_t offset;

	if (!elf_image_offset(image, address, &offset))
		return NULL;
	while (first < last) {
		size_t middle = first + (last - first) / 2;
		struct code_range *range = &ranges->items[middle];

		if (offset < range->offset) {
			last = middle;
		} else if (offset - range->offset >= range->size) {
			first = middle + 1;
		} else {
			*ret_place = (uint32_t)(offset - range->offset);
			return range;
		}
	}
	return NULL;
}
