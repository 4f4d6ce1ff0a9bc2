/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_unit.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>

#define HEADER_MAX 48u /* bytes of the longest unit header */
#define FIRST_ENTRY 512u /* bytes that are read of a unit at first */
#define DWARF64 0xffffffffu

/* ---- values ---- */

static struct dwarf_file *addresses_of(struct dwarf_file *file)
{
	return file->program ? file->program : file;
}

static uint64_t indexed(struct dwarf_file *file, enum dwarf_section_id id, uint64_t base,
			uint64_t index, unsigned size)
{
	struct dwarf_cursor cursor;
	const uint8_t *bytes;
	uint32_t got;

	if (index > UINT32_MAX || base > file->sections[id].size)
		return DWARF_NOWHERE;
	bytes = dwarf_file_peek(file, id, base + index * size, size, &got);
	if (!bytes)
		return DWARF_NOWHERE;
	cursor = cursor_of(bytes, got);
	return cursor_sized(&cursor, size);
}

static uint64_t read_index(struct dwarf_cursor *cursor, unsigned form)
{
	switch (form) {
	case DW_FORM_strx1:
	case DW_FORM_addrx1:
		return cursor_u8(cursor);
	case DW_FORM_strx2:
	case DW_FORM_addrx2:
		return cursor_u16(cursor);
	case DW_FORM_strx3:
	case DW_FORM_addrx3:
		return cursor_u24(cursor);
	case DW_FORM_strx4:
	case DW_FORM_addrx4:
		return cursor_u32(cursor);
	default:
		return cursor_uleb(cursor);
	}
}

static void take_string(struct dwarf_value *value, enum dwarf_section_id id, uint64_t offset)
{
	value->class = DWARF_CLASS_STRING;
	value->string = (struct dwarf_string){.offset = offset, .section = (uint8_t)id};
}

/* False if the form is no string's. */
static bool read_string(struct dwarf_entries *entries, unsigned form, struct dwarf_value *value)
{
	const struct dwarf_encoding *encoding = &entries->unit->encoding;
	struct dwarf_cursor *cursor = &entries->cursor;

	switch (form) {
	case DW_FORM_string:
		take_string(value, DWARF_INFO, dwarf_entries_place(entries));
		cursor_text(cursor);
		return true;
	case DW_FORM_strp:
		take_string(value, DWARF_STR, cursor_sized(cursor, encoding->offset_size));
		return true;
	case DW_FORM_line_strp:
		take_string(value, DWARF_LINE_STR, cursor_sized(cursor, encoding->offset_size));
		return true;
	case DW_FORM_GNU_strp_alt:
	case DW_FORM_strp_sup:
		take_string(value, DWARF_STR, cursor_sized(cursor, encoding->offset_size));
		value->string.alternate = true;
		return true;
	case DW_FORM_strx:
	case DW_FORM_strx1:
	case DW_FORM_strx2:
	case DW_FORM_strx3:
	case DW_FORM_strx4:
	case DW_FORM_GNU_str_index:
		take_string(value, DWARF_STR,
			    indexed(entries->file, DWARF_STR_OFFSETS, entries->unit->string_base,
				    read_index(cursor, form), encoding->offset_size));
		return true;
	default:
		return false;
	}
}

static bool read_address(struct dwarf_entries *entries, unsigned form, struct dwarf_value *value)
{
	const struct dwarf_encoding *encoding = &entries->unit->encoding;
	struct dwarf_cursor *cursor = &entries->cursor;

	switch (form) {
	case DW_FORM_addr:
		value->number = cursor_sized(cursor, encoding->address_size);
		break;
	case DW_FORM_addrx:
	case DW_FORM_addrx1:
	case DW_FORM_addrx2:
	case DW_FORM_addrx3:
	case DW_FORM_addrx4:
	case DW_FORM_GNU_addr_index:
		value->number = indexed(addresses_of(entries->file), DWARF_ADDR,
					entries->unit->address_base, read_index(cursor, form),
					encoding->address_size);
		break;
	default:
		return false;
	}
	value->class = DWARF_CLASS_ADDRESS;
	return true;
}

static bool read_reference(struct dwarf_entries *entries, unsigned form, struct dwarf_value *value)
{
	const struct dwarf_encoding *encoding = &entries->unit->encoding;
	struct dwarf_cursor *cursor = &entries->cursor;
	uint64_t base = entries->unit->offset;

	value->class = DWARF_CLASS_ENTRY;
	switch (form) {
	case DW_FORM_ref1:
		value->number = base + cursor_u8(cursor);
		return true;
	case DW_FORM_ref2:
		value->number = base + cursor_u16(cursor);
		return true;
	case DW_FORM_ref4:
		value->number = base + cursor_u32(cursor);
		return true;
	case DW_FORM_ref8:
		value->number = base + cursor_u64(cursor);
		return true;
	case DW_FORM_ref_udata:
		value->number = base + cursor_uleb(cursor);
		return true;
	case DW_FORM_ref_addr:
		value->number =
			cursor_sized(cursor, encoding->version <= 2 ? encoding->address_size
								    : encoding->offset_size);
		return true;
	case DW_FORM_GNU_ref_alt:
		value->class = DWARF_CLASS_ALTERNATE;
		value->number = cursor_sized(cursor, encoding->offset_size);
		return true;
	case DW_FORM_ref_sup4:
		value->class = DWARF_CLASS_ALTERNATE;
		value->number = cursor_u32(cursor);
		return true;
	case DW_FORM_ref_sup8:
		value->class = DWARF_CLASS_ALTERNATE;
		value->number = cursor_u64(cursor);
		return true;
	default:
		value->class = DWARF_CLASS_NONE;
		return false;
	}
}

/* Before DWARF 4 places in sections were data4 and data8. */
static bool read_number(struct dwarf_entries *entries, const struct dwarf_attribute *attribute,
			unsigned form, struct dwarf_value *value)
{
	struct dwarf_cursor *cursor = &entries->cursor;

	value->class = DWARF_CLASS_CONSTANT;
	switch (form) {
	case DW_FORM_data1:
	case DW_FORM_flag:
		value->number = cursor_u8(cursor);
		return true;
	case DW_FORM_data2:
		value->number = cursor_u16(cursor);
		return true;
	case DW_FORM_data4:
		value->number = cursor_u32(cursor);
		return true;
	case DW_FORM_data8:
		value->number = cursor_u64(cursor);
		return true;
	case DW_FORM_udata:
		value->number = cursor_uleb(cursor);
		return true;
	case DW_FORM_sdata:
		value->number = (uint64_t)cursor_sleb(cursor);
		return true;
	case DW_FORM_implicit_const:
		value->number = (uint64_t)(int64_t)attribute->constant;
		return true;
	case DW_FORM_flag_present:
		value->number = 1;
		return true;
	case DW_FORM_sec_offset:
		value->class = DWARF_CLASS_OFFSET;
		value->number = cursor_sized(cursor, entries->unit->encoding.offset_size);
		return true;
	case DW_FORM_rnglistx:
		value->class = DWARF_CLASS_LIST;
		value->number = cursor_uleb(cursor);
		return true;
	default:
		value->class = DWARF_CLASS_NONE;
		return false;
	}
}

void dwarf_value_read(struct dwarf_entries *entries, const struct dwarf_attribute *attribute,
		      struct dwarf_value *ret)
{
	uint64_t form = attribute->form;

	*ret = (struct dwarf_value){.class = DWARF_CLASS_NONE};
	if (form == DW_FORM_indirect) {
		form = cursor_uleb(&entries->cursor);
		if (form == DW_FORM_indirect || form == DW_FORM_implicit_const ||
		    form > UINT16_MAX) {
			cursor_fail(&entries->cursor);
			return;
		}
	}
	if (read_number(entries, attribute, (unsigned)form, ret) ||
	    read_string(entries, (unsigned)form, ret) ||
	    read_address(entries, (unsigned)form, ret) ||
	    read_reference(entries, (unsigned)form, ret))
		return;
	ret->class = DWARF_CLASS_NONE;
	if (!dwarf_form_skip(&entries->cursor, form, &entries->unit->encoding))
		cursor_fail(&entries->cursor);
}

/* ---- units ---- */

/* False for a header that nothing can follow. *ret_code: the unit may have code. */
static bool read_header(struct dwarf_cursor *cursor, struct dwarf_unit *unit, bool *ret_code)
{
	const uint8_t *begin = cursor->at;
	uint64_t length = cursor_u32(cursor);
	uint8_t type = DW_UT_compile;

	unit->encoding.offset_size = 4;
	if (length == DWARF64) {
		length = cursor_u64(cursor);
		unit->encoding.offset_size = 8;
	}
	/* The first 2^32 bytes of the section are looked at. */
	if (!length || length > UINT32_MAX || unit->offset > UINT32_MAX)
		return false;
	unit->end = unit->offset + (uint64_t)(cursor->at - begin) + length;
	unit->encoding.version = (uint8_t)cursor_u16(cursor);
	if (unit->encoding.version >= 5) {
		type = cursor_u8(cursor);
		unit->encoding.address_size = cursor_u8(cursor);
		unit->abbrev_offset = cursor_sized(cursor, unit->encoding.offset_size);
	} else {
		unit->abbrev_offset = cursor_sized(cursor, unit->encoding.offset_size);
		unit->encoding.address_size = cursor_u8(cursor);
	}
	if (type == DW_UT_skeleton || type == DW_UT_split_compile) {
		unit->is_split = true;
		unit->split_id = cursor_u64(cursor);
	}
	unit->entries = unit->offset + (uint64_t)(cursor->at - begin);
	*ret_code = unit->encoding.version >= 2 && unit->encoding.version <= 5 &&
		    (unit->encoding.address_size == 8 || unit->encoding.address_size == 4) &&
		    type != DW_UT_type && type != DW_UT_split_type &&
		    unit->abbrev_offset < UINT64_MAX;
	return !cursor->bad;
}

/* The bases come first, for other attributes need them and may stand before. */
static void take_base(struct dwarf_unit *unit, unsigned name, const struct dwarf_value *value)
{
	switch (name) {
	case DW_AT_str_offsets_base:
		unit->string_base = value->number;
		break;
	case DW_AT_addr_base:
	case DW_AT_GNU_addr_base:
		unit->address_base = value->number;
		break;
	case DW_AT_rnglists_base:
	case DW_AT_GNU_ranges_base:
		unit->list_base = value->number;
		break;
	default:
		break;
	}
}

static void take_attribute(struct dwarf_unit *unit, unsigned name, const struct dwarf_value *value,
			   struct dwarf_value *high, struct dwarf_value *ranges)
{
	switch (name) {
	case DW_AT_low_pc:
		unit->low_pc = value->number;
		break;
	case DW_AT_high_pc:
		*high = *value;
		break;
	case DW_AT_ranges:
		*ranges = *value;
		break;
	case DW_AT_stmt_list:
		unit->line_offset = value->number;
		break;
	case DW_AT_language:
		unit->language = (uint16_t)value->number;
		break;
	case DW_AT_name:
		if (value->class == DWARF_CLASS_STRING)
			unit->name = value->string;
		break;
	case DW_AT_comp_dir:
		if (value->class == DWARF_CLASS_STRING)
			unit->folder = value->string;
		break;
	case DW_AT_GNU_dwo_id:
		unit->is_split = true;
		unit->split_id = value->number;
		break;
	case DW_AT_dwo_name:
	case DW_AT_GNU_dwo_name:
		if (value->class == DWARF_CLASS_STRING)
			unit->split_name = value->string;
		break;
	default:
		break;
	}
}

static void settle(struct dwarf_file *file, struct dwarf_unit *unit, const struct dwarf_value *high,
		   const struct dwarf_value *ranges)
{
	if (high->class == DWARF_CLASS_ADDRESS)
		unit->high_pc = high->number;
	else if (high->class == DWARF_CLASS_CONSTANT)
		unit->high_pc = unit->low_pc + high->number;
	if (ranges->class == DWARF_CLASS_LIST)
		unit->ranges = dwarf_ranges_offset(file, unit, ranges->number);
	else if (ranges->class == DWARF_CLASS_OFFSET || ranges->class == DWARF_CLASS_CONSTANT)
		unit->ranges = ranges->number;
	unit->has_ranges = unit->high_pc > unit->low_pc || unit->ranges != DWARF_NOWHERE;
}

/* Reads the first entry from so many bytes of it; false if they are too few. */
static bool read_first(struct dwarf_file *file, struct dwarf_unit *unit,
		       const struct dwarf_abbrevs *abbrevs, const uint8_t *bytes, size_t size)
{
	struct dwarf_entries entries = {
		.file = file, .unit = unit, .begin = bytes, .begin_at = unit->entries};
	struct dwarf_value high = {0}, ranges = {0}, value;
	const struct dwarf_abbrev *abbrev;

	for (unsigned pass = 0; pass < 2; pass++) {
		entries.cursor = cursor_of(bytes, size);
		abbrev = dwarf_abbrevs_find(abbrevs, cursor_uleb(&entries.cursor));
		if (!abbrev ||
		    (abbrev->kind != DWARF_TAG_UNIT && abbrev->kind != DWARF_TAG_PARTIAL))
			return true;
		unit->is_partial = abbrev->kind == DWARF_TAG_PARTIAL;
		for (unsigned i = 0; i < abbrev->attributes; i++) {
			const struct dwarf_attribute *attribute =
				&abbrevs->attributes.items[abbrev->first_attribute + i];

			dwarf_value_read(&entries, attribute, &value);
			if (entries.cursor.bad)
				return false;
			if (!pass)
				take_base(unit, attribute->name, &value);
			else
				take_attribute(unit, attribute->name, &value, &high, &ranges);
		}
	}
	settle(file, unit, &high, &ranges);
	return true;
}

/* Where a table ends is known when it has been read: more and more of the section
 * is tried. only: the code of the one that is wanted; 0: all are. */
static int read_abbrevs(struct dwarf_file *file, const struct dwarf_unit *unit, uint64_t only,
			struct dwarf_abbrevs *ret)
{
	uint64_t size = file->sections[DWARF_ABBREV].size, left, want = only ? 4096 : 16384;
	uint8_t *buffer = NULL;
	size_t capacity = 0;
	int r;

	if (unit->abbrev_offset >= size)
		return -EBADMSG;
	left = size - unit->abbrev_offset;
	do {
		struct dwarf_cursor cursor;
		const uint8_t *bytes;

		want = want < left ? want : left;
		bytes = dwarf_file_read(file, DWARF_ABBREV, unit->abbrev_offset, want, &buffer,
					&capacity);
		if (!bytes) {
			r = -EIO;
			break;
		}
		cursor = cursor_of(bytes, want);
		r = dwarf_abbrevs_init_one(ret, &cursor, &unit->encoding, only);
		want *= 4;
	} while (r == -EBADMSG && want / 4 < left);
	free(buffer);
	return r;
}

int dwarf_unit_abbrevs(struct dwarf_file *file, const struct dwarf_unit *unit,
		       struct dwarf_abbrevs *ret)
{
	return read_abbrevs(file, unit, 0, ret);
}

/* The unit's own abbreviation is all that its first entry needs. */
static int abbrev_for(struct dwarf_file *file, const struct dwarf_unit *unit, const uint8_t *bytes,
		      size_t size, struct dwarf_abbrevs *ret)
{
	struct dwarf_cursor cursor = cursor_of(bytes, size);
	uint64_t code = cursor_uleb(&cursor);

	return code ? read_abbrevs(file, unit, code, ret) : -ENOENT;
}

/* A unit whose first entry cannot be read stays, without ranges. */
static int describe(struct dwarf_file *file, struct dwarf_unit *unit)
{
	static const uint32_t sizes[] = {FIRST_ENTRY, DWARF_WINDOW_MAX};
	uint64_t left = unit->end - unit->entries;
	bool done = false;

	unit->ranges = unit->line_offset = DWARF_NOWHERE;
	unit->name.offset = unit->folder.offset = unit->split_name.offset = DWARF_NOWHERE;
	for (unsigned i = 0; i < 2 && !done; i++) {
		struct dwarf_abbrevs abbrevs = {0};
		uint32_t want = left < sizes[i] ? (uint32_t)left : sizes[i], got = 0;
		const uint8_t *bytes = dwarf_file_peek(file, DWARF_INFO, unit->entries, want, &got);
		int r = bytes ? abbrev_for(file, unit, bytes, want, &abbrevs) : -EIO;

		if (r == -EBADMSG)
			dwarf_file_blame(file, DWARF_ABBREV, unit->abbrev_offset,
					 "not the abbreviations that a unit needs");
		if (r < 0)
			return r == -ENOMEM ? r : 0;
		done = read_first(file, unit, &abbrevs, bytes, want);
		dwarf_abbrevs_deinit(&abbrevs);
	}
	return 0;
}

/* The bases that a split unit has without saying so (DWARF 5, 3.1.3). False: it is
 * none of the package's units. */
static bool place_split(struct dwarf_unit *unit, const struct dwarf_package *package)
{
	static const struct dwarf_contribution whole;
	const struct dwarf_contribution *part =
		package ? dwarf_package_at(package, unit->offset) : &whole;
	unsigned wide = unit->encoding.offset_size == 8 ? 8 : 0;

	if (!part)
		return false;
	unit->abbrev_offset += part->abbrev;
	unit->string_base = part->string_offsets;
	unit->list_base = unit->list_shift = part->lists;
	if (unit->encoding.version >= 5) { /* behind the tables' headers */
		unit->string_base += 8 + wide;
		unit->list_base += 12 + wide;
	}
	return true;
}

void dwarf_unit_join(struct dwarf_unit *split, const struct dwarf_unit *skeleton)
{
	split->address_base = skeleton->address_base;
	split->low_pc = skeleton->low_pc;
	if (split->encoding.version < 5) /* DW_AT_GNU_ranges_base */
		split->list_shift = skeleton->list_base;
}

static int scan(dwarf_units *ret, struct dwarf_file *file, bool split,
		const struct dwarf_package *package, struct error *error)
{
	uint64_t size = file->sections[DWARF_INFO].size, at = 0;
	dwarf_units units = {0};
	int r = 0;

	while (at + 11 < size && !r) {
		struct dwarf_unit unit = {.offset = at};
		uint64_t left = size - at;
		struct dwarf_cursor cursor;
		const uint8_t *bytes;
		bool code = false;
		uint32_t got = 0;

		bytes = dwarf_file_peek(file, DWARF_INFO, at,
					left < HEADER_MAX ? (uint32_t)left : HEADER_MAX, &got);
		cursor = cursor_of(bytes, bytes ? got : 0);
		if (!bytes || !read_header(&cursor, &unit, &code) || unit.end > size ||
		    unit.entries > unit.end) {
			dwarf_file_blame(file, DWARF_INFO, at, "no unit that can be read");
			break;
		}
		at = unit.end;
		if (!code || unit.entries == unit.end || (split && !place_split(&unit, package)))
			continue;
		r = units.count < DWARF_UNITS_MAX ? describe(file, &unit) : -E2BIG;
		if (!r)
			r = vec_push(&units, unit);
	}
	if (!r && !units.count && size)
		r = -EBADMSG;
	if (r < 0) {
		vec_free(&units);
		if (file->why.code)
			return error_set(error, file->why.code, "%s", file->why.text);
		return error_set(error, r, "section .debug_info, offset 0x%llx: %s",
				 (unsigned long long)at,
				 r == -ENOMEM  ? "out of memory for units"
				 : r == -E2BIG ? "too many units"
					       : "no unit that can be read");
	}
	ret->items = units.items;
	ret->count = units.count;
	ret->capacity = units.capacity;
	return 0;
}

int dwarf_units_init(dwarf_units *ret, struct dwarf_file *file, struct error *error)
{
	return scan(ret, file, false, NULL, error);
}

int dwarf_units_init_split(dwarf_units *ret, struct dwarf_file *file,
			   const struct dwarf_package *package, struct error *error)
{
	return scan(ret, file, true, package, error);
}

const struct dwarf_unit *dwarf_units_at(const dwarf_units *units, uint64_t place)
{
	size_t low = 0, high = units->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (units->items[middle].end <= place)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == units->count || place < units->items[low].entries)
		return NULL;
	return &units->items[low];
}

const struct dwarf_unit *dwarf_units_with(const dwarf_units *units, uint64_t offset)
{
	size_t low = 0, high = units->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (units->items[middle].offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < units->count && units->items[low].offset == offset ? &units->items[low] : NULL;
}
