/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Functions, inlined functions, files and lines for the code of one ELF file,
 * from its DWARF. Which unit an address is in is known from the beginning; a unit
 * is read when the first address in it is asked for (dwarf_functions.h,
 * dwarf_lines.h), names and paths when they are to be told.
 *
 * What was read is kept up to a limit; above it all of it goes, to be read anew.
 * A unit that is damaged has no names, and is not read again.
 *
 * Our own reader and not libdwarf's: that one makes an object of each entry and
 * attribute, which alone takes several times what all of this does, and Debian
 * 12's does not survive some damaged files (docs/symbolizer.md has the figures).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/hashmap.h"
#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"
#include "symbolizer/dwarf_file.h"
#include "symbolizer/dwarf_functions.h"
#include "symbolizer/dwarf_lines.h"
#include "symbolizer/dwarf_split.h"
#include "symbolizer/dwarf_unit.h"

struct dwarf_frame {
	const char *name; /* as the linker knows it, or the source; "" if it has none */
	const char *file; /* "": not known */
	uint32_t line; /* 0: not known, or no line's */
	bool inlined;
};

struct dwarf_loaded { /* of one unit, once it was asked for */
	struct dwarf_abbrevs abbrevs;
	struct dwarf_functions functions;
	struct dwarf_lines lines;
	bool has_abbrevs, has_functions, has_lines; /* tried, with or without success */
	uint8_t rounds; /* so often it was read for some addresses alone */
	bool partly; /* it is now: what it has goes at the round's end */
};

struct dwarf_unit_range {
	uint64_t start, end; /* ELF addresses */
	uint64_t reach; /* where the last one ends that begins up to here */
	uint32_t unit;
};

struct dwarf_index {
	struct dwarf_file *file; /* owned */
	struct dwarf_index *alternate; /* of the file that dwz made; NULL; the caller's */
	struct dwarf_splits *splits; /* NULL: no unit is split */
	struct dwarf_bounds bounds;
	struct dwarf_asked asked; /* in the round under way; none: there is none */
	VEC(uint32_t) partly; /* units that are read for these alone */
	dwarf_units units;
	VEC(struct dwarf_loaded) loaded; /* of each unit */
	VEC(struct dwarf_unit_range) ranges; /* by start */
	VEC(uint32_t) silent; /* units whose ranges are looked for when an address is in no other */
	struct strtab strings;
	struct hashmap names; /* place of an entry: its name in strings */
	uint8_t *buffer; /* for the bytes of a unit */
	size_t buffer_size;
	size_t memory; /* bytes of what is loaded */
	size_t memory_max;
};

/* Takes the file over (it must come from malloc), on error too. */
int dwarf_index_init(struct dwarf_index *ret, struct dwarf_file *file,
		     const struct dwarf_bounds *bounds, size_t memory_max, struct error *error);
/* Of a file with split units (package: its index, or NULL), for dwarf_split.h: it knows no
 * addresses of its own, and is asked for nothing but names. As above. */
int dwarf_index_init_split(struct dwarf_index *ret, struct dwarf_file *file,
			   const struct dwarf_package *package, const struct dwarf_index *program,
			   struct error *error);
void dwarf_index_deinit(struct dwarf_index *index);
/* The functions at an ELF address, leaf first, at most `max`: how many, 0 if there
 * is none. With no function but a line, one frame with the name "". The texts are
 * good until the next call. */
uint32_t dwarf_index_find(struct dwarf_index *index, uint64_t address, struct dwarf_frame *frames,
			  uint32_t max);
/* Units that may hold an ELF address, at most `max`: how many. */
uint32_t dwarf_index_units_at(const struct dwarf_index *index, uint64_t address, uint32_t *units,
			      uint32_t max);
/* Begins a round of questions: dwarf_index_find() is to be called for these addresses
 * and no others, until dwarf_index_end() or an empty round. A unit that is not read yet
 * is then read for them alone, which is several times faster; from the third round on
 * that has addresses in it all of it is read and kept. They stay the caller's. */
void dwarf_index_begin(struct dwarf_index *index, const struct dwarf_asked *asked);
void dwarf_index_end(struct dwarf_index *index);
/* The number of the unit that an ELF address is looked for in first, UINT32_MAX if in
 * none: asked for unit by unit, each is read once, and its names are found in what was
 * read of it. */
uint32_t dwarf_index_unit(const struct dwarf_index *index, uint64_t address);
/* The unit's abbreviations, or NULL: for those who follow references. */
const struct dwarf_abbrevs *dwarf_index_abbrevs(struct dwarf_index *index,
						const struct dwarf_unit *unit);
/* What a unit has, read now if it was not: never NULL. */
const struct dwarf_functions *dwarf_index_functions(struct dwarf_index *index, uint32_t unit);
const struct dwarf_lines *dwarf_index_lines(struct dwarf_index *index, uint32_t unit);
/* Lets go of everything that can be read again. */
void dwarf_index_trim(struct dwarf_index *index);
size_t dwarf_index_memory(const struct dwarf_index *index);
