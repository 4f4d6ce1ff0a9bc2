/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The name of a function from its entry: by what the entry says itself, or the
 * entries that it refers to as its origin or specification, in other units and in
 * dwz's file too. The linker's name goes before the source's.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "symbolizer/dwarf_index.h"

#define DWARF_HOPS_MAX 16 /* from entry to entry */

/* Number of the name in the index's strings; 0: it has none. UINT32_MAX: out of memory. */
uint32_t dwarf_name_of(struct dwarf_index *index, uint64_t place, bool alternate);
/* The same for the path of a source file. */
uint32_t dwarf_path_of(struct dwarf_index *index, const struct dwarf_unit *unit,
		       const struct dwarf_lines *lines, const struct dwarf_source *source);
