/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The objects that are loaded into the program, as its loader shows them
 * (dl_iterate_phdr(3)): names they define, and slots that the loader has filled with
 * addresses of others. Read in place, by the program itself. dlsym() would allocate and
 * lock; this does neither, but for the loader's lock on its list.
 */
#pragma once

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_object {
	uintptr_t base; /* address - ELF address */
	const Elf64_Sym *symbols;
	const char *strings;
	const uint32_t *hash; /* System V's; NULL: none */
	const uint32_t *gnu_hash; /* likewise */
	const Elf64_Half *versions; /* of the symbols; NULL: none */
	const Elf64_Rela *relocations, *jumps;
	size_t relocation_count, jump_count;
	size_t relative_count; /* of the relocations: the first ones, which name no symbol */
	uintptr_t locked, locked_end; /* what the loader has made read-only; 0: nothing */
	const Elf64_Phdr *segments;
	uint16_t segment_count;
};

/* False: there is nothing in it for us (no dynamic section). */
bool heap_object_read(const struct dl_phdr_info *info, struct heap_object *ret);
/* A name to look for in many objects. */
struct heap_name {
	const char *text;
	uint32_t hash; /* GNU's */
};
struct heap_name heap_name_of(const char *text);
/* The function of that name, or NULL; indirect ones are resolved. */
void *heap_object_function(const struct heap_object *object, struct heap_name name);
bool heap_object_has_address(const struct heap_object *object, uintptr_t address);
