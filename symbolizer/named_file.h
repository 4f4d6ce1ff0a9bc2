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
#include "symbolizer/damage.h"
#include "symbolizer/debug_link.h"
#include "symbolizer/dwarf_frames.h"
#include "symbolizer/dwarf_parts.h"
#include "symbolizer/elf_image.h"
#include "symbolizer/function_starts.h"
#include "symbolizer/name_cache.h"
#include "symbolizer/symtab.h"

struct named_file_style {
	bool addresses; /* what is asked for are ELF addresses, not file offsets */
	bool no_inlines; /* only the outermost function, with the place of the address */
	enum demangle_form form;
};
/* From symbolizer_flag's of client.h. */
struct named_file_style named_file_style_of(uint32_t flags);

struct named_file {
	struct elf_image image;
	struct debug_link link; /* where its debug file is said to be */
	struct symtab symtab; /* all but its debug file's */
	struct symtab debug; /* of its debug file; empty without one */
	struct function_starts starts; /* of functions that symtab does not name */
	struct dwarf_index *dwarf; /* the debug file's, or its own; NULL: there is none */
	struct name_cache cache; /* of what was asked in this way: */
	struct named_file_style style;
	struct dwarf_parts parts; /* further files that it is in */
	struct damage damage; /* of all but its debug information, which has its own */
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
/* Which further files are wanted for these places (as for named_file_put()): appended as
 * wire.h has IMAGE_WANTED's answer. -ENOMEM. */
int named_file_wanted(struct named_file *file, struct reader *places,
		      const struct named_file_style *style, struct strbuf *answer);
/* Puts the names of places into an answer, in their order. Those that were asked for
 * before are remembered, up to `memory_max` bytes of them. 0 or -ENOMEM. */
int named_file_put(struct named_file *file, const uint64_t *places, size_t count,
		   const struct named_file_style *style, struct demangler *demangler,
		   size_t memory_max, struct wire_out *out);
/* One of those is there, as dwarf_parts_add() has it. */
int named_file_add_part(struct named_file *file, uint32_t number, int fd, struct error *error);
/* Appends what was found damaged since the last time: u32 places, text (u32 length, bytes). */
void named_file_tell_damage(struct named_file *file, struct strbuf *answer);
/* Bytes held that can be had again by reading. */
size_t named_file_memory(const struct named_file *file);
/* Lets go of them. */
void named_file_trim(struct named_file *file);
