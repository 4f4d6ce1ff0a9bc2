/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The units of .debug_info: their headers (DWARF 5, 7.5.1), what their first
 * entry says of all of them, and the values of attributes (7.5.5), which need
 * the unit's bases. DWARF 2 to 5, of 32 and 64 bits; type units have no code and
 * are left out.
 *
 * Places are offsets in .debug_info, addresses are ELF addresses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "symbolizer/dwarf_abbrev.h"
#include "symbolizer/dwarf_file.h"
#include "symbolizer/dwarf_package.h"

#define DWARF_UNITS_MAX (1u << 20) /* of one file */
#define DWARF_RANGES_MAX (1u << 20) /* of one entry */
#define DWARF_NOWHERE UINT64_MAX

struct dwarf_string { /* where a string lies */
	uint64_t offset; /* DWARF_NOWHERE: there is none */
	uint8_t section; /* enum dwarf_section_id */
	bool alternate; /* in the file that dwz made */
};

struct dwarf_unit {
	uint64_t offset, entries, end; /* its header, its first entry, its end */
	uint64_t abbrev_offset;
	struct dwarf_encoding encoding;
	bool has_ranges; /* low_pc and high_pc, or ranges: all its code is known */
	bool is_partial; /* of types and the like, which others refer to */
	uint16_t language; /* DW_LANG */
	uint64_t low_pc; /* base of its ranges */
	uint64_t high_pc; /* 0: not told */
	uint64_t ranges; /* place in .debug_ranges or .debug_rnglists */
	uint64_t line_offset; /* of its line number program */
	uint64_t string_base, address_base, list_base; /* of the forms with an index */
	struct dwarf_string name, folder;
	/* Split: the program has a skeleton of the unit, and the rest is in a .dwo or
	 * a package, by the same id. */
	bool is_split;
	uint64_t split_id;
	struct dwarf_string split_name; /* of the .dwo, in a skeleton */
	uint64_t list_shift; /* of a split one: where its lists begin */
};

enum dwarf_class {
	DWARF_CLASS_NONE, /* of no use to us */
	DWARF_CLASS_ADDRESS,
	DWARF_CLASS_CONSTANT,
	DWARF_CLASS_OFFSET, /* in a section that the attribute tells */
	DWARF_CLASS_LIST, /* index of a list */
	DWARF_CLASS_ENTRY, /* place in .debug_info */
	DWARF_CLASS_ALTERNATE, /* place in .debug_info of dwz's file */
	DWARF_CLASS_STRING,
};

struct dwarf_value {
	enum dwarf_class class;
	uint64_t number;
	struct dwarf_string string;
};

/* Entries of one unit, being read. */
struct dwarf_entries {
	struct dwarf_file *file;
	const struct dwarf_unit *unit;
	struct dwarf_cursor cursor;
	const uint8_t *begin; /* what lies at place `begin_at` */
	uint64_t begin_at;
};

static inline uint64_t dwarf_entries_place(const struct dwarf_entries *entries)
{
	return entries->begin_at + (uint64_t)(entries->cursor.at - entries->begin);
}

/* Reads the value under the cursor; an index is looked up. */
void dwarf_value_read(struct dwarf_entries *entries, const struct dwarf_attribute *attribute,
		      struct dwarf_value *ret);

typedef VEC(struct dwarf_unit) dwarf_units;

/* All units with code; a header that is damaged ends the list. -ENOMEM, -E2BIG;
 * -EBADMSG: not even one, though there is a section. */
int dwarf_units_init(dwarf_units *ret, struct dwarf_file *file, struct error *error);
/* The same of a .dwo, or, if `package` is not NULL, of a package. */
int dwarf_units_init_split(dwarf_units *ret, struct dwarf_file *file,
			   const struct dwarf_package *package, struct error *error);
/* A split unit takes over from its skeleton what only the program knows: where
 * its addresses are. */
void dwarf_unit_join(struct dwarf_unit *split, const struct dwarf_unit *skeleton);
/* The unit that holds a place, or NULL. */
const struct dwarf_unit *dwarf_units_at(const dwarf_units *units, uint64_t place);

/* The unit whose header is at a place, or NULL. */
const struct dwarf_unit *dwarf_units_with(const dwarf_units *units, uint64_t offset);

/* The unit's table of abbreviations. -EBADMSG, -EIO, -E2BIG, -ENOMEM. */
int dwarf_unit_abbrevs(struct dwarf_file *file, const struct dwarf_unit *unit,
		       struct dwarf_abbrevs *ret);

/* Calls `add` for each range [start, end) of a list: of .debug_rnglists for DWARF
 * 5, else of .debug_ranges. What `add` returned if not 0; -EBADMSG for a list
 * that is damaged (what came before it was added), -E2BIG. */
typedef int dwarf_range_fn(void *context, uint64_t start, uint64_t end);
enum dwarf_section_id dwarf_ranges_section(const struct dwarf_unit *unit);
int dwarf_ranges_walk(struct dwarf_file *file, const struct dwarf_unit *unit, uint64_t offset,
		      dwarf_range_fn *add, void *context);
/* Where the list with this index lies. */
uint64_t dwarf_ranges_offset(struct dwarf_file *file, const struct dwarf_unit *unit,
			     uint64_t index);
