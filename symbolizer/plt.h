/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The stubs of an x86-64 file's procedure linkage table: code without symbols
 * by which calls leave the file. Each stub's jump is decoded (`jmp *slot(%rip)`,
 * perhaps behind endbr64 or bnd; System V psABI for x86-64, 5.2), and the
 * relocation of that slot tells the function: so all linkers' layouts of .plt,
 * .plt.sec and .plt.got are alike. Foreign bytes: to be used in the worker only.
 */
#pragma once

#include <stdint.h>

#include "symbolizer/elf_image.h"

#define PLT_STUBS_MAX (1u << 18)

struct plt_stub {
	uint64_t address; /* ELF address */
	uint32_t size;
	const char *name; /* the function's, libelf's until the file is closed; NULL: by resolver */
	uint64_t resolver; /* ELF address of an IFUNC's resolver in this file */
};

typedef int plt_fn(void *context, const struct plt_stub *stub);

/* Calls `add` for each stub that can be told, in no order. A file without any,
 * of another machine or damaged gives none. -ENOMEM, or what `add` returned. */
int plt_stubs(const struct elf_image *image, plt_fn *add, void *context);
