/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One ELF file whose addresses are to be told by name, and what there is to tell
 * them: its own symbols, those packed into it (mini_debug.h), Go's table where it has
 * no symbol table, its separate debug file's symbols, DWARF, and the beginnings of
 * functions that nothing names. Foreign bytes: to be used in the worker only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/debug_link.h"
#include "symbolizer/dwarf_frames.h"
#include "symbolizer/elf_image.h"
#include "symbolizer/function_starts.h"
#include "symbolizer/symtab.h"

struct named_file {
	struct elf_image image;
	struct debug_link link; /* where its debug file is said to be */
	struct symtab symtab; /* all but its debug file's */
	struct symtab debug; /* of its debug file; empty without one */
	struct function_starts starts; /* of functions that symtab does not name */
	struct dwarf_index *dwarf; /* the debug file's, or its own; NULL: there is none */
};

/* Everything but DWARF. The descriptor stays the caller's and may be closed. As
 * elf_image_init() and symtab_init(). */
int named_file_init(struct named_file *ret, int fd, struct error *error);
void named_file_deinit(struct named_file *file);
/* The symbols of its debug file, which must have its build id, or, where one of them has
 * none, the checksum of its link. -EBADMSG: it is of another build; else as above. */
int named_file_add_debug(struct named_file *file, int fd, struct error *error);
/* The DWARF in the file or its debug file; true: the descriptor is `file`'s now.
 * Names come from the symbols where this cannot be had. */
bool named_file_take_dwarf(struct named_file *file, int fd, size_t memory_max);
/* Puts the names of a file offset, or of an ELF address, into an answer: 0 or -ENOMEM. */
int named_file_put(const struct named_file *file, uint64_t place, bool is_address,
		   const struct dwarf_frames_style *style, struct wire_out *out);
