/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_functions.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct piece { /* a range of a function */
	uint64_t start, end;
	uint32_t function;
};

struct level { /* what the children of an entry are in */
	uint32_t function; /* with code; DWARF_NONE */
	bool inside; /* of any function, with code or without */
	bool beside; /* of all that is asked for: it has code, and none of them in it */
	struct dwarf_asked_part asked; /* those in its code */
};

struct walk {
	struct dwarf_entries entries;
	const struct dwarf_abbrevs *abbrevs;
	const struct dwarf_bounds *bounds;
	const struct dwarf_asked *asked; /* NULL: all addresses */
	struct dwarf_functions *out;
	struct dwarf_asked_part around, found; /* of an entry: where to look, and what is in it */
	bool code; /* it has any */
	VEC(struct piece) pieces;
	VEC(struct level) open; /* entries whose children are being read */
};

struct entry { /* what is read of a function's */
	uint64_t low, high, ranges, sibling;
	bool has_low, high_is_size, has_list, declaration;
	struct dwarf_value origin;
	uint32_t call_line, call_file;
};

static uint32_t small(uint64_t value)
{
	return value < UINT32_MAX ? (uint32_t)value : 0;
}

static void take(struct entry *entry, unsigned name, const struct dwarf_value *value)
{
	switch (name) {
	case DW_AT_low_pc:
		entry->low = value->number;
		entry->has_low = value->class == DWARF_CLASS_ADDRESS;
		break;
	case DW_AT_high_pc:
		entry->high = value->number;
		entry->high_is_size = value->class == DWARF_CLASS_CONSTANT;
		break;
	case DW_AT_ranges:
		entry->ranges = value->number;
		entry->has_list = value->class == DWARF_CLASS_LIST;
		break;
	case DW_AT_abstract_origin:
		entry->origin = *value;
		break;
	case DW_AT_sibling:
		if (value->class == DWARF_CLASS_ENTRY)
			entry->sibling = value->number;
		break;
	case DW_AT_declaration:
		entry->declaration = true;
		break;
	case DW_AT_call_line:
		entry->call_line = small(value->number);
		break;
	case DW_AT_call_file:
		entry->call_file = small(value->number);
		break;
	default:
		break;
	}
}

/* The forms that nearly all of these have, without a call for each; others, and those
 * for which there are too few bytes, as all attributes are read. */
static void read_value(struct dwarf_entries *entries, const struct dwarf_attribute *attribute,
		       struct dwarf_value *ret)
{
	struct dwarf_cursor *cursor = &entries->cursor;

	*ret = (struct dwarf_value){.class = DWARF_CLASS_CONSTANT};
	if (cursor_left(cursor) < sizeof(uint64_t) || attribute->step > DWARF_STEP_FIXED_MAX) {
		dwarf_value_read(entries, attribute, ret);
		return;
	}
	switch (attribute->form) {
	case DW_FORM_ref4:
		ret->class = DWARF_CLASS_ENTRY;
		ret->number = entries->unit->offset + cursor_u32(cursor);
		break;
	case DW_FORM_data1:
		ret->number = cursor_u8(cursor);
		break;
	case DW_FORM_data2:
		ret->number = cursor_u16(cursor);
		break;
	case DW_FORM_flag_present:
		ret->number = 1;
		break;
	case DW_FORM_implicit_const:
		ret->number = (uint64_t)(int64_t)attribute->constant;
		break;
	default:
		dwarf_value_read(entries, attribute, ret);
	}
}

static void read_entry(struct walk *walk, const struct dwarf_abbrev *abbrev, struct entry *ret)
{
	struct dwarf_cursor *cursor = &walk->entries.cursor;
	struct dwarf_value value;

	*ret = (struct entry){.ranges = DWARF_NOWHERE};
	for (unsigned i = 0; i < abbrev->attributes; i++) {
		const struct dwarf_attribute *attribute =
			&walk->abbrevs->attributes.items[abbrev->first_attribute + i];

		if (attribute->of_code) {
			read_value(&walk->entries, attribute, &value);
			take(ret, attribute->name, &value);
		} else if (attribute->step <= DWARF_STEP_FIXED_MAX) {
			cursor_skip(cursor, attribute->step);
		} else {
			dwarf_step_take(cursor, attribute->step, &walk->entries.unit->encoding);
		}
	}
}

/* Is one of those who are asked for in the piece? Its function has them too. */
static bool is_asked(struct walk *walk, uint64_t start, uint64_t end)
{
	struct dwarf_asked_part in = dwarf_asked_in(walk->asked, walk->around, start, end);

	if (in.first == in.end)
		return false;
	if (walk->found.first == walk->found.end)
		walk->found = in;
	if (in.first < walk->found.first)
		walk->found.first = in.first;
	if (in.end > walk->found.end)
		walk->found.end = in.end;
	return true;
}

/* What the linker threw away is at 0, or at the end of all addresses. */
static int add_piece(void *context, uint64_t start, uint64_t end)
{
	struct walk *walk = context;
	struct piece piece = {start, end, (uint32_t)walk->out->list.count};

	if (!start || end <= start || start < walk->bounds->start || end > walk->bounds->end)
		return 0;
	walk->code = true;
	if (walk->asked && !is_asked(walk, start, end))
		return 0;
	if (walk->pieces.count >= DWARF_FUNCTIONS_MAX)
		return -E2BIG;
	return vec_push(&walk->pieces, piece);
}

/* The pieces of the function that comes next. */
static int add_pieces(struct walk *walk, const struct entry *entry)
{
	const struct dwarf_unit *unit = walk->entries.unit;
	uint64_t offset = entry->ranges;
	int r;

	if (entry->has_low && entry->high)
		return add_piece(walk, entry->low,
				 entry->high_is_size ? entry->low + entry->high : entry->high);
	if (offset == DWARF_NOWHERE)
		return 0;
	if (entry->has_list)
		offset = dwarf_ranges_offset(walk->entries.file, unit, offset);
	else
		offset += unit->list_shift;
	r = dwarf_ranges_walk(walk->entries.file, unit, offset, add_piece, walk);
	if (r == -EBADMSG)
		dwarf_file_blame(walk->entries.file, dwarf_ranges_section(unit), offset,
				 "a list of ranges that is damaged or cut off");
	return r == -EBADMSG ? 0 : r;
}

/* *ret: the function that entries below this one are in. */
static int add_function(struct walk *walk, const struct entry *entry, uint64_t place, bool inlined,
			uint32_t around, uint32_t *ret)
{
	struct dwarf_function function = {
		.entry = (uint32_t)place,
		.parent = inlined ? around : DWARF_NONE,
		.call_line = entry->call_line,
		.call_file = entry->call_file,
		.inlined = inlined,
	};
	size_t before = walk->pieces.count;
	int r = add_pieces(walk, entry);

	if (r < 0)
		return r;
	if (walk->pieces.count == before) {
		*ret = inlined ? around : DWARF_NONE;
		return 0;
	}
	/* A function's own entry may say more than its origin: which constructor. */
	if (inlined &&
	    (entry->origin.class == DWARF_CLASS_ENTRY ||
	     entry->origin.class == DWARF_CLASS_ALTERNATE) &&
	    entry->origin.number <= UINT32_MAX) {
		function.entry = (uint32_t)entry->origin.number;
		function.alternate = entry->origin.class == DWARF_CLASS_ALTERNATE;
	}
	*ret = (uint32_t)walk->out->list.count;
	return vec_push(&walk->out->list, function);
}

/* Goes to a place further on in the unit; false if it is none. */
static bool jump(struct walk *walk, uint64_t place)
{
	uint64_t now = dwarf_entries_place(&walk->entries);

	if (place < now || place - now > cursor_left(&walk->entries.cursor))
		return false;
	walk->entries.cursor.at += place - now;
	return true;
}

static int open_children(struct walk *walk, const struct level *level)
{
	if (walk->open.count >= DWARF_DEPTH_MAX) {
		cursor_fail(&walk->entries.cursor);
		return 0;
	}
	return vec_push(&walk->open, *level);
}

/* What entries below a function are in. */
static struct level level_of(const struct walk *walk, const struct level *around, bool inlined)
{
	struct level level = {.inside = true};

	if (walk->code) {
		level.asked = walk->found;
		level.beside = walk->asked && walk->found.first == walk->found.end;
	} else if (inlined) {
		level.asked = around->asked;
		level.beside = around->beside;
	}
	return level;
}

/* A function, inlined or not. */
static int visit_function(struct walk *walk, const struct dwarf_abbrev *abbrev, uint64_t place,
			  const struct level *around)
{
	bool inlined = abbrev->kind == DWARF_TAG_INLINED;
	uint32_t function = around->function;
	struct level level;
	struct entry entry;
	int r;

	/* An inlined one lies in the code of what it is inlined into. */
	walk->around = (struct dwarf_asked_part){.end = walk->asked ? walk->asked->count : 0};
	if (inlined && function != DWARF_NONE)
		walk->around = around->asked;
	walk->found = (struct dwarf_asked_part){0};
	walk->code = false;
	read_entry(walk, abbrev, &entry);
	if (walk->entries.cursor.bad)
		return 0;
	r = add_function(walk, &entry, place, inlined, around->function, &function);
	if (r < 0 || !abbrev->children)
		return r;
	level = level_of(walk, around, inlined);
	level.function = function;
	/* Below a function without code there may be lambdas with it, and below one that
	 * is not asked for others that are; but nothing of that below an inlined one. */
	if ((entry.declaration || (inlined && level.beside)) && entry.sibling &&
	    jump(walk, entry.sibling))
		return 0;
	return open_children(walk, &level);
}

/* Everything else, and inlined functions in code that is not asked for. */
static int visit_other(struct walk *walk, const struct dwarf_abbrev *abbrev,
		       const struct level *around)
{
	uint64_t sibling = dwarf_abbrev_skip(walk->abbrevs, abbrev, &walk->entries.cursor,
					     &walk->entries.unit->encoding);
	bool closed = abbrev->kind == DWARF_TAG_CLOSED || abbrev->kind == DWARF_TAG_INLINED ||
		      (abbrev->kind == DWARF_TAG_TYPE && !around->inside);

	if (!abbrev->children ||
	    (sibling && closed && jump(walk, walk->entries.unit->offset + sibling)))
		return 0;
	return open_children(walk, around);
}

static int visit(struct walk *walk, const struct dwarf_abbrev *abbrev, uint64_t place,
		 const struct level *around)
{
	if (abbrev->kind == DWARF_TAG_FUNCTION ||
	    (abbrev->kind == DWARF_TAG_INLINED && !around->beside))
		return visit_function(walk, abbrev, place, around);
	return visit_other(walk, abbrev, around);
}

static int walk_entries(struct walk *walk)
{
	struct dwarf_cursor *cursor = &walk->entries.cursor;
	struct level outermost = {.function = DWARF_NONE}, around = outermost;
	uint64_t place = 0;
	int r = 0;

	while (cursor_left(cursor) && !r) {
		uint64_t code;
		const struct dwarf_abbrev *abbrev;

		place = dwarf_entries_place(&walk->entries);
		code = cursor_uleb(cursor);
		if (!code) {
			if (!walk->open.count)
				break;
			walk->open.count--;
			continue;
		}
		abbrev = dwarf_abbrevs_find(walk->abbrevs, code);
		if (!abbrev) {
			cursor_fail(cursor);
			break;
		}
		around = outermost;
		if (walk->open.count)
			around = walk->open.items[walk->open.count - 1];
		r = visit(walk, abbrev, place, &around);
	}
	if (cursor->bad)
		dwarf_file_blame(walk->entries.file, DWARF_INFO, place,
				 "an entry that is cut off, too deep or of no known abbreviation");
	return r;
}

/* Outer ones first: an inlined function comes after the one it is in. */
static int compare(const void *left, const void *right)
{
	const struct piece *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->end != b->end)
		return a->end > b->end ? -1 : 1;
	return (a->function > b->function) - (a->function < b->function);
}

/* ---- sorting pieces ---- */

#define RADIX_BITS 11u
#define RADIX_PASSES 3u /* of all 32 bits of an offset */
#define RADIX_FEW 512u /* pieces that are sorted by comparing them */
#define GROUP_FEW 16u /* pieces with one start that are put in order one by one */

static uint32_t digit_of(const struct piece *piece, uint64_t base, unsigned pass)
{
	return (uint32_t)((piece->start - base) >> (pass * RADIX_BITS)) & ((1u << RADIX_BITS) - 1);
}

/* By start alone, stable: one pass for each digit. The result is in `pieces` again. */
static void sort_starts(struct piece *pieces, struct piece *other, size_t count, uint64_t base)
{
	for (unsigned pass = 0; pass < RADIX_PASSES; pass++) {
		uint32_t places[1u << RADIX_BITS] = {0}, sum = 0;

		for (size_t i = 0; i < count; i++)
			places[digit_of(&pieces[i], base, pass)]++;
		for (unsigned i = 0; i < 1u << RADIX_BITS; i++) {
			uint32_t here = places[i];

			places[i] = sum;
			sum += here;
		}
		for (size_t i = 0; i < count; i++)
			other[places[digit_of(&pieces[i], base, pass)]++] = pieces[i];
		memcpy(pieces, other, count * sizeof(*pieces));
	}
}

/* Pieces with one start, among themselves. */
static void sort_group(struct piece *pieces, size_t count)
{
	if (count > GROUP_FEW) {
		qsort(pieces, count, sizeof(*pieces), compare);
		return;
	}
	for (size_t i = 1; i < count; i++) {
		struct piece piece = pieces[i];
		size_t at = i;

		for (; at && compare(&pieces[at - 1], &piece) > 0; at--)
			pieces[at] = pieces[at - 1];
		pieces[at] = piece;
	}
}

/* A large unit has a hundred thousand of them, which is most of what reading it costs if
 * they are compared with each other. */
static void sort_pieces(struct piece *pieces, size_t count)
{
	uint64_t low = UINT64_MAX, high = 0;
	struct piece *other;

	for (size_t i = 0; i < count; i++) {
		low = pieces[i].start < low ? pieces[i].start : low;
		high = pieces[i].start > high ? pieces[i].start : high;
	}
	other = count > RADIX_FEW && count < UINT32_MAX && high - low <= UINT32_MAX
			? malloc(count * sizeof(*other))
			: NULL;
	if (!other) {
		qsort(pieces, count, sizeof(*pieces), compare);
		return;
	}
	sort_starts(pieces, other, count, low);
	free(other);
	for (size_t i = 0, end; i < count; i = end) {
		for (end = i + 1; end < count && pieces[end].start == pieces[i].start;)
			end++;
		if (end - i > 1)
			sort_group(pieces + i, end - i);
	}
}

static int emit(struct dwarf_functions *out, uint64_t at, uint32_t function)
{
	struct dwarf_span span = {(uint32_t)(at - out->base), function};
	struct dwarf_span *last = out->spans.count ? &out->spans.items[out->spans.count - 1] : NULL;

	if (last && last->at == span.at) {
		last->function = function;
		return 0;
	}
	if (last && last->function == function)
		return 0;
	return vec_push(&out->spans, span);
}

/* Ends what is open and ends before `until`; what is around it goes on. */
static int close_until(struct walk *walk, const uint32_t *open, size_t *count, uint64_t until)
{
	int r = 0;

	while (*count && walk->pieces.items[open[*count - 1]].end <= until && !r) {
		uint64_t end = walk->pieces.items[open[--*count]].end;

		/* One that reaches out of the one around it ended that too. */
		while (*count && walk->pieces.items[open[*count - 1]].end <= end)
			--*count;
		r = emit(walk->out, end,
			 *count ? walk->pieces.items[open[*count - 1]].function : DWARF_NONE);
	}
	return r;
}

static int flatten(struct walk *walk)
{
	const struct piece *pieces = walk->pieces.items;
	size_t total = walk->pieces.count, count = 0;
	uint32_t open[DWARF_DEPTH_MAX];
	int r = 0;

	if (!total)
		return 0;
	sort_pieces(walk->pieces.items, total);
	walk->out->base = pieces[0].start;
	for (size_t i = 0; i < total && !r; i++) {
		if (pieces[i].end - walk->out->base > UINT32_MAX)
			continue;
		r = close_until(walk, open, &count, pieces[i].start);
		if (!r)
			r = emit(walk->out, pieces[i].start, pieces[i].function);
		if (count < DWARF_DEPTH_MAX)
			open[count++] = (uint32_t)i;
	}
	return r ? r : close_until(walk, open, &count, UINT64_MAX);
}

static void *trimmed(void *items, size_t size)
{
	void *smaller = size ? realloc(items, size) : NULL;

	return smaller ? smaller : items;
}

int dwarf_functions_init(struct dwarf_functions *ret, struct dwarf_file *file,
			 const struct dwarf_unit *unit, const struct dwarf_abbrevs *abbrevs,
			 const struct dwarf_bounds *bounds, const struct dwarf_asked *asked,
			 const uint8_t *bytes, size_t size)
{
	struct dwarf_functions functions = {0};
	struct walk walk = {
		.entries = {.file = file,
			    .unit = unit,
			    .cursor = cursor_of(bytes, size),
			    .begin = bytes,
			    .begin_at = unit->entries},
		.abbrevs = abbrevs,
		.bounds = bounds,
		.asked = asked,
		.out = &functions,
	};
	int r = walk_entries(&walk);

	if (!r)
		r = flatten(&walk);
	vec_free(&walk.pieces);
	vec_free(&walk.open);
	if (r < 0) {
		dwarf_functions_deinit(&functions);
		return r;
	}
	functions.list.items =
		trimmed(functions.list.items, functions.list.count * sizeof(*functions.list.items));
	functions.list.capacity = functions.list.count;
	functions.spans.items = trimmed(functions.spans.items,
					functions.spans.count * sizeof(*functions.spans.items));
	functions.spans.capacity = functions.spans.count;
	*ret = functions;
	return 0;
}

void dwarf_functions_deinit(struct dwarf_functions *functions)
{
	vec_free(&functions->list);
	vec_free(&functions->spans);
}

size_t dwarf_functions_memory(const struct dwarf_functions *functions)
{
	return functions->list.capacity * sizeof(*functions->list.items) +
	       functions->spans.capacity * sizeof(*functions->spans.items);
}

uint32_t dwarf_functions_find(const struct dwarf_functions *functions, uint64_t address)
{
	const struct dwarf_span *spans = functions->spans.items;
	uint64_t offset = address - functions->base;
	size_t low = 0, high = functions->spans.count;

	if (address < functions->base || offset > UINT32_MAX)
		return DWARF_NONE;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (spans[middle].at <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? spans[low - 1].function : DWARF_NONE;
}
