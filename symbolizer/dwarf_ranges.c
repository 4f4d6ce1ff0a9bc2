/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lists of address ranges: .debug_ranges up to DWARF 4 (2.17.3 there), and
 * .debug_rnglists (DWARF 5, 2.17.3 and 7.25).
 */
#include <dwarf.h>
#include <errno.h>

#include "symbolizer/dwarf_unit.h"

#define ENTRY_MAX 32u /* bytes of the longest entry of either kind */

struct list {
	struct dwarf_file *file, *addresses;
	const struct dwarf_unit *unit;
	enum dwarf_section_id section;
	uint64_t at;
	const uint8_t *near; /* the bytes there, as many as were to be had at once */
	uint32_t near_size;
	uint64_t base;
	dwarf_range_fn *add;
	void *context;
};

/* The bytes of one entry; an empty cursor at the section's end. */
static struct dwarf_cursor entry_at(struct list *list)
{
	uint64_t size = list->file->sections[list->section].size, left;

	if (list->near_size >= ENTRY_MAX)
		return cursor_of(list->near, list->near_size);
	list->near_size = 0;
	if (list->at >= size)
		return cursor_of(NULL, 0);
	left = size - list->at;
	list->near =
		dwarf_file_peek(list->file, list->section, list->at,
				left < ENTRY_MAX ? (uint32_t)left : ENTRY_MAX, &list->near_size);
	return cursor_of(list->near, list->near ? list->near_size : 0);
}

static void pass_entry(struct list *list, size_t size)
{
	list->at += size;
	list->near += size;
	list->near_size -= (uint32_t)size;
}

static int add(const struct list *list, uint64_t start, uint64_t end)
{
	return end > start ? list->add(list->context, start, end) : 0;
}

/* 1: that was the last one. */
static int old_entry(struct list *list)
{
	unsigned size = list->unit->encoding.address_size;
	uint64_t select = size == 8 ? UINT64_MAX : UINT32_MAX;
	struct dwarf_cursor cursor = entry_at(list);
	uint64_t start = cursor_sized(&cursor, size), end = cursor_sized(&cursor, size);

	if (cursor.bad)
		return -EBADMSG;
	pass_entry(list, 2 * (size_t)size);
	if (!start && !end)
		return 1;
	if (start == select) {
		list->base = end;
		return 0;
	}
	return add(list, list->base + start, list->base + end);
}

static uint64_t address_at(const struct list *list, uint64_t index)
{
	const struct dwarf_unit *unit = list->unit;
	unsigned size = unit->encoding.address_size;
	struct dwarf_cursor cursor;
	const uint8_t *bytes;
	uint32_t got = 0;

	if (index > UINT32_MAX || unit->address_base > list->addresses->sections[DWARF_ADDR].size)
		return 0;
	bytes = dwarf_file_peek(list->addresses, DWARF_ADDR, unit->address_base + index * size,
				size, &got);
	cursor = cursor_of(bytes, bytes ? got : 0);
	return cursor_sized(&cursor, size);
}

struct range {
	uint64_t start, end;
};

/* False for a kind that is not known. */
static bool new_range(struct list *list, unsigned kind, struct dwarf_cursor *cursor,
		      struct range *ret)
{
	unsigned size = list->unit->encoding.address_size;
	struct range range = {0};

	switch (kind) {
	case DW_RLE_base_addressx:
		list->base = address_at(list, cursor_uleb(cursor));
		break;
	case DW_RLE_startx_endx:
		range.start = address_at(list, cursor_uleb(cursor));
		range.end = address_at(list, cursor_uleb(cursor));
		break;
	case DW_RLE_startx_length:
		range.start = address_at(list, cursor_uleb(cursor));
		range.end = range.start + cursor_uleb(cursor);
		break;
	case DW_RLE_offset_pair:
		range.start = list->base + cursor_uleb(cursor);
		range.end = list->base + cursor_uleb(cursor);
		break;
	case DW_RLE_base_address:
		list->base = cursor_sized(cursor, size);
		break;
	case DW_RLE_start_end:
		range.start = cursor_sized(cursor, size);
		range.end = cursor_sized(cursor, size);
		break;
	case DW_RLE_start_length:
		range.start = cursor_sized(cursor, size);
		range.end = range.start + cursor_uleb(cursor);
		break;
	default:
		return false;
	}
	*ret = range;
	return true;
}

static int new_entry(struct list *list)
{
	struct dwarf_cursor cursor = entry_at(list);
	const uint8_t *begin = cursor.at;
	unsigned kind = cursor_u8(&cursor);
	struct range range;

	if (cursor.bad)
		return -EBADMSG;
	if (kind == DW_RLE_end_of_list)
		return 1;
	if (!new_range(list, kind, &cursor, &range) || cursor.bad)
		return -EBADMSG;
	pass_entry(list, (size_t)(cursor.at - begin));
	return add(list, range.start, range.end);
}

enum dwarf_section_id dwarf_ranges_section(const struct dwarf_unit *unit)
{
	return unit->encoding.version >= 5 ? DWARF_RNGLISTS : DWARF_RANGES;
}

int dwarf_ranges_walk(struct dwarf_file *file, const struct dwarf_unit *unit, uint64_t offset,
		      dwarf_range_fn *add_range, void *context)
{
	bool new = unit->encoding.version >= 5;
	struct dwarf_file *addresses = file->program ? file->program : file;
	struct list list = {
		.file = new ? file : addresses, /* .debug_ranges is never split off */
		.addresses = addresses,
		.unit = unit,
		.section = dwarf_ranges_section(unit),
		.at = offset,
		.base = unit->low_pc,
		.add = add_range,
		.context = context,
	};

	for (unsigned i = 0; i < DWARF_RANGES_MAX; i++) {
		int r = new ? new_entry(&list) : old_entry(&list);

		if (r)
			return r < 0 ? r : 0;
	}
	return -E2BIG;
}

uint64_t dwarf_ranges_offset(struct dwarf_file *file, const struct dwarf_unit *unit, uint64_t index)
{
	unsigned size = unit->encoding.offset_size;
	struct dwarf_cursor cursor;
	const uint8_t *bytes;
	uint32_t got = 0;

	if (index > UINT32_MAX || unit->list_base > file->sections[DWARF_RNGLISTS].size)
		return DWARF_NOWHERE;
	bytes = dwarf_file_peek(file, DWARF_RNGLISTS, unit->list_base + index * size, size, &got);
	if (!bytes)
		return DWARF_NOWHERE;
	cursor = cursor_of(bytes, got);
	return unit->list_base + cursor_sized(&cursor, size);
}
