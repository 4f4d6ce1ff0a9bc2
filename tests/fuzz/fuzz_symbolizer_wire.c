/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as an answer of the worker, which may have been taken over: the
 * privileged side refuses it, or gets names and mappings that are whole. The
 * first byte picks what was asked, the second how many addresses.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text, size_t max, bool clean)
{
	if (strnlen(text, max + 1) > max)
		abort();
	for (; clean && *text; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			abort();
	}
}

static void check_names(uint8_t *payload, size_t size, size_t expected)
{
	struct error error = {0};
	struct wire_names names;

	if (wire_get_names(payload, size, expected, &error, &names)) {
		if (!error.text[0])
			abort();
		return;
	}
	if (names.names.count != expected)
		abort();
	for (size_t i = 0; i < expected; i++) {
		for (uint32_t j = 0; j < names.names.items[i].frame_count; j++) {
			const struct symbolizer_frame *frame = &names.names.items[i].frames[j];

			if (!frame->name[0])
				abort();
			check_text(frame->name, WIRE_NAME_MAX, true);
			check_text(frame->module, WIRE_NAME_MAX, true);
			check_text(frame->file, WIRE_NAME_MAX, true);
		}
	}
	wire_names_deinit(&names);
}

static void check_mappings(uint8_t *payload, size_t size)
{
	struct error error = {0};
	struct wire_mappings mappings;

	if (wire_get_mappings(payload, size, &error, &mappings))
		return;
	for (size_t i = 0; i < mappings.mappings.count; i++) {
		const struct symbolizer_mapping *mapping = &mappings.mappings.items[i];

		if (mapping->start + mapping->length < mapping->start)
			abort();
		check_text(mapping->path, WIRE_PATH_MAX, false);
	}
	wire_mappings_deinit(&mappings);
}

static void check_parts(const void *bytes, size_t size)
{
	struct wire_parts parts;
	struct error error = {0};

	if (wire_get_parts(bytes, size, &error, &parts) < 0) {
		if (!error.code || !error.text[0])
			abort();
		return;
	}
	if (parts.count > WIRE_PARTS_MAX)
		abort();
	for (uint32_t i = 0; i < parts.count; i++) {
		if (parts.parts[i].kind >= SYMBOLIZER_PART_KINDS ||
		    parts.parts[i].build_id_size > sizeof(parts.parts[i].build_id) ||
		    strlen(parts.parts[i].name) > SYMBOLIZER_PART_PATH_MAX ||
		    strlen(parts.parts[i].folder) > SYMBOLIZER_PART_PATH_MAX)
			abort();
	}
	wire_parts_deinit(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct symbolizer_image image;
	struct wire_header header;
	struct error error = {0};
	uint8_t *copy;

	if (size < 2)
		return 0;
	copy = malloc(size - 1);
	if (!copy)
		return 0;
	memcpy(copy, data + 2, size - 2);
	wire_get_header(copy, size - 2, &header);
	switch (data[0] % 4) {
	case 0:
		check_names(copy, size - 2, data[1]);
		break;
	case 1:
		check_mappings(copy, size - 2);
		break;
	case 2:
		check_parts(copy, size - 2);
		break;
	default:
		wire_get_image(copy, size - 2, &error, &image);
	}
	free(copy);
	return 0;
}
