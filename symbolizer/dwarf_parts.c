/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/wire.h"

#define UNITS_AT_MAX 16u /* that may hold one address */

bool dwarf_parts_any(const struct dwarf_parts *parts, const struct dwarf_index *index)
{
	return index && (parts->supplement.id_size || index->splits);
}

static void want(struct dwarf_wants *wants, const struct symbolizer_part *part)
{
	wants->numbers[wants->count++] = part->number;
	wire_put_part(&wants->records, part);
}

void dwarf_parts_wanted(const struct dwarf_parts *parts, struct dwarf_index *index,
			const uint8_t *build_id, size_t build_id_size, struct dwarf_wants *wants)
{
	const struct dwarf_supplement *supplement = &parts->supplement;
	struct symbolizer_part part = {.name = "", .folder = ""};

	if (index && supplement->id_size && !parts->supplement_asked) {
		part.number = DWARF_PARTS_SUPPLEMENT;
		part.kind = SYMBOLIZER_PART_SUPPLEMENT;
		part.name = supplement->path;
		if (!supplement->is_checksum && supplement->id_size <= sizeof(part.build_id)) {
			part.build_id_size = supplement->id_size;
			memcpy(part.build_id, supplement->id, supplement->id_size);
		}
		want(wants, &part);
	}
	if (index && index->splits && !index->splits->package_asked) {
		part = (struct symbolizer_part){.number = DWARF_PARTS_PACKAGE,
						.kind = SYMBOLIZER_PART_PACKAGE,
						.build_id_size = (uint8_t)build_id_size,
						.name = "",
						.folder = ""};
		memcpy(part.build_id, build_id, build_id_size);
		want(wants, &part);
	}
}

/* Texts of a unit's, to be freed; "" where it has none. */
static char *text_of(struct dwarf_index *index, const struct dwarf_string *string)
{
	size_t length = 0;
	const char *text =
		string->offset == DWARF_NOWHERE
			? NULL
			: dwarf_file_string(index->file, (enum dwarf_section_id)string->section,
					    string->offset, &length);

	return text ? strndup(text, length) : strdup("");
}

static void want_unit(struct dwarf_index *index, uint32_t number, struct dwarf_wants *wants)
{
	const struct dwarf_unit *unit = &index->units.items[number];
	char *name = text_of(index, &unit->split_name), *folder = text_of(index, &unit->folder);
	struct symbolizer_part part = {
		.number = number, .kind = SYMBOLIZER_PART_UNIT, .name = name, .folder = folder};

	if (name && folder && name[0] && strlen(name) <= SYMBOLIZER_PART_PATH_MAX &&
	    strlen(folder) <= SYMBOLIZER_PART_PATH_MAX)
		want(wants, &part);
	else
		dwarf_splits_absent(index, number);
	free(name);
	free(folder);
}

static bool is_wanted(const struct dwarf_wants *wants, uint32_t number)
{
	for (uint32_t i = 0; i < wants->count; i++) {
		if (wants->numbers[i] == number)
			return true;
	}
	return false;
}

bool dwarf_parts_wanted_at(struct dwarf_index *index, uint64_t address, struct dwarf_wants *wants)
{
	uint32_t units[UNITS_AT_MAX], count;

	/* First it must be known what the package has. */
	if (!index || !index->splits || !index->splits->package_asked)
		return true;
	count = dwarf_index_units_at(index, address, units, UNITS_AT_MAX);
	for (uint32_t i = 0; i < count; i++) {
		if (!dwarf_splits_wants(index, units[i]) || is_wanted(wants, units[i]))
			continue;
		if (wants->count == DWARF_PARTS_WANTED_MAX)
			return false;
		want_unit(index, units[i], wants);
	}
	return true;
}

static int add_supplement(struct dwarf_parts *parts, struct dwarf_index *index, int fd,
			  struct error *error)
{
	struct dwarf_index *alternate;
	struct dwarf_file *file;
	int r = dwarf_supplement_check(&parts->supplement, fd, error);

	if (r < 0)
		return r;
	if (index->alternate)
		return error_set(error, -EINVAL, "a file that nobody asked for");
	alternate = malloc(sizeof(*alternate));
	file = malloc(sizeof(*file));
	if (!alternate || !file)
		r = error_set(error, -ENOMEM, "out of memory for debug information");
	if (!r)
		r = dwarf_file_init(file, fd, DWARF_SHARED, error);
	if (r < 0) {
		free(file);
	} else {
		r = dwarf_index_init(alternate, file, &index->bounds, index->memory_max, error);
	}
	if (r < 0) {
		free(alternate);
		return r;
	}
	index->alternate = alternate;
	return 1;
}

/* It is not to be had. */
static void absent(struct dwarf_parts *parts, struct dwarf_index *index, uint32_t number)
{
	if (number == DWARF_PARTS_SUPPLEMENT)
		parts->supplement_asked = true;
	else if (number == DWARF_PARTS_PACKAGE && index && index->splits)
		index->splits->package_asked = true;
	else if (index)
		dwarf_splits_absent(index, number);
}

int dwarf_parts_add(struct dwarf_parts *parts, struct dwarf_index *index, uint32_t number, int fd,
		    struct error *error)
{
	int r;

	if (fd < 0) {
		absent(parts, index, number);
		return 0;
	}
	if (!index)
		return error_set(error, -EINVAL, "a file that nobody asked for");
	if (number == DWARF_PARTS_SUPPLEMENT) {
		parts->supplement_asked = true;
		return add_supplement(parts, index, fd, error);
	}
	if (number != DWARF_PARTS_PACKAGE)
		return dwarf_splits_add_unit(index, number, fd, error);
	r = dwarf_splits_add_package(index, fd, error);
	return r < 0 ? r : 1;
}
