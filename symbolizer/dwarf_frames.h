/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What DWARF and the symbols say of an address, put together into the frames
 * that are told; and the DWARF of a file that came as a descriptor.
 *
 * The function itself has its symbol's name, which is the one people know
 * ("malloc", where the source has __libc_malloc), but for the parts that a
 * compiler split off ("f.cold", "f.part.0"): they are the function; and where the linker
 * folded several functions into one, DWARF's name tells which of them its lines are of.
 * Inlined functions have DWARF's name.
 */
#pragma once

#include <stdint.h>

#include "symbolizer/demangle.h"
#include "symbolizer/dwarf_index.h"
#include "symbolizer/elf_image.h"
#include "symbolizer/symtab.h"
#include "symbolizer/wire.h"

/* The index of a file's DWARF, for code where `image` has executable segments.
 * -ENODATA: it has none. On success the descriptor is the index's. */
int dwarf_frames_open(int fd, const struct elf_image *image, size_t memory_max, struct error *error,
		      struct dwarf_index **ret);
/* NULL is allowed. Closes the descriptor. */
void dwarf_frames_close(struct dwarf_index *index);

struct dwarf_frames_style {
	const struct symtab *symbols; /* that gave the symbol; NULL: its place has no other name */
	bool no_inlines; /* only the outermost function, with the place of the address */
	enum demangle_form form;
	struct demangler *demangler;
};

/* An address's frames, at most WIRE_FRAMES_MAX: how many; 0: there is no name. symbol:
 * the symbol's name that covers it, or NULL; index may be NULL. The texts are good until
 * the next call. */
uint32_t dwarf_frames_find(struct dwarf_index *index, uint64_t address, const char *symbol,
			   const struct dwarf_frames_style *style, struct symbolizer_frame *frames);
