/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which unit covers which addresses, as an array of ranges sorted by their
 * beginning. From what the units' first entries say; of units that say nothing
 * from .debug_aranges; and of those that are not in there either from their
 * functions (or, in assembly, lines), which is put off until an address is asked for that no
 * other unit has.
 */
#pragma once

#include <stdint.h>

struct dwarf_index;

/* Fills the index's ranges; its units are there. -E2BIG, -ENOMEM. */
int dwarf_coverage_init(struct dwarf_index *index);
/* Looks into the units that were put off. 1: there are new ranges; 0. */
int dwarf_coverage_complete(struct dwarf_index *index);
