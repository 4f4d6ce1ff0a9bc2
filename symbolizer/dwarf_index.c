/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_index.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/dwarf_name.h"

#define CANDIDATES_MAX 16 /* units that are looked at for one address */
#define CHAIN_MAX 512u /* functions inlined into each other */
#define BUFFER_KEPT (4u << 20) /* bytes; a larger one goes after use */
#define UNIT_BYTES_MAX (512ULL << 20)

struct ranging {
	struct dwarf_index *index;
	uint32_t unit;
};

static int add_range(void *context, uint64_t start, uint64_t end)
{
	const struct ranging *ranging = context;
	struct dwarf_index *index = ranging->index;
	struct dwarf_unit_range range = {start, end, end, ranging->unit};

	if (!start || end <= start || start < index->bounds.start || end > index->bounds.end)
		return 0;
	if (index->ranges.count >= DWARF_FUNCTIONS_MAX)
		return -E2BIG;
	return vec_push(&index->ranges, range);
}

static int add_ranges(struct dwarf_index *index, uint32_t number)
{
	const struct dwarf_unit *unit = &index->units.items[number];
	struct ranging ranging = {index, number};
	int r;

	if (unit->ranges == DWARF_NOWHERE)
		return add_range(&ranging, unit->low_pc, unit->high_pc);
	r = dwarf_ranges_walk(index->file, unit, unit->ranges, add_range, &ranging);
	return r == -EBADMSG ? 0 : r;
}

static int compare(const void *left, const void *right)
{
	const struct dwarf_unit_range *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return (a->unit > b->unit) - (a->unit < b->unit);
}

static int index_ranges(struct dwarf_index *index)
{
	uint64_t reach = 0;
	int r = 0;

	for (size_t i = 0; i < index->units.count && !r; i++) {
		if (index->units.items[i].has_ranges)
			r = add_ranges(index, (uint32_t)i);
	}
	if (r < 0 || !index->ranges.count)
		return r;
	qsort(index->ranges.items, index->ranges.count, sizeof(*index->ranges.items), compare);
	for (size_t i = 0; i < index->ranges.count; i++) {
		if (index->ranges.items[i].end > reach)
			reach = index->ranges.items[i].end;
		index->ranges.items[i].reach = reach;
	}
	return 0;
}

static int make_room(struct dwarf_index *index)
{
	int r = vec_reserve(&index->loaded, index->units.count);

	if (r < 0)
		return r;
	memset(index->loaded.items, 0, index->units.count * sizeof(*index->loaded.items));
	index->loaded.count = index->units.count;
	return 0;
}

int dwarf_index_init(struct dwarf_index *ret, struct dwarf_file *file,
		     const struct dwarf_bounds *bounds, size_t memory_max, struct error *error)
{
	struct dwarf_index index = {.file = file, .bounds = *bounds, .memory_max = memory_max};
	int r = dwarf_units_init(&index.units, file, error);

	if (!r) {
		r = index_ranges(&index);
		if (!r)
			r = make_room(&index);
		if (r < 0)
			error_set(error, r, "section .debug_info: %s for %zu units",
				  r == -E2BIG ? "too many ranges" : "out of memory",
				  index.units.count);
	}
	if (r < 0) {
		dwarf_index_deinit(&index);
		return r;
	}
	*ret = index;
	return 0;
}

static void unload(struct dwarf_loaded *loaded)
{
	dwarf_abbrevs_deinit(&loaded->abbrevs);
	dwarf_functions_deinit(&loaded->functions);
	dwarf_lines_deinit(&loaded->lines);
	*loaded = (struct dwarf_loaded){0};
}

void dwarf_index_trim(struct dwarf_index *index)
{
	for (size_t i = 0; i < index->loaded.count; i++)
		unload(&index->loaded.items[i]);
	strtab_deinit(&index->strings);
	index->strings = (struct strtab){0};
	hashmap_deinit(&index->names);
	index->names = (struct hashmap){0};
	free(index->buffer);
	index->buffer = NULL;
	index->buffer_size = 0;
	index->memory = 0;
}

void dwarf_index_deinit(struct dwarf_index *index)
{
	dwarf_index_trim(index);
	vec_free(&index->units);
	vec_free(&index->loaded);
	vec_free(&index->ranges);
	if (index->file)
		dwarf_file_deinit(index->file);
	free(index->file);
	index->file = NULL;
}

size_t dwarf_index_memory(const struct dwarf_index *index)
{
	return index->memory + index->strings.bytes.capacity +
	       index->names.capacity * (sizeof(*index->names.slots) + 1) + index->buffer_size;
}

const struct dwarf_abbrevs *dwarf_index_abbrevs(struct dwarf_index *index,
						const struct dwarf_unit *unit)
{
	struct dwarf_loaded *loaded = &index->loaded.items[unit - index->units.items];

	if (!loaded->has_abbrevs) {
		loaded->has_abbrevs = true;
		if (dwarf_unit_abbrevs(index->file, unit, &loaded->abbrevs) == 0)
			index->memory += dwarf_abbrevs_memory(&loaded->abbrevs);
	}
	return loaded->abbrevs.items.count ? &loaded->abbrevs : NULL;
}

/* What there was no memory for is tried again after all has been let go of. */
static void note(struct dwarf_index *index, int r, size_t memory)
{
	index->memory += r == -ENOMEM ? index->memory_max : memory;
}

static void load_functions(struct dwarf_index *index, const struct dwarf_unit *unit,
			   struct dwarf_loaded *loaded)
{
	const struct dwarf_abbrevs *abbrevs = dwarf_index_abbrevs(index, unit);
	uint64_t size = unit->end - unit->entries;
	const uint8_t *bytes;
	int r;

	loaded->has_functions = true;
	if (!abbrevs || size > UNIT_BYTES_MAX)
		return;
	bytes = dwarf_file_read(index->file, DWARF_INFO, unit->entries, size, &index->buffer,
				&index->buffer_size);
	if (!bytes)
		return;
	r = dwarf_functions_init(&loaded->functions, index->file, unit, abbrevs, &index->bounds,
				 bytes, size);
	note(index, r, dwarf_functions_memory(&loaded->functions));
	if (index->buffer_size > BUFFER_KEPT) {
		free(index->buffer);
		index->buffer = NULL;
		index->buffer_size = 0;
	}
}

static void load_lines(struct dwarf_index *index, const struct dwarf_unit *unit,
		       struct dwarf_loaded *loaded)
{
	int r;

	loaded->has_lines = true;
	if (unit->line_offset == DWARF_NOWHERE)
		return;
	r = dwarf_lines_init(&loaded->lines, index->file, unit, &index->bounds);
	note(index, r, dwarf_lines_memory(&loaded->lines));
}

static struct dwarf_loaded *load(struct dwarf_index *index, uint32_t number)
{
	const struct dwarf_unit *unit = &index->units.items[number];
	struct dwarf_loaded *loaded = &index->loaded.items[number];

	if (!loaded->has_functions)
		load_functions(index, unit, loaded);
	if (!loaded->has_lines)
		load_lines(index, unit, loaded);
	return loaded;
}

/* Numbers of strings while names are being looked up, for strings move. */
struct numbered {
	uint32_t name, file, line;
	bool inlined;
};

static uint32_t file_number(struct dwarf_index *index, const struct dwarf_unit *unit,
			    struct dwarf_loaded *loaded, uint32_t number)
{
	struct dwarf_source *source = dwarf_lines_source(&loaded->lines, number);

	if (!source)
		return 0;
	if (!source->path)
		source->path = dwarf_path_of(index, unit, &loaded->lines, source);
	return source->path;
}

static uint32_t name_number(struct dwarf_index *index, struct dwarf_function *function)
{
	if (!function->name)
		function->name = dwarf_name_of(index, function->entry, function->alternate);
	return function->name;
}

/* The functions from the innermost one out; how many were put down. */
static uint32_t chain(struct dwarf_index *index, uint32_t number, uint64_t address,
		      struct numbered *found, uint32_t max, bool *ret_named)
{
	const struct dwarf_unit *unit = &index->units.items[number];
	struct dwarf_loaded *loaded = load(index, number);
	const struct dwarf_row *row = dwarf_lines_find(&loaded->lines, address);
	uint32_t at = dwarf_functions_find(&loaded->functions, address), count = 0;
	uint32_t file = row ? file_number(index, unit, loaded, row->file) : 0;
	uint32_t line = row ? row->line : 0;

	*ret_named = at != DWARF_NONE;
	if (at == DWARF_NONE && row)
		found[count++] = (struct numbered){.file = file, .line = line};
	while (at != DWARF_NONE && count < max) {
		struct dwarf_function *function = &loaded->functions.list.items[at];

		found[count++] = (struct numbered){.name = name_number(index, function),
						   .file = file,
						   .line = line,
						   .inlined = function->inlined};
		file = file_number(index, unit, loaded, function->call_file);
		line = function->call_line;
		at = function->parent;
	}
	return count;
}

/* The position behind the last range that begins at or below the address. */
static size_t upper_bound(const struct dwarf_index *index, uint64_t address)
{
	const struct dwarf_unit_range *ranges = index->ranges.items;
	size_t low = 0, high = index->ranges.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t dwarf_index_find(struct dwarf_index *index, uint64_t address, struct dwarf_frame *frames,
			  uint32_t max)
{
	const struct dwarf_unit_range *ranges = index->ranges.items;
	struct numbered found[CHAIN_MAX];
	uint32_t count = 0, tried = 0;
	bool named = false;

	if (dwarf_index_memory(index) > index->memory_max)
		dwarf_index_trim(index);
	if (max > CHAIN_MAX)
		max = CHAIN_MAX;
	for (size_t i = upper_bound(index, address);
	     max && i && ranges[i - 1].reach > address && tried < CANDIDATES_MAX && !named; i--) {
		uint32_t more;

		if (address >= ranges[i - 1].end)
			continue;
		tried++;
		more = chain(index, ranges[i - 1].unit, address, found, max, &named);
		count = more ? more : count;
	}
	for (uint32_t i = 0; i < count; i++)
		frames[i] = (struct dwarf_frame){.name = strtab_get(&index->strings, found[i].name),
						 .file = strtab_get(&index->strings, found[i].file),
						 .line = found[i].line,
						 .inlined = found[i].inlined};
	return count;
}
