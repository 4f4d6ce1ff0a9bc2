/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A table of abbreviations (DWARF 5, 7.5.3), made for passing over entries at
 * speed: for each abbreviation the steps by which its attributes are skipped,
 * and the attributes themselves only where somebody will read them: of units,
 * functions and inlined functions.
 *
 * Zero-initialised is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "symbolizer/dwarf_cursor.h"

#define DWARF_ABBREVS_MAX (1u << 20) /* in one table */
#define DWARF_ATTRIBUTES_MAX 1024u /* of one abbreviation */

enum dwarf_tag_kind {
	DWARF_TAG_OTHER, /* entries below it may be functions */
	DWARF_TAG_CLOSED, /* nothing below it is code: passed over as a whole if it can be */
	DWARF_TAG_TYPE, /* a class: the same, but for one inside a function */
	DWARF_TAG_FUNCTION,
	DWARF_TAG_INLINED,
	DWARF_TAG_UNIT,
	DWARF_TAG_PARTIAL, /* a unit without code */
};

/* A step of passing over: below it, so many bytes. */
enum dwarf_step {
	DWARF_STEP_FIXED_MAX = 199,
	DWARF_STEP_LEB,
	DWARF_STEP_BLOCK1,
	DWARF_STEP_BLOCK2,
	DWARF_STEP_BLOCK4,
	DWARF_STEP_BLOCK,
	DWARF_STEP_TEXT,
	DWARF_STEP_INDIRECT,
	DWARF_STEP_SIBLING4, /* the next entry's place in the unit */
};

struct dwarf_attribute {
	uint16_t name; /* DW_AT */
	uint16_t form; /* DW_FORM */
	uint8_t step; /* enum dwarf_step: passes over it */
	bool of_code; /* it says where a function's code is, or what was inlined there */
	int32_t constant; /* of DW_FORM_implicit_const */
};

struct dwarf_abbrev {
	uint32_t first_step, first_attribute;
	uint16_t steps, attributes;
	uint8_t kind; /* enum dwarf_tag_kind */
	bool children;
};

struct dwarf_abbrevs {
	VEC(struct dwarf_abbrev) items; /* as the table has them */
	VEC(uint8_t) steps;
	VEC(struct dwarf_attribute) attributes;
	struct hashmap codes; /* code: position; empty if code n is item n - 1 */
};

/* What a unit says of its encoding. */
struct dwarf_encoding {
	uint8_t version, address_size, offset_size;
};

/* Reads one table up to its end, or to DWARF_ABBREVS_MAX. -EBADMSG: an unknown form or an end too
 * early; -E2BIG, -ENOMEM. */
int dwarf_abbrevs_init(struct dwarf_abbrevs *ret, struct dwarf_cursor *cursor,
		       const struct dwarf_encoding *encoding);
/* Reads only the abbreviation with this code, a unit's own; 0: all. */
int dwarf_abbrevs_init_one(struct dwarf_abbrevs *ret, struct dwarf_cursor *cursor,
			   const struct dwarf_encoding *encoding, uint64_t code);
void dwarf_abbrevs_deinit(struct dwarf_abbrevs *abbrevs);
size_t dwarf_abbrevs_memory(const struct dwarf_abbrevs *abbrevs);
/* NULL for a code that is not there. */
static inline const struct dwarf_abbrev *dwarf_abbrevs_find(const struct dwarf_abbrevs *abbrevs,
							    uint64_t code)
{
	uint64_t *at;

	if (!abbrevs->codes.count)
		return code - 1 < abbrevs->items.count ? &abbrevs->items.items[code - 1] : NULL;
	at = hashmap_get(&abbrevs->codes, code);
	return at ? &abbrevs->items.items[*at] : NULL;
}
/* Passes over one value of a form. False: a form that is not known. */
bool dwarf_form_skip(struct dwarf_cursor *cursor, uint64_t form,
		     const struct dwarf_encoding *encoding);
/* The same by an attribute's step. */
bool dwarf_step_take(struct dwarf_cursor *cursor, unsigned step,
		     const struct dwarf_encoding *encoding);
/* Passes over an entry's attributes. Where it has entries below it, and says where
 * the next one behind them begins, that place in the unit is given; else 0. */
uint64_t dwarf_abbrev_skip(const struct dwarf_abbrevs *abbrevs, const struct dwarf_abbrev *abbrev,
			   struct dwarf_cursor *cursor, const struct dwarf_encoding *encoding);
