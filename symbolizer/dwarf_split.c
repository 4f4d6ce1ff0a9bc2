/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_split.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "symbolizer/dwarf_index.h"

int dwarf_splits_create(struct dwarf_index *index, struct dwarf_splits **ret)
{
	struct dwarf_splits *splits;
	bool any = false;

	for (size_t i = 0; i < index->units.count && !any; i++)
		any = index->units.items[i].is_split;
	*ret = NULL;
	if (!any)
		return 0;
	splits = calloc(1, sizeof(*splits));
	if (!splits || vec_reserve(&splits->units, index->units.count) < 0) {
		free(splits);
		return -ENOMEM;
	}
	memset(splits->units.items, 0, index->units.count * sizeof(*splits->units.items));
	splits->units.count = index->units.count;
	splits->memory_max = index->memory_max / 2;
	*ret = splits;
	return 0;
}

static void index_destroy(struct dwarf_index *index)
{
	if (!index)
		return;
	dwarf_index_deinit(index);
	free(index);
}

void dwarf_splits_forget(struct dwarf_splits *splits)
{
	if (!splits)
		return;
	for (size_t i = 0; i < splits->units.count; i++) {
		struct dwarf_split_unit *unit = &splits->units.items[i];

		if (!unit->index && unit->state != DWARF_SPLIT_NO_ROOM)
			continue;
		splits->absent -= unit->state == DWARF_SPLIT_NO_ROOM;
		index_destroy(unit->index);
		*unit = (struct dwarf_split_unit){0};
	}
	splits->memory = 0;
	splits->loaded = splits->package ? dwarf_index_memory(splits->package) : 0;
}

bool dwarf_splits_full(const struct dwarf_splits *splits)
{
	return splits && splits->memory > splits->memory_max / 2;
}

void dwarf_splits_destroy(struct dwarf_splits *splits)
{
	if (!splits)
		return;
	dwarf_splits_forget(splits);
	if (splits->package)
		close(splits->package->file->fd);
	index_destroy(splits->package);
	hashmap_deinit(&splits->ids);
	vec_free(&splits->units);
	free(splits);
}

void dwarf_splits_trim(struct dwarf_splits *splits)
{
	if (!splits)
		return;
	splits->loaded = 0;
	if (splits->package)
		dwarf_index_trim(splits->package);
	for (size_t i = 0; i < splits->units.count; i++) {
		if (splits->units.items[i].index)
			dwarf_index_trim(splits->units.items[i].index);
	}
}

size_t dwarf_splits_memory(const struct dwarf_splits *splits)
{
	return splits ? splits->memory + splits->loaded : 0;
}

/* An index of a file with split units. `fd`: to be read from as long as it lives. */
static int open_split(const struct dwarf_index *program, int fd, bool package, struct error *error,
		      struct dwarf_index **ret)
{
	struct dwarf_index *index = malloc(sizeof(*index));
	struct dwarf_file *file = malloc(sizeof(*file));
	struct dwarf_package parts = {0};
	int r = index && file ? dwarf_file_init(file, fd, DWARF_SPLIT, error)
			      : error_set(error, -ENOMEM, "out of memory for debug information");

	if (r < 0) {
		free(index);
		free(file);
		return r;
	}
	file->program = program->file;
	if (package)
		r = dwarf_package_init(&parts, file, error);
	if (r < 0) {
		dwarf_file_deinit(file);
		free(file);
	} else {
		r = dwarf_index_init_split(index, file, package ? &parts : NULL, program, error);
	}
	dwarf_package_deinit(&parts);
	if (r < 0) {
		free(index);
		return r;
	}
	*ret = index;
	return 0;
}

/* The program's skeletons find their halves in the package. */
static int join_package(struct dwarf_index *index, struct dwarf_index *package)
{
	struct dwarf_splits *splits = index->splits;

	for (size_t i = 0; i < package->units.count; i++) {
		if (package->units.items[i].is_split &&
		    hashmap_put(&splits->ids, package->units.items[i].split_id, i) < 0)
			return -ENOMEM;
	}
	for (size_t i = 0; i < index->units.count; i++) {
		const struct dwarf_unit *skeleton = &index->units.items[i];
		uint64_t *at =
			skeleton->is_split ? hashmap_get(&splits->ids, skeleton->split_id) : NULL;

		if (!at || splits->units.items[i].state == DWARF_SPLIT_THERE)
			continue;
		dwarf_unit_join(&package->units.items[*at], skeleton);
		splits->units.items[i] = (struct dwarf_split_unit){.unit = (uint32_t)*at,
								   .state = DWARF_SPLIT_THERE};
	}
	return 0;
}

int dwarf_splits_add_package(struct dwarf_index *index, int fd, struct error *error)
{
	struct dwarf_splits *splits = index->splits;
	struct dwarf_index *package;
	int r;

	if (!splits || splits->package)
		return error_set(error, -EINVAL, "a package that nobody asked for");
	splits->package_asked = true;
	r = open_split(index, fd, true, error, &package);
	if (r < 0)
		return r;
	splits->package = package;
	r = join_package(index, package);
	if (!r)
		return 0;
	for (size_t i = 0; i < splits->units.count; i++) {
		if (!splits->units.items[i].index)
			splits->units.items[i] = (struct dwarf_split_unit){0};
	}
	splits->package = NULL;
	index_destroy(package);
	return error_set(error, r, "out of memory for a package of debug information");
}

/* Its unit with that id. */
static int join_unit(struct dwarf_index *split, const struct dwarf_unit *skeleton,
		     uint32_t *ret_number)
{
	for (size_t i = 0; i < split->units.count; i++) {
		struct dwarf_unit *unit = &split->units.items[i];

		if (!unit->is_split || unit->split_id != skeleton->split_id)
			continue;
		dwarf_unit_join(unit, skeleton);
		*ret_number = (uint32_t)i;
		return 0;
	}
	return -EBADMSG;
}

/* All it takes to answer from it without its file. */
static int keep_unit(struct dwarf_splits *splits, struct dwarf_index *split, struct error *error)
{
	uint64_t left = splits->memory_max - splits->memory;
	uint64_t max = left < DWARF_SPLIT_FILE_MAX ? left : DWARF_SPLIT_FILE_MAX;
	int r = dwarf_file_keep(split->file, max, error);

	if (!r)
		splits->memory += dwarf_file_memory(split->file);
	return r;
}

int dwarf_splits_add_unit(struct dwarf_index *index, uint32_t number, int fd, struct error *error)
{
	struct dwarf_splits *splits = index->splits;
	struct dwarf_index *split;
	uint32_t at = 0;
	int r;

	if (!splits || number >= splits->units.count || !index->units.items[number].is_split ||
	    splits->units.items[number].state == DWARF_SPLIT_THERE)
		return error_set(error, -EINVAL, "a file that nobody asked for");
	dwarf_splits_absent(index, number);
	r = open_split(index, fd, false, error, &split);
	if (r < 0)
		return r;
	r = join_unit(split, &index->units.items[number], &at);
	if (r < 0)
		error_set(error, r,
			  "section .debug_info.dwo, offset 0: of another build: no unit has the id "
			  "%#" PRIx64,
			  index->units.items[number].split_id);
	else
		r = keep_unit(splits, split, error);
	if (r < 0) {
		if (r == -ENOMEM || r == -E2BIG)
			splits->units.items[number].state = DWARF_SPLIT_NO_ROOM;
		index_destroy(split);
		return r;
	}
	splits->units.items[number] =
		(struct dwarf_split_unit){.index = split, .unit = at, .state = DWARF_SPLIT_THERE};
	splits->absent--;
	return 0;
}

void dwarf_splits_absent(struct dwarf_index *index, uint32_t number)
{
	struct dwarf_splits *splits = index->splits;

	if (!splits || number >= splits->units.count ||
	    splits->units.items[number].state != DWARF_SPLIT_UNASKED)
		return;
	splits->units.items[number].state = DWARF_SPLIT_ABSENT;
	splits->absent++;
}

bool dwarf_splits_wants(struct dwarf_index *index, uint32_t number)
{
	return index->splits && index->units.items[number].is_split &&
	       index->units.items[number].split_name.offset != DWARF_NOWHERE &&
	       index->splits->units.items[number].state == DWARF_SPLIT_UNASKED;
}

void dwarf_splits_follow(struct dwarf_index **index, uint32_t *number)
{
	const struct dwarf_splits *splits = (*index)->splits;
	const struct dwarf_split_unit *unit = splits ? &splits->units.items[*number] : NULL;

	if (!unit || unit->state != DWARF_SPLIT_THERE)
		return;
	*index = unit->index ? unit->index : splits->package;
	*number = unit->unit;
}
