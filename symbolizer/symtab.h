/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The functions of one ELF file: from .symtab and .dynsym together, and of an
 * x86-64 file the stubs by which it calls others ("malloc@plt", plt.h), as
 * disjoint ranges of ELF addresses sorted for a binary search.
 *
 * What counts: STT_FUNC and STT_GNU_IFUNC in an executable segment, STT_NOTYPE
 * in an executable section (assembly); not mapping symbols ($x, $d), not
 * names with a leading dot. A symbol without a size reaches to the next symbol
 * of its section, or to the section's end; inside a sized one it is a label and
 * dropped. Of several at one address, global goes before weak before local,
 * then sized before unsized, then the shorter name, then the smaller one by
 * bytes. A name's default version ("memcpy@@GLIBC_2.14") is cut off. Where one range lies inside
 * another the inner one names its addresses and the outer one the rest. Addresses in no range have
 * no name.
 *
 * Zero-initialised is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"
#include "symbolizer/elf_image.h"

struct go_table;

struct symtab_range {
	uint64_t address; /* ELF address */
	uint32_t size;
	uint32_t name; /* offset in names */
};

struct symtab_alias { /* offsets in names */
	uint32_t name; /* a range's */
	uint32_t other; /* what the same place is called too */
};

struct symtab {
	VEC(struct symtab_range) ranges; /* by address, disjoint */
	VEC(char) names; /* NUL-terminated, one after the other */
	VEC(struct symtab_alias)
	aliases; /* by name; not those that only a library's author knows */
	uint32_t symbols; /* ranges may be more: an outer one is split */
};

/* -ENOMEM, -E2BIG (more symbols than any linker writes). A table that is
 * damaged gives what can be read of it: no symbols at all is not an error. */
int symtab_init(struct symtab *ret, const struct elf_image *image, struct error *error);
/* The same, and functions that the image's own tables do not have. */
struct symtab_more {
	const struct elf_image *mini; /* its mini debug info (mini_debug.h); NULL: none */
	const struct go_table *go; /* the functions of a Go program; NULL: none */
};
int symtab_init_more(struct symtab *ret, const struct elf_image *image,
		     const struct symtab_more *more, struct error *error);
void symtab_deinit(struct symtab *symtab);
/* The symbols of the image's separate debug file, whose build id the caller has
 * compared: the image's segments say what is code (its file may be closed). */
int symtab_init_debug(struct symtab *ret, const struct elf_image *debug,
		      const struct elf_image *image, struct error *error);
/* The function that covers the ELF address, or NULL. Owned by the table. */
const char *symtab_find(const struct symtab *symtab, uint64_t address);
/* Likewise, and all the addresses around it that the same name is found for. */
const struct symtab_range *symtab_range_of(const struct symtab *symtab, uint64_t address);
/* Whether any of [start, end) has a name. */
bool symtab_names_any(const struct symtab *symtab, uint64_t start, uint64_t end);
/* Whether the place of `name`, which symtab_find() gave, is called `other` too: where a
 * linker folded functions that are alike into one. Names that begin with an
 * underscore and are not mangled are not known here. */
bool symtab_is_also(const struct symtab *symtab, const char *name, const char *other);
/* Bytes held. */
size_t symtab_memory(const struct symtab *symtab);
