/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as .eh_frame_hdr and .eh_frame, at the addresses at which a linker
 * puts them: no starts, or ranges of code that are sorted and disjoint. The
 * first byte tells the width of addresses, the next two where .eh_frame begins.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/function_starts.h"

#define HEADER_ADDRESS 0x2000
#define FRAMES_ADDRESS 0x3000
#define CODE_START 0x1000
#define CODE_END 0x2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct function_starts *starts)
{
	uint64_t end = CODE_START, found;
	uint32_t size;

	for (size_t i = 0; i < starts->items.count; i++) {
		uint64_t start = starts->base + starts->items.items[i].at;
		uint64_t length = starts->items.items[i].size;

		if (start < end || !length || length > CODE_END - start)
			abort();
		end = start + length;
		if (!function_starts_find(starts, start, &found, &size) || found != start ||
		    size != length || !function_starts_find(starts, end - 1, &found, &size) ||
		    found != start)
			abort();
	}
	if (function_starts_find(starts, end, &found, &size) ||
	    function_starts_find(starts, CODE_START - 1, &found, &size))
		abort();
}

/* A copy without slack, for the sanitizer to see a byte read too much. */
static void *copy(const uint8_t *data, size_t size)
{
	void *bytes = malloc(size + !size);

	if (!bytes)
		exit(0);
	memcpy(bytes, data, size);
	return bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct function_starts_input input = {
		.header_address = HEADER_ADDRESS, .code_start = CODE_START, .code_end = CODE_END};
	struct function_starts starts;
	void *header, *frames;
	size_t split;

	if (size < 3)
		return 0;
	input.is_64 = data[0] & 1;
	split = (size_t)data[1] | (size_t)data[2] << 8;
	data += 3;
	size -= 3;
	split = split < size ? split : size;
	header = copy(data, split);
	frames = copy(data + split, size - split);
	input.header = header;
	input.header_size = split;
	input.frames = frames;
	input.frames_size = size - split;
	if (function_starts_frames_address(&input, &input.frames_address) &&
	    !function_starts_parse(&starts, &input)) {
		check(&starts);
		function_starts_deinit(&starts);
	}
	free(header);
	free(frames);
	return 0;
}
