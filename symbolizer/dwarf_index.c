/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_index.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/dwarf_coverage.h"
#include "symbolizer/dwarf_name.h"

#define CANDIDATES_MAX 16 /* units that are looked at for one address */
#define CHAIN_MAX 512u /* functions inlined into each other */
#define BUFFER_KEPT (4u << 20) /* bytes; a larger one goes after use, or a round */
#define UNIT_BYTES_MAX (512ULL << 20)
#define ROUNDS_PARTLY 2 /* a unit is read for some addresses alone; then as a whole */

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
		r = dwarf_coverage_init(&index);
		if (!r)
			r = make_room(&index);
		if (!r)
			r = dwarf_splits_create(&index, &index.splits);
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

int dwarf_index_init_split(struct dwarf_index *ret, struct dwarf_file *file,
			   const struct dwarf_package *package, const struct dwarf_index *program,
			   struct error *error)
{
	struct dwarf_index index = {
		.file = file, .bounds = program->bounds, .memory_max = program->memory_max};
	int r = dwarf_units_init_split(&index.units, file, package, error);

	if (!r && make_room(&index) < 0)
		r = error_set(error, -ENOMEM, "out of memory for %zu units", index.units.count);
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

static void free_buffer(struct dwarf_index *index)
{
	if (index->file)
		dwarf_file_lend(index->file, DWARF_INFO, 0, NULL, 0);
	free(index->buffer);
	index->buffer = NULL;
	index->buffer_size = 0;
}

void dwarf_index_trim(struct dwarf_index *index)
{
	for (size_t i = 0; i < index->loaded.count; i++)
		unload(&index->loaded.items[i]);
	vec_clear(&index->partly);
	strtab_deinit(&index->strings);
	index->strings = (struct strtab){0};
	hashmap_deinit(&index->names);
	index->names = (struct hashmap){0};
	free_buffer(index);
	if (index->file)
		dwarf_file_trim(index->file);
	index->memory = 0;
	dwarf_splits_trim(index->splits);
	if (index->alternate)
		dwarf_index_trim(index->alternate);
}

void dwarf_index_deinit(struct dwarf_index *index)
{
	dwarf_index_trim(index);
	dwarf_splits_destroy(index->splits);
	index->splits = NULL;
	vec_free(&index->units);
	vec_free(&index->partly);
	vec_free(&index->loaded);
	vec_free(&index->ranges);
	vec_free(&index->silent);
	if (index->file)
		dwarf_file_deinit(index->file);
	free(index->file);
	index->file = NULL;
}

size_t dwarf_index_memory(const struct dwarf_index *index)
{
	return index->memory + strtab_memory(&index->strings) +
	       index->names.capacity * (sizeof(*index->names.slots) + 1) + index->buffer_size +
	       dwarf_file_remembered(index->file) + dwarf_splits_memory(index->splits) +
	       (index->alternate ? dwarf_index_memory(index->alternate) : 0);
}

const struct dwarf_abbrevs *dwarf_index_abbrevs(struct dwarf_index *index,
						const struct dwarf_unit *unit)
{
	struct dwarf_loaded *loaded = &index->loaded.items[unit - index->units.items];
	int r;

	if (!loaded->has_abbrevs) {
		loaded->has_abbrevs = true;
		r = dwarf_unit_abbrevs(index->file, unit, &loaded->abbrevs);
		if (!r)
			index->memory += dwarf_abbrevs_memory(&loaded->abbrevs);
		else if (r != -ENOMEM)
			dwarf_file_blame(index->file, DWARF_ABBREV, unit->abbrev_offset,
					 "abbreviations that cannot be read");
	}
	return loaded->abbrevs.items.count ? &loaded->abbrevs : NULL;
}

/* What there was no memory for is tried again after all has been let go of. */
static void note(struct dwarf_index *index, int r, size_t memory)
{
	index->memory += r == -ENOMEM ? index->memory_max : memory;
}

/* ---- rounds ---- */

/* What a unit is to be read for. */
static const struct dwarf_asked *asked_of(const struct dwarf_index *index,
					  const struct dwarf_loaded *loaded)
{
	return loaded->partly ? &index->asked : NULL;
}

/* Before any of the unit is read. */
static void choose(struct dwarf_index *index, uint32_t number)
{
	struct dwarf_loaded *loaded = &index->loaded.items[number];

	if (loaded->partly || loaded->has_functions || loaded->has_lines || !index->asked.count ||
	    loaded->rounds >= ROUNDS_PARTLY || vec_push(&index->partly, number) < 0)
		return;
	loaded->rounds++;
	loaded->partly = true;
}

void dwarf_index_end(struct dwarf_index *index)
{
	for (size_t i = 0; i < index->partly.count; i++) {
		struct dwarf_loaded *loaded = &index->loaded.items[index->partly.items[i]];

		index->memory -= dwarf_functions_memory(&loaded->functions) +
				 dwarf_lines_memory(&loaded->lines);
		dwarf_functions_deinit(&loaded->functions);
		dwarf_lines_deinit(&loaded->lines);
		loaded->functions = (struct dwarf_functions){0};
		loaded->lines = (struct dwarf_lines){0};
		loaded->has_functions = loaded->has_lines = loaded->partly = false;
	}
	if (index->buffer_size > BUFFER_KEPT)
		free_buffer(index);
	vec_clear(&index->partly);
	index->asked = (struct dwarf_asked){0};
}

void dwarf_index_begin(struct dwarf_index *index, const struct dwarf_asked *asked)
{
	dwarf_index_end(index);
	index->asked = *asked;
}

/* ---- units ---- */

/* A large buffer stays for a round at most. */
static bool too_large(const struct dwarf_index *index)
{
	return index->buffer_size > BUFFER_KEPT &&
	       (!index->asked.count || index->buffer_size > index->memory_max / 4);
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
	/* The buffer holds the last unit, whose entries are asked for their names. */
	dwarf_file_lend(index->file, DWARF_INFO, 0, NULL, 0);
	bytes = dwarf_file_read(index->file, DWARF_INFO, unit->entries, size, &index->buffer,
				&index->buffer_size);
	if (!bytes) {
		dwarf_file_blame(index->file, DWARF_INFO, unit->entries, "it cannot be read");
		return;
	}
	r = dwarf_functions_init(&loaded->functions, index->file, unit, abbrevs, &index->bounds,
				 asked_of(index, loaded), bytes, size);
	note(index, r, dwarf_functions_memory(&loaded->functions));
	if (too_large(index))
		free_buffer(index);
	else
		dwarf_file_lend(index->file, DWARF_INFO, unit->entries, bytes, size);
}

static void load_lines(struct dwarf_index *index, const struct dwarf_unit *unit,
		       struct dwarf_loaded *loaded)
{
	int r;

	loaded->has_lines = true;
	if (unit->line_offset == DWARF_NOWHERE)
		return;
	r = dwarf_lines_init(&loaded->lines, index->file, unit, &index->bounds,
			     asked_of(index, loaded));
	note(index, r, dwarf_lines_memory(&loaded->lines));
}

static struct dwarf_loaded *with_functions(struct dwarf_index *index, uint32_t number)
{
	struct dwarf_loaded *loaded = &index->loaded.items[number];

	choose(index, number);
	if (!loaded->has_functions)
		load_functions(index, &index->units.items[number], loaded);
	return loaded;
}

static struct dwarf_loaded *with_lines(struct dwarf_index *index, uint32_t number)
{
	struct dwarf_loaded *loaded = &index->loaded.items[number];

	choose(index, number);
	if (!loaded->has_lines)
		load_lines(index, &index->units.items[number], loaded);
	return loaded;
}

/* All of a unit, in the midst of a round too: it was not read for some addresses alone, for
 * nobody knew yet which it has. */
const struct dwarf_functions *dwarf_index_functions(struct dwarf_index *index, uint32_t unit)
{
	struct dwarf_asked asked = index->asked;
	const struct dwarf_functions *functions;

	index->asked.count = 0;
	functions = &with_functions(index, unit)->functions;
	index->asked = asked;
	return functions;
}

const struct dwarf_lines *dwarf_index_lines(struct dwarf_index *index, uint32_t unit)
{
	struct dwarf_asked asked = index->asked;
	const struct dwarf_lines *lines;

	index->asked.count = 0;
	lines = &with_lines(index, unit)->lines;
	index->asked = asked;
	return lines;
}

/* Numbers of strings while names are being looked up, for strings move. */
struct numbered {
	uint32_t name, file, line;
	bool inlined;
	const struct dwarf_index *named_by; /* whose strings have the name */
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

/* A place, and what encloses the functions at it. */
struct chain {
	struct dwarf_index *index; /* has lines and files */
	uint32_t unit;
	uint32_t file, line; /* of the function that is put next */
	struct numbered *found;
	uint32_t max;
};

/* The functions of a unit from the innermost one out; how many were put down. `owner` has
 * them: the index itself, or the one of its split units. */
static uint32_t put_functions(struct chain *chain, struct dwarf_index *owner, uint32_t unit,
			      uint64_t address)
{
	struct dwarf_loaded *lines = &chain->index->loaded.items[chain->unit];
	struct dwarf_loaded *loaded = with_functions(owner, unit);
	uint32_t at = dwarf_functions_find(&loaded->functions, address), count = 0;

	while (at != DWARF_NONE && count < chain->max) {
		struct dwarf_function *function = &loaded->functions.list.items[at];

		chain->found[count++] = (struct numbered){.name = name_number(owner, function),
							  .file = chain->file,
							  .line = chain->line,
							  .inlined = function->inlined,
							  .named_by = owner};
		chain->file = file_number(chain->index, &chain->index->units.items[chain->unit],
					  lines, function->call_file);
		chain->line = function->call_line;
		at = function->parent;
	}
	return count;
}

static uint32_t put_split(struct chain *chain, struct dwarf_index *owner, uint32_t unit,
			  uint64_t address)
{
	size_t before = dwarf_index_memory(owner);
	uint32_t count = put_functions(chain, owner, unit, address);

	chain->index->splits->loaded += dwarf_index_memory(owner) - before;
	return count;
}

/* The functions at an address in a unit, or one frame with its line only; how many. */
static uint32_t chain(struct dwarf_index *index, uint32_t number, uint64_t address,
		      struct numbered *found, uint32_t max, bool *ret_named)
{
	struct chain chain = {.index = index, .unit = number, .found = found, .max = max};
	struct dwarf_loaded *loaded = with_lines(index, number);
	const struct dwarf_row *row = dwarf_lines_find(&loaded->lines, address);
	struct dwarf_index *owner = index;
	uint32_t count;

	if (row) {
		chain.file = file_number(index, &index->units.items[number], loaded, row->file);
		chain.line = row->line;
	}
	dwarf_splits_follow(&owner, &number);
	found[0] = (struct numbered){.file = chain.file, .line = chain.line, .named_by = index};
	count = owner == index ? put_functions(&chain, index, number, address)
			       : put_split(&chain, owner, number, address);
	*ret_named = count > 0;
	return count || !row ? count : 1;
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

uint32_t dwarf_index_units_at(const struct dwarf_index *index, uint64_t address, uint32_t *units,
			      uint32_t max)
{
	const struct dwarf_unit_range *ranges = index->ranges.items;
	uint32_t count = 0;

	for (size_t i = upper_bound(index, address);
	     i && ranges[i - 1].reach > address && count < max && count < CANDIDATES_MAX; i--) {
		if (address < ranges[i - 1].end)
			units[count++] = ranges[i - 1].unit;
	}
	return count;
}

uint32_t dwarf_index_unit(const struct dwarf_index *index, uint64_t address)
{
	const struct dwarf_unit_range *ranges = index->ranges.items;
	size_t i = upper_bound(index, address);

	while (i && ranges[i - 1].reach > address && address >= ranges[i - 1].end)
		i--;
	return i && ranges[i - 1].reach > address ? ranges[i - 1].unit : UINT32_MAX;
}

/* In the units that are known to be there. */
static uint32_t look_up(struct dwarf_index *index, uint64_t address, struct numbered *found,
			uint32_t max)
{
	const struct dwarf_unit_range *ranges = index->ranges.items;
	uint32_t count = 0, tried = 0;
	bool named = false;

	for (size_t i = upper_bound(index, address);
	     max && i && ranges[i - 1].reach > address && tried < CANDIDATES_MAX && !named; i--) {
		uint32_t more;

		if (address >= ranges[i - 1].end)
			continue;
		tried++;
		more = chain(index, ranges[i - 1].unit, address, found, max, &named);
		count = more ? more : count;
	}
	return count;
}

uint32_t dwarf_index_find(struct dwarf_index *index, uint64_t address, struct dwarf_frame *frames,
			  uint32_t max)
{
	struct numbered found[CHAIN_MAX];
	uint32_t count;

	if (dwarf_index_memory(index) > index->memory_max)
		dwarf_index_trim(index);
	if (max > CHAIN_MAX)
		max = CHAIN_MAX;
	count = look_up(index, address, found, max);
	if (!count && dwarf_coverage_complete(index))
		count = look_up(index, address, found, max);
	for (uint32_t i = 0; i < count; i++)
		frames[i] = (struct dwarf_frame){
			.name = strtab_get(&found[i].named_by->strings, found[i].name),
			.file = strtab_get(&index->strings, found[i].file),
			.line = found[i].line,
			.inlined = found[i].inlined};
	return count;
}
