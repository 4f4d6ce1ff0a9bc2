/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_name.h"

#include <dwarf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ENTRY_FIRST 256u /* bytes that are read of an entry at first */
#define PATH_LENGTH_MAX (3 * (DWARF_STRING_MAX + 1))

struct described { /* what one entry says */
	struct dwarf_string linkage, name;
	uint64_t next; /* the entry it refers to; DWARF_NOWHERE: none */
	bool next_alternate;
};

static struct dwarf_index *side(struct dwarf_index *index, bool alternate)
{
	return alternate ? index->alternate : index;
}

static void take(struct described *described, unsigned name, const struct dwarf_value *value)
{
	switch (name) {
	case DW_AT_linkage_name:
	case DW_AT_MIPS_linkage_name:
		if (value->class == DWARF_CLASS_STRING)
			described->linkage = value->string;
		break;
	case DW_AT_name:
		if (value->class == DWARF_CLASS_STRING)
			described->name = value->string;
		break;
	case DW_AT_abstract_origin:
	case DW_AT_specification:
		if (value->class == DWARF_CLASS_ENTRY || value->class == DWARF_CLASS_ALTERNATE) {
			described->next = value->number;
			described->next_alternate = value->class == DWARF_CLASS_ALTERNATE;
		}
		break;
	default:
		break;
	}
}

/* False if the bytes are too few for the entry. */
static bool read_entry(struct dwarf_entries *entries, const struct dwarf_abbrevs *abbrevs,
		       struct described *ret)
{
	const struct dwarf_abbrev *abbrev;
	struct dwarf_value value;

	*ret = (struct described){.linkage.offset = DWARF_NOWHERE,
				  .name.offset = DWARF_NOWHERE,
				  .next = DWARF_NOWHERE};
	abbrev = dwarf_abbrevs_find(abbrevs, cursor_uleb(&entries->cursor));
	for (unsigned i = 0; abbrev && i < abbrev->attributes; i++) {
		const struct dwarf_attribute *attribute =
			&abbrevs->attributes.items[abbrev->first_attribute + i];

		dwarf_value_read(entries, attribute, &value);
		if (entries->cursor.bad)
			return false;
		take(ret, attribute->name, &value);
	}
	return true;
}

static bool describe(struct dwarf_index *index, uint64_t place, struct described *ret)
{
	static const uint32_t sizes[] = {ENTRY_FIRST, DWARF_WINDOW_MAX};
	const struct dwarf_unit *unit = dwarf_units_at(&index->units, place);
	const struct dwarf_abbrevs *abbrevs = unit ? dwarf_index_abbrevs(index, unit) : NULL;

	for (unsigned i = 0; abbrevs && i < 2; i++) {
		struct dwarf_entries entries = {
			.file = index->file, .unit = unit, .begin_at = place};
		uint64_t left = unit->end - place;
		uint32_t want = left < sizes[i] ? (uint32_t)left : sizes[i], got = 0;

		entries.begin = dwarf_file_peek(index->file, DWARF_INFO, place, want, &got);
		if (!entries.begin)
			return false;
		entries.cursor = cursor_of(entries.begin, got < left ? got : left);
		if (read_entry(&entries, abbrevs, ret))
			return true;
	}
	return false;
}

static const char *text_of(struct dwarf_index *index, const struct dwarf_string *string,
			   size_t *ret_length)
{
	struct dwarf_index *owner = side(index, string->alternate);
	const char *text;

	if (!owner || string->offset == DWARF_NOWHERE)
		return NULL;
	text = dwarf_file_string(owner->file, string->section, string->offset, ret_length);
	if (!text)
		dwarf_file_blame(owner->file, string->section, string->offset,
				 "no text, where a name or a path should be");
	return text;
}

static uint32_t intern(struct dwarf_index *index, struct dwarf_index *owner,
		       const struct dwarf_string *string)
{
	size_t length = 0;
	const char *text = text_of(owner, string, &length);

	return text ? strtab_add(&index->strings, text, length) : 0;
}

uint32_t dwarf_name_of(struct dwarf_index *index, uint64_t place, bool alternate)
{
	uint64_t key = place | (alternate ? 1ULL << 63 : 0);
	uint64_t *known = hashmap_get(&index->names, key);
	struct dwarf_index *owner = side(index, alternate);
	struct described described;
	uint32_t name = 0, plain = 0;

	if (known)
		return (uint32_t)*known;
	for (unsigned i = 0; i < DWARF_HOPS_MAX && owner && place != DWARF_NOWHERE && !name; i++) {
		if (!describe(owner, place, &described))
			break;
		name = intern(index, owner, &described.linkage);
		if (!name && !plain)
			plain = intern(index, owner, &described.name);
		place = described.next;
		if (described.next_alternate)
			owner = side(owner, true);
	}
	name = name ? name : plain;
	if (name != UINT32_MAX && hashmap_put(&index->names, key, name) < 0)
		return UINT32_MAX;
	return name;
}

/* Appends the text to a path, which begins anew if the text does at the root. */
static void join(struct dwarf_index *index, const struct dwarf_string *string,
		 char path[PATH_LENGTH_MAX], size_t *at)
{
	size_t length = 0;
	const char *text = text_of(index, string, &length);

	if (!text || !length)
		return;
	if (text[0] == '/')
		*at = 0;
	else if (*at && path[*at - 1] != '/' && *at < PATH_LENGTH_MAX)
		path[(*at)++] = '/';
	if (length > PATH_LENGTH_MAX - *at)
		length = PATH_LENGTH_MAX - *at;
	memcpy(path + *at, text, length);
	*at += length;
}

uint32_t dwarf_path_of(struct dwarf_index *index, const struct dwarf_unit *unit,
		       const struct dwarf_lines *lines, const struct dwarf_source *source)
{
	char path[PATH_LENGTH_MAX];
	size_t at = 0;

	/* From version 5 on number 0 is the unit's folder, once more: where that is a
	 * relative one ("./csu" of Debian's libc) it must not stand there twice. */
	if (source->folder || !lines->from_zero)
		join(index, &unit->folder, path, &at);
	if (source->folder < lines->folders.count && (source->folder || lines->from_zero))
		join(index, &lines->folders.items[source->folder], path, &at);
	join(index, &source->name, path, &at);
	return strtab_add(&index->strings, path, at);
}
