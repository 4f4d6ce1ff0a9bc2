/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_coverage.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/base/cleanup.h"
#include "symbolizer/dwarf_aranges.h"
#include "symbolizer/dwarf_index.h"

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
	if (r == -EBADMSG)
		dwarf_file_blame(index->file, dwarf_ranges_section(unit), unit->ranges,
				 "a list of ranges that is damaged or cut off");
	return r == -EBADMSG ? 0 : r;
}

static int compare(const void *left, const void *right)
{
	const struct dwarf_unit_range *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return (a->unit > b->unit) - (a->unit < b->unit);
}

static void arrange(struct dwarf_index *index)
{
	uint64_t reach = 0;

	if (!index->ranges.count)
		return;
	qsort(index->ranges.items, index->ranges.count, sizeof(*index->ranges.items), compare);
	for (size_t i = 0; i < index->ranges.count; i++) {
		if (index->ranges.items[i].end > reach)
			reach = index->ranges.items[i].end;
		index->ranges.items[i].reach = reach;
	}
}

/* ---- units that do not say ---- */

struct telling {
	struct dwarf_index *index;
	bool *told; /* of each unit: it is in there */
};

static int add_arange(void *context, uint64_t offset, uint64_t start, uint64_t end)
{
	const struct telling *telling = context;
	const struct dwarf_unit *unit = dwarf_units_with(&telling->index->units, offset);
	struct ranging ranging;

	if (!unit || unit->has_ranges)
		return 0;
	ranging = (struct ranging){telling->index, (uint32_t)(unit - telling->index->units.items)};
	telling->told[ranging.unit] = true;
	return add_range(&ranging, start, end);
}

static int add_silent(struct dwarf_index *index)
{
	_cleanup_free_ bool *told = calloc(index->units.count, sizeof(*told));
	struct telling telling = {index, told};
	struct error error = {0};
	int r;

	if (!told)
		return -ENOMEM;
	r = dwarf_aranges_walk(index->file, add_arange, &telling, &error);
	if (r == -EBADMSG) {
		damage_note(&index->file->damage, "%s", error.text);
		r = 0;
	}
	for (size_t i = 0; i < index->units.count && !r; i++) {
		const struct dwarf_unit *unit = &index->units.items[i];

		if (!unit->has_ranges && !unit->is_partial && !told[i])
			r = vec_push(&index->silent, (uint32_t)i);
	}
	return r;
}

int dwarf_coverage_init(struct dwarf_index *index)
{
	bool silent = false;
	int r = 0;

	for (size_t i = 0; i < index->units.count && !r; i++) {
		if (index->units.items[i].has_ranges)
			r = add_ranges(index, (uint32_t)i);
		else
			silent |= !index->units.items[i].is_partial;
	}
	if (!r && silent)
		r = add_silent(index);
	if (!r)
		arrange(index);
	return r;
}

/* Whether any of its functions can have code: of a unit with types only, or with
 * what others inline (LTO), this is seen by its abbreviations. */
static bool may_have_code(const struct dwarf_abbrevs *abbrevs)
{
	for (size_t i = 0; i < abbrevs->items.count; i++) {
		const struct dwarf_abbrev *abbrev = &abbrevs->items.items[i];

		if (abbrev->kind != DWARF_TAG_FUNCTION)
			continue;
		for (unsigned j = 0; j < abbrev->attributes; j++) {
			unsigned name = abbrevs->attributes.items[abbrev->first_attribute + j].name;

			if (name == DW_AT_low_pc || name == DW_AT_ranges)
				return true;
		}
	}
	return false;
}

static int add_spans(struct ranging *ranging, const struct dwarf_functions *functions)
{
	int r = 0;

	for (size_t i = 0; i + 1 < functions->spans.count && !r; i++) {
		if (functions->spans.items[i].function != DWARF_NONE)
			r = add_range(ranging, functions->base + functions->spans.items[i].at,
				      functions->base + functions->spans.items[i + 1].at);
	}
	return r;
}

static int add_rows(struct ranging *ranging, const struct dwarf_lines *lines)
{
	int r = 0;

	for (size_t i = 0; i + 1 < lines->rows.count && !r; i++) {
		size_t first = i;

		if (lines->rows.items[i].file == DWARF_NONE)
			continue;
		while (i + 1 < lines->rows.count && lines->rows.items[i].file != DWARF_NONE)
			i++;
		r = add_range(ranging, lines->base + lines->rows.items[first].at,
			      lines->base + lines->rows.items[i].at);
	}
	return r;
}

static int look_into(struct dwarf_index *index, uint32_t number)
{
	const struct dwarf_unit *unit = &index->units.items[number];
	const struct dwarf_abbrevs *abbrevs = dwarf_index_abbrevs(index, unit);
	struct ranging ranging = {index, number};

	if (abbrevs && may_have_code(abbrevs))
		return add_spans(&ranging, dwarf_index_functions(index, number));
	if (unit->language == DW_LANG_Mips_Assembler)
		return add_rows(&ranging, dwarf_index_lines(index, number));
	return 0;
}

int dwarf_coverage_complete(struct dwarf_index *index)
{
	size_t before = index->ranges.count;

	if (!index->silent.count)
		return 0;
	for (size_t i = 0; i < index->silent.count; i++) {
		if (dwarf_index_memory(index) > index->memory_max)
			dwarf_index_trim(index);
		/* What there is no room for stays unknown. */
		if (look_into(index, index->silent.items[i]) < 0)
			break;
	}
	vec_free(&index->silent);
	if (index->ranges.count == before)
		return 0;
	arrange(index);
	return 1;
}
