/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_aranges.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/base/cleanup.h"
#include "symbolizer/dwarf_cursor.h"

#define SECTION "section .debug_aranges"
#define SECTION_MAX (256u << 20)
#define DWARF64 0xffffffffu

struct set { /* of one unit */
	struct dwarf_cursor cursor; /* its tuples */
	uint64_t unit;
	uint8_t address_size;
};

/* False: nothing that can be read follows. */
static bool read_set(struct dwarf_cursor *section, struct set *ret)
{
	const uint8_t *begin = section->at;
	uint64_t length = cursor_u32(section);
	unsigned offset_size = 4, version, segment_size;
	struct dwarf_cursor *cursor = &ret->cursor;
	size_t at;

	if (length == DWARF64) {
		length = cursor_u64(section);
		offset_size = 8;
	}
	if (section->bad || length > cursor_left(section))
		return false;
	*cursor = cursor_of(section->at, length);
	section->at += length;
	version = cursor_u16(cursor);
	ret->unit = cursor_sized(cursor, offset_size);
	ret->address_size = cursor_u8(cursor);
	segment_size = cursor_u8(cursor);
	if (cursor->bad || version != 2 || segment_size ||
	    (ret->address_size != 4 && ret->address_size != 8))
		return false;
	/* The first tuple is aligned to its size, from the set's beginning. */
	at = (size_t)(cursor->at - begin) % (2u * ret->address_size);
	if (at)
		cursor_skip(cursor, 2u * ret->address_size - at);
	return !cursor->bad;
}

int dwarf_aranges_parse(const void *bytes, size_t size, dwarf_aranges_fn *add, void *context,
			struct error *error)
{
	struct dwarf_cursor section = cursor_of(bytes, size);
	const uint8_t *first = section.at;
	uint32_t count = 0;
	struct set set;

	while (cursor_left(&section)) {
		size_t at = (size_t)(section.at - first);

		if (!read_set(&section, &set))
			return error_set(error, -EBADMSG, SECTION ", offset %zu: a damaged set",
					 at);
		while (cursor_left(&set.cursor)) {
			uint64_t start = cursor_sized(&set.cursor, set.address_size);
			uint64_t length = cursor_sized(&set.cursor, set.address_size);
			int r;

			if (set.cursor.bad || (!start && !length))
				break;
			if (count++ >= DWARF_ARANGES_MAX)
				return error_set(error, -E2BIG, SECTION ": more than %u ranges",
						 DWARF_ARANGES_MAX);
			r = start + length > start ? add(context, set.unit, start, start + length)
						   : 0;
			if (r)
				return r;
		}
	}
	return 0;
}

int dwarf_aranges_walk(struct dwarf_file *file, dwarf_aranges_fn *add, void *context,
		       struct error *error)
{
	uint64_t size = file->sections[DWARF_ARANGES].size;
	_cleanup_free_ uint8_t *buffer = NULL;
	const uint8_t *bytes;
	size_t capacity = 0;

	if (!size)
		return 0;
	if (size > SECTION_MAX)
		return error_set(error, -E2BIG, SECTION ": more than %u MiB", SECTION_MAX >> 20);
	bytes = dwarf_file_read(file, DWARF_ARANGES, 0, size, &buffer, &capacity);
	if (!bytes)
		return error_set(error, -EBADMSG, SECTION ", offset 0: it cannot be read");
	return dwarf_aranges_parse(bytes, size, add, context, error);
}
