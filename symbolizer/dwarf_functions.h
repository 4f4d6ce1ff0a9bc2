/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which functions cover the code of one unit: a sorted array of disjoint spans,
 * each with its innermost function or inlined function, and for each of these
 * its parent, where it was called, and the entry that has its name. Made in one
 * pass over the unit's entries, of which nothing else is kept: eight bytes a
 * span, 24 a function.
 *
 * Zero-initialised is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "symbolizer/dwarf_asked.h"
#include "symbolizer/dwarf_unit.h"

#define DWARF_FUNCTIONS_MAX (1u << 26) /* of one unit */
#define DWARF_DEPTH_MAX 4096u /* of entries in each other; deeper ones are left out */
#define DWARF_NONE UINT32_MAX

struct dwarf_bounds { /* where there may be code at all: ELF addresses */
	uint64_t start, end;
};

struct dwarf_function {
	uint32_t entry; /* place in .debug_info from which its name is found */
	uint32_t parent; /* what it is inlined into; DWARF_NONE: it is no inlined one */
	uint32_t call_line, call_file;
	uint32_t name; /* for the index: 0 until it was looked up */
	bool inlined;
	bool alternate; /* `entry` is in dwz's file */
};

struct dwarf_span {
	uint32_t at; /* bytes from `base`; it reaches to the next one */
	uint32_t function; /* DWARF_NONE: nothing here */
};

struct dwarf_functions {
	uint64_t base; /* ELF address */
	VEC(struct dwarf_function) list;
	VEC(struct dwarf_span) spans;
};

/* asked: what covers none of these is left out, and is passed over where its entry
 * says how; for other addresses the answers are then wrong. NULL: all of the unit.
 * Damaged entries end the pass: what came before them stays. -ENOMEM, -E2BIG. */
int dwarf_functions_init(struct dwarf_functions *ret, struct dwarf_file *file,
			 const struct dwarf_unit *unit, const struct dwarf_abbrevs *abbrevs,
			 const struct dwarf_bounds *bounds, const struct dwarf_asked *asked,
			 const uint8_t *bytes, size_t size);
void dwarf_functions_deinit(struct dwarf_functions *functions);
size_t dwarf_functions_memory(const struct dwarf_functions *functions);
/* The innermost function at an ELF address; DWARF_NONE. */
uint32_t dwarf_functions_find(const struct dwarf_functions *functions, uint64_t address);
