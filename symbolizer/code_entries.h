/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where functions begin in code without call frame information: at symbols, at
 * what is called from such code, at the program's entry, at each of a linker's
 * stubs. Foreign bytes: to be used in the worker only.
 */
#pragma once

#include "symbolizer/code_ranges.h"
#include "symbolizer/elf_image.h"

#define CODE_SYMBOLS_MAX (1u << 22) /* entries of a symbol table; those beyond do not count */

/* Marks them in the ranges, which are sorted by file offset. What cannot be read
 * gives no entries: it is not an error. */
void code_entries_mark(const struct elf_image *image, const code_ranges_vec *ranges);
