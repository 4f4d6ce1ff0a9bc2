/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_abbrev.h"

#include <dwarf.h>
#include <errno.h>

#define INDIRECT_MAX 4 /* DW_FORM_indirect that leads to another */

static enum dwarf_tag_kind kind_of(uint64_t tag)
{
	switch (tag) {
	case DW_TAG_subprogram:
		return DWARF_TAG_FUNCTION;
	case DW_TAG_inlined_subroutine:
		return DWARF_TAG_INLINED;
	case DW_TAG_compile_unit:
	case DW_TAG_skeleton_unit:
		return DWARF_TAG_UNIT;
	case DW_TAG_partial_unit:
	case DW_TAG_type_unit:
		return DWARF_TAG_PARTIAL;
	case DW_TAG_lexical_block:
	case DW_TAG_try_block:
	case DW_TAG_catch_block:
	case DW_TAG_with_stmt:
	case DW_TAG_namespace:
	case DW_TAG_module:
	case DW_TAG_common_block:
		return DWARF_TAG_OTHER;
	case DW_TAG_structure_type:
	case DW_TAG_class_type:
	case DW_TAG_union_type:
		return DWARF_TAG_TYPE;
	default:
		return DWARF_TAG_CLOSED;
	}
}

static bool is_closed(const struct dwarf_abbrev *abbrev)
{
	return abbrev->kind == DWARF_TAG_CLOSED || abbrev->kind == DWARF_TAG_TYPE;
}

/* Steps that depend on the unit. */
enum { STEP_ADDRESS = 256, STEP_OFFSET, STEP_REFERENCE };

/* By form; one more than the step, for what is not there is not known. */
#define STEP(n) ((n) + 1)
static const uint16_t standard_steps[] = {
	[DW_FORM_addr] = STEP(STEP_ADDRESS),
	[DW_FORM_block2] = STEP(DWARF_STEP_BLOCK2),
	[DW_FORM_block4] = STEP(DWARF_STEP_BLOCK4),
	[DW_FORM_data2] = STEP(2),
	[DW_FORM_data4] = STEP(4),
	[DW_FORM_data8] = STEP(8),
	[DW_FORM_string] = STEP(DWARF_STEP_TEXT),
	[DW_FORM_block] = STEP(DWARF_STEP_BLOCK),
	[DW_FORM_block1] = STEP(DWARF_STEP_BLOCK1),
	[DW_FORM_data1] = STEP(1),
	[DW_FORM_flag] = STEP(1),
	[DW_FORM_sdata] = STEP(DWARF_STEP_LEB),
	[DW_FORM_strp] = STEP(STEP_OFFSET),
	[DW_FORM_udata] = STEP(DWARF_STEP_LEB),
	[DW_FORM_ref_addr] = STEP(STEP_REFERENCE),
	[DW_FORM_ref1] = STEP(1),
	[DW_FORM_ref2] = STEP(2),
	[DW_FORM_ref4] = STEP(4),
	[DW_FORM_ref8] = STEP(8),
	[DW_FORM_ref_udata] = STEP(DWARF_STEP_LEB),
	[DW_FORM_indirect] = STEP(DWARF_STEP_INDIRECT),
	[DW_FORM_sec_offset] = STEP(STEP_OFFSET),
	[DW_FORM_exprloc] = STEP(DWARF_STEP_BLOCK),
	[DW_FORM_flag_present] = STEP(0),
	[DW_FORM_strx] = STEP(DWARF_STEP_LEB),
	[DW_FORM_addrx] = STEP(DWARF_STEP_LEB),
	[DW_FORM_ref_sup4] = STEP(4),
	[DW_FORM_strp_sup] = STEP(STEP_OFFSET),
	[DW_FORM_data16] = STEP(16),
	[DW_FORM_line_strp] = STEP(STEP_OFFSET),
	[DW_FORM_ref_sig8] = STEP(8),
	[DW_FORM_implicit_const] = STEP(0),
	[DW_FORM_loclistx] = STEP(DWARF_STEP_LEB),
	[DW_FORM_rnglistx] = STEP(DWARF_STEP_LEB),
	[DW_FORM_ref_sup8] = STEP(8),
	[DW_FORM_strx1] = STEP(1),
	[DW_FORM_strx2] = STEP(2),
	[DW_FORM_strx3] = STEP(3),
	[DW_FORM_strx4] = STEP(4),
	[DW_FORM_addrx1] = STEP(1),
	[DW_FORM_addrx2] = STEP(2),
	[DW_FORM_addrx3] = STEP(3),
	[DW_FORM_addrx4] = STEP(4),
};
#define STANDARD_STEPS (sizeof(standard_steps) / sizeof(standard_steps[0]))

/* The step that passes over a form; -1: not known. */
static int step_of(uint64_t form, const struct dwarf_encoding *encoding)
{
	int step = form < STANDARD_STEPS ? standard_steps[form] - 1 : -1;

	if (form == DW_FORM_GNU_addr_index || form == DW_FORM_GNU_str_index)
		return DWARF_STEP_LEB;
	if (form == DW_FORM_GNU_ref_alt || form == DW_FORM_GNU_strp_alt)
		return encoding->offset_size;
	if (step == STEP_ADDRESS)
		return encoding->address_size;
	if (step == STEP_OFFSET)
		return encoding->offset_size;
	/* DWARF 2 had it of an address's size. */
	if (step == STEP_REFERENCE)
		return encoding->version <= 2 ? encoding->address_size : encoding->offset_size;
	return step;
}

static bool take_step(struct dwarf_cursor *cursor, unsigned step,
		      const struct dwarf_encoding *encoding, unsigned depth)
{
	switch (step) {
	case DWARF_STEP_LEB:
		cursor_uleb(cursor);
		return true;
	case DWARF_STEP_BLOCK1:
		cursor_skip(cursor, cursor_u8(cursor));
		return true;
	case DWARF_STEP_BLOCK2:
		cursor_skip(cursor, cursor_u16(cursor));
		return true;
	case DWARF_STEP_BLOCK4:
		cursor_skip(cursor, cursor_u32(cursor));
		return true;
	case DWARF_STEP_BLOCK:
		cursor_skip(cursor, cursor_uleb(cursor));
		return true;
	case DWARF_STEP_TEXT:
		cursor_text(cursor);
		return true;
	case DWARF_STEP_INDIRECT: {
		int next = step_of(cursor_uleb(cursor), encoding);

		if (next >= 0 && depth < INDIRECT_MAX)
			return take_step(cursor, (unsigned)next, encoding, depth + 1);
		cursor_fail(cursor);
		return false;
	}
	default:
		cursor_skip(cursor, step);
		return true;
	}
}

bool dwarf_form_skip(struct dwarf_cursor *cursor, uint64_t form,
		     const struct dwarf_encoding *encoding)
{
	int step = step_of(form, encoding);

	return step >= 0 && take_step(cursor, (unsigned)step, encoding, 0);
}

bool dwarf_step_take(struct dwarf_cursor *cursor, unsigned step,
		     const struct dwarf_encoding *encoding)
{
	return take_step(cursor, step, encoding, 0);
}

uint64_t dwarf_abbrev_skip(const struct dwarf_abbrevs *abbrevs, const struct dwarf_abbrev *abbrev,
			   struct dwarf_cursor *cursor, const struct dwarf_encoding *encoding)
{
	/* Where nothing has attributes there are no steps at all. */
	const uint8_t *step = abbrev->steps ? abbrevs->steps.items + abbrev->first_step : NULL;
	uint64_t sibling = 0;

	for (unsigned i = 0; i < abbrev->steps; i++) {
		if (step[i] <= DWARF_STEP_FIXED_MAX)
			cursor_skip(cursor, step[i]);
		else if (step[i] == DWARF_STEP_SIBLING4)
			sibling = cursor_u32(cursor);
		else
			take_step(cursor, step[i], encoding, 0);
	}
	return sibling;
}

/* Neighbours of fixed size become one step. */
static int add_step(struct dwarf_abbrevs *abbrevs, struct dwarf_abbrev *abbrev, unsigned step)
{
	uint8_t *last;

	if (step <= DWARF_STEP_FIXED_MAX && abbrev->steps) {
		last = &abbrevs->steps.items[abbrevs->steps.count - 1];
		if (*last <= DWARF_STEP_FIXED_MAX && *last + step <= DWARF_STEP_FIXED_MAX) {
			*last = (uint8_t)(*last + step);
			return 0;
		}
	}
	if (!step)
		return 0;
	abbrev->steps++;
	return vec_push(&abbrevs->steps, (uint8_t)step);
}

static bool is_of_code(uint64_t name)
{
	return name == DW_AT_low_pc || name == DW_AT_high_pc || name == DW_AT_ranges ||
	       name == DW_AT_abstract_origin || name == DW_AT_sibling || name == DW_AT_call_line ||
	       name == DW_AT_call_file || name == DW_AT_declaration;
}

static int add_attribute(struct dwarf_abbrevs *abbrevs, struct dwarf_abbrev *abbrev, uint64_t name,
			 uint64_t form, int64_t constant, const struct dwarf_encoding *encoding)
{
	struct dwarf_attribute attribute = {
		.name = name > UINT16_MAX ? 0 : (uint16_t)name,
		.form = (uint16_t)form,
		.of_code = is_of_code(name),
		.constant = constant > INT32_MAX || constant < INT32_MIN ? 0 : (int32_t)constant,
	};
	int step = step_of(form, encoding), r;

	if (step < 0 || form > UINT16_MAX)
		return -EBADMSG;
	attribute.step = (uint8_t)step;
	if (name == DW_AT_sibling && form == DW_FORM_ref4 && abbrev->children)
		step = DWARF_STEP_SIBLING4;
	r = add_step(abbrevs, abbrev, (unsigned)step);
	if (r || is_closed(abbrev) || abbrev->kind == DWARF_TAG_OTHER)
		return r;
	abbrev->attributes++;
	return vec_push(&abbrevs->attributes, attribute);
}

static int read_attributes(struct dwarf_abbrevs *abbrevs, struct dwarf_abbrev *abbrev,
			   struct dwarf_cursor *cursor, const struct dwarf_encoding *encoding)
{
	for (unsigned i = 0;; i++) {
		uint64_t name = cursor_uleb(cursor), form = cursor_uleb(cursor);
		int64_t constant = form == DW_FORM_implicit_const ? cursor_sleb(cursor) : 0;
		int r;

		if (cursor->bad)
			return -EBADMSG;
		if (!name && !form)
			return 0;
		if (i >= DWARF_ATTRIBUTES_MAX)
			return -E2BIG;
		r = add_attribute(abbrevs, abbrev, name, form, constant, encoding);
		if (r < 0)
			return r;
	}
}

/* As long as codes count from 1 they need no map. */
static int add_code(struct dwarf_abbrevs *abbrevs, uint64_t code)
{
	size_t at = abbrevs->items.count;

	if (!abbrevs->codes.count) {
		if (code == at + 1)
			return 0;
		for (size_t i = 0; i < at; i++) {
			if (hashmap_put(&abbrevs->codes, i + 1, i) < 0)
				return -ENOMEM;
		}
	}
	return hashmap_get(&abbrevs->codes, code) ? 0 : hashmap_put(&abbrevs->codes, code, at);
}

/* Passes over one abbreviation's attributes. */
static void skip_attributes(struct dwarf_cursor *cursor)
{
	uint64_t name, form;

	do {
		name = cursor_uleb(cursor);
		form = cursor_uleb(cursor);
		if (form == DW_FORM_implicit_const)
			cursor_sleb(cursor);
	} while ((name || form) && !cursor->bad);
}

/* only: the code of the one that is wanted; 0: all are. */
static int read_table(struct dwarf_abbrevs *abbrevs, struct dwarf_cursor *cursor, uint64_t only,
		      const struct dwarf_encoding *encoding)
{
	uint64_t code;

	while (abbrevs->items.count < (only ? 1 : DWARF_ABBREVS_MAX) &&
	       (code = cursor_uleb(cursor))) {
		uint64_t tag = cursor_uleb(cursor);
		struct dwarf_abbrev abbrev = {
			.first_step = (uint32_t)abbrevs->steps.count,
			.first_attribute = (uint32_t)abbrevs->attributes.count,
			.kind = (uint8_t)kind_of(tag),
			.children = cursor_u8(cursor) != 0,
		};
		int r;

		if (only && code != only) {
			skip_attributes(cursor);
			continue;
		}
		r = read_attributes(abbrevs, &abbrev, cursor, encoding);
		if (!r)
			r = add_code(abbrevs, code);
		if (!r)
			r = vec_push(&abbrevs->items, abbrev);
		if (r < 0)
			return r;
	}
	return cursor->bad ? -EBADMSG : 0;
}

int dwarf_abbrevs_init_one(struct dwarf_abbrevs *ret, struct dwarf_cursor *cursor,
			   const struct dwarf_encoding *encoding, uint64_t code)
{
	struct dwarf_abbrevs abbrevs = {0};
	int r = read_table(&abbrevs, cursor, code, encoding);

	if (r < 0) {
		dwarf_abbrevs_deinit(&abbrevs);
		return r;
	}
	*ret = abbrevs;
	return 0;
}

int dwarf_abbrevs_init(struct dwarf_abbrevs *ret, struct dwarf_cursor *cursor,
		       const struct dwarf_encoding *encoding)
{
	return dwarf_abbrevs_init_one(ret, cursor, encoding, 0);
}

void dwarf_abbrevs_deinit(struct dwarf_abbrevs *abbrevs)
{
	vec_free(&abbrevs->items);
	vec_free(&abbrevs->steps);
	vec_free(&abbrevs->attributes);
	hashmap_deinit(&abbrevs->codes);
}

size_t dwarf_abbrevs_memory(const struct dwarf_abbrevs *abbrevs)
{
	return abbrevs->items.capacity * sizeof(*abbrevs->items.items) + abbrevs->steps.capacity +
	       abbrevs->attributes.capacity * sizeof(*abbrevs->attributes.items) +
	       abbrevs->codes.capacity * (sizeof(*abbrevs->codes.slots) + 1);
}
