/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as a file with debug information: refused with a reason, or answers
 * for addresses all over its code, whose frames are whole.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/dwarf_index.h"

#define FRAMES 64u
#define ADDRESSES 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct dwarf_index *index, uint64_t address)
{
	struct dwarf_frame frames[FRAMES];
	uint32_t count = dwarf_index_find(index, address, frames, FRAMES);

	if (count > FRAMES)
		abort();
	for (uint32_t i = 0; i < count; i++) {
		if (!frames[i].name || !frames[i].file || strlen(frames[i].name) > DWARF_STRING_MAX)
			abort();
	}
}

/* Units that are read for some addresses alone, and asked for others too. */
static void ask_in_rounds(struct dwarf_index *index)
{
	uint64_t addresses[ADDRESSES];

	for (uint64_t round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < ADDRESSES; i++)
			addresses[i] = 0x401000 + round + 3 * i;
		dwarf_index_begin(index, &(struct dwarf_asked){addresses, ADDRESSES});
		for (uint64_t i = 0; i < ADDRESSES; i++)
			ask(index, addresses[i]);
		ask(index, index->ranges.count ? index->ranges.items[0].start : 1);
		dwarf_index_end(index);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dwarf_bounds everywhere = {1, UINT64_MAX};
	struct dwarf_file *file = malloc(sizeof(*file));
	uint8_t *copy = malloc(size + !size);
	struct dwarf_index index;
	struct error error = {0};

	if (!file || !copy)
		abort();
	memcpy(copy, data, size);
	if (dwarf_file_init_memory(file, copy, size, DWARF_WHOLE, &error)) {
		if (!error.code || !error.text[0])
			abort();
		free(file);
	} else if (!dwarf_index_init(&index, file, &everywhere, 1u << 20, &error)) {
		ask_in_rounds(&index);
		for (size_t i = 0; i < index.ranges.count && i < ADDRESSES; i++) {
			ask(&index, index.ranges.items[i].start);
			ask(&index, index.ranges.items[i].end - 1);
		}
		for (uint64_t i = 0; i < ADDRESSES; i++)
			ask(&index, 0x401000 + 3 * i);
		dwarf_index_deinit(&index);
	}
	free(copy);
	return 0;
}
