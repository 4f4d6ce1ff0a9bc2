/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_package.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/reader.h"
#include "symbolizer/dwarf_cursor.h"

#define SECTION "section .debug_cu_index"
#define INDEX_MAX (256u << 20) /* bytes of the section */
#define HEADER_SIZE 16u

/* Numbers of sections (DW_SECT). Those of 4 to 7 mean the same in both versions, or
 * are not asked for. */
enum { SECT_INFO = 1, SECT_ABBREV = 3, SECT_STR_OFFSETS = 6, SECT_RNGLISTS = 8 };

struct table {
	struct reader reader; /* the cells, in order */
	const uint8_t *ids, *rows; /* of each slot: u64, u32 */
	const uint8_t *offsets, *sizes; /* of each unit, u32 for each column */
	uint32_t version, columns, units, slots;
	uint32_t sections[DWARF_PACKAGE_COLUMNS_MAX];
};

static uint32_t u32_at(const uint8_t *bytes, size_t index)
{
	struct dwarf_cursor cursor = cursor_of(bytes + 4 * index, 4);

	return cursor_u32(&cursor);
}

static int read_header(struct table *table, struct error *error)
{
	struct reader *reader = &table->reader;

	table->version = reader_u16(reader);
	reader_u16(reader); /* version 2 has 32 bits, 5 has padding here */
	table->columns = reader_u32(reader);
	table->units = reader_u32(reader);
	table->slots = reader_u32(reader);
	if (!reader_ok(reader))
		return error_set(error, -EBADMSG, SECTION ", offset %zu: it ends in its header",
				 reader->bad_at);
	if (table->version != 2 && table->version != 5)
		return error_set(error, -EBADMSG, SECTION ", offset 0: version %u is not known",
				 table->version);
	if (table->columns > DWARF_PACKAGE_COLUMNS_MAX || table->units > DWARF_PACKAGE_UNITS_MAX ||
	    table->slots > DWARF_PACKAGE_SLOTS_MAX)
		return error_set(error, -EBADMSG,
				 SECTION ", offset 4: %u columns, %u units, %u slots: too many",
				 table->columns, table->units, table->slots);
	return 0;
}

static int read_table(struct table *table, struct error *error)
{
	struct reader *reader = &table->reader;
	int r = read_header(table, error);
	size_t cells;

	if (r < 0)
		return r;
	cells = (size_t)table->columns * table->units;
	table->ids = reader_take(reader, 8ull * table->slots);
	table->rows = reader_take(reader, 4ull * table->slots);
	for (uint32_t i = 0; i < table->columns; i++)
		table->sections[i] = reader_u32(reader);
	table->offsets = reader_take(reader, 4 * cells);
	table->sizes = reader_take(reader, 4 * cells);
	if (!reader_ok(reader))
		return error_set(error, -EBADMSG,
				 SECTION ", offset %zu: it ends before its %u units do",
				 reader->bad_at, table->units);
	return 0;
}

static struct dwarf_contribution unit_of(const struct table *table, uint32_t row, uint64_t id)
{
	struct dwarf_contribution unit = {.id = id};

	for (uint32_t i = 0; i < table->columns; i++) {
		size_t cell = (size_t)row * table->columns + i;
		uint32_t offset = u32_at(table->offsets, cell);

		switch (table->sections[i]) {
		case SECT_INFO:
			unit.info = offset;
			unit.info_size = u32_at(table->sizes, cell);
			break;
		case SECT_ABBREV:
			unit.abbrev = offset;
			break;
		case SECT_STR_OFFSETS:
			unit.string_offsets = offset;
			break;
		case SECT_RNGLISTS: /* in version 2 it is .debug_macro */
			unit.lists = table->version >= 5 ? offset : 0;
			break;
		default:
			break;
		}
	}
	return unit;
}

static int compare(const void *left, const void *right)
{
	const struct dwarf_contribution *a = left, *b = right;

	if (a->info != b->info)
		return a->info < b->info ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

/* Slots without a unit have row 0; a row that is out of range is no unit's. */
static int add_units(struct dwarf_package *package, const struct table *table)
{
	int r = 0;

	for (uint32_t slot = 0; slot < table->slots && !r; slot++) {
		uint32_t row = u32_at(table->rows, slot);
		struct dwarf_cursor id = cursor_of(table->ids + 8ull * slot, 8);

		if (!row || row > table->units)
			continue;
		if (package->units.count >= table->units)
			return -EBADMSG;
		r = vec_push(&package->units, unit_of(table, row - 1, cursor_u64(&id)));
	}
	return r;
}

int dwarf_package_parse(struct dwarf_package *ret, const void *bytes, size_t size,
			struct error *error)
{
	struct dwarf_package package = {0};
	struct table table = {0};
	int r;

	reader_init(&table.reader, bytes, size);
	r = read_table(&table, error);
	if (r < 0)
		return r;
	r = add_units(&package, &table);
	if (r < 0) {
		dwarf_package_deinit(&package);
		return error_set(error, r, SECTION ", offset %u: %s", HEADER_SIZE,
				 r == -ENOMEM ? "out of memory" : "more slots than units");
	}
	if (package.units.count)
		qsort(package.units.items, package.units.count, sizeof(*package.units.items),
		      compare);
	*ret = package;
	return 0;
}

int dwarf_package_init(struct dwarf_package *ret, struct dwarf_file *file, struct error *error)
{
	uint64_t size = file->sections[DWARF_CU_INDEX].size;
	_cleanup_free_ uint8_t *buffer = NULL;
	const uint8_t *bytes;
	size_t capacity = 0;

	if (!size)
		return error_set(error, -ENODATA, "no .debug_cu_index in it");
	if (size > INDEX_MAX)
		return error_set(error, -EBADMSG, SECTION ", offset 0: more than %u MiB",
				 INDEX_MAX >> 20);
	bytes = dwarf_file_read(file, DWARF_CU_INDEX, 0, size, &buffer, &capacity);
	if (!bytes)
		return file->why.code ? error_set(error, file->why.code, "%s", file->why.text)
				      : error_set(error, -EIO, SECTION ": it cannot be read");
	return dwarf_package_parse(ret, bytes, size, error);
}

void dwarf_package_deinit(struct dwarf_package *package)
{
	vec_free(&package->units);
}

const struct dwarf_contribution *dwarf_package_at(const struct dwarf_package *package,
						  uint64_t info)
{
	size_t low = 0, high = package->units.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (package->units.items[middle].info < info)
			low = middle + 1;
		else
			high = middle;
	}
	return low < package->units.count && package->units.items[low].info == info
		       ? &package->units.items[low]
		       : NULL;
}
