/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The index of a package of split units (.dwp): which bytes of each section are
 * which unit's (DWARF 5, 7.3.5.3; its version 2 is GNU's of DWARF 4, and differs in the
 * numbers of sections). Foreign bytes: to be used in the worker only.
 *
 * Only the index of units with code is read (.debug_cu_index): type units have
 * nothing that is asked for here. Its hash table is not trusted to find anything
 * by: all of its slots are read, and sorted.
 *
 * Zero-initialised is empty.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"
#include "symbolizer/dwarf_file.h"

#define DWARF_PACKAGE_UNITS_MAX (1u << 20)
#define DWARF_PACKAGE_SLOTS_MAX (1u << 22)
#define DWARF_PACKAGE_COLUMNS_MAX 32u

/* Where a unit's parts of the sections begin. */
struct dwarf_contribution {
	uint64_t id; /* the unit's */
	uint32_t info, info_size;
	uint32_t abbrev, string_offsets, lists;
};

struct dwarf_package {
	VEC(struct dwarf_contribution) units; /* by `info` */
};

/* -ENODATA: there is no index, it is no package; -EBADMSG with section and offset;
 * -ENOMEM. */
int dwarf_package_init(struct dwarf_package *ret, struct dwarf_file *file, struct error *error);
/* The same from the section's bytes. */
int dwarf_package_parse(struct dwarf_package *ret, const void *bytes, size_t size,
			struct error *error);
void dwarf_package_deinit(struct dwarf_package *package);
/* The unit that begins there in .debug_info, or NULL. */
const struct dwarf_contribution *dwarf_package_at(const struct dwarf_package *package,
						  uint64_t info);
