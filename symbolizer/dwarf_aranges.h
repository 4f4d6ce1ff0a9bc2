/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * .debug_aranges: which addresses each unit has (DWARF 5, 6.1.2; version 2, as in
 * DWARF 2 to 5). Read for units only that do not tell it themselves. Foreign bytes: to be used
 * in the worker only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/dwarf_file.h"

#define DWARF_ARANGES_MAX (1u << 24) /* ranges in the section */

/* unit: the offset of its header in .debug_info; [start, end): ELF addresses. Other
 * than 0 ends the walk. */
typedef int dwarf_aranges_fn(void *context, uint64_t unit, uint64_t start, uint64_t end);

/* What `add` returned if not 0; -EBADMSG with the offset where it is damaged (what
 * came before was added); -E2BIG. */
int dwarf_aranges_walk(struct dwarf_file *file, dwarf_aranges_fn *add, void *context,
		       struct error *error);
int dwarf_aranges_parse(const void *bytes, size_t size, dwarf_aranges_fn *add, void *context,
			struct error *error);
