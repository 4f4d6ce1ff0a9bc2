/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "Mini debug info": an ELF file, packed by xz, in a program's or library's own
 * section .gnu_debugdata, with the symbols that .dynsym does not have (gdb manual,
 * "MiniDebugInfo"; Fedora's packages have it). Foreign bytes: to be used in the
 * worker only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/elf_image.h"

#define MINI_DEBUG_PACKED_MAX (32u << 20)
#define MINI_DEBUG_UNPACKED_MAX (64u << 20)
/* For the decoder: its dictionary is as large as the packer chose (xz -9: 64 MiB). */
#define MINI_DEBUG_DECODER_MAX (80u << 20)

struct mini_debug {
	struct elf_image image;
	uint8_t *bytes; /* that it is read from; its own */
};

/* The image's file must be open; what is returned does not need it. -ENOENT: there is
 * none; -EINVAL: damaged; -E2BIG: above a limit; -ENOEXEC: no ELF file in it; -ENOMEM. */
int mini_debug_init(struct mini_debug *ret, const struct elf_image *image, struct error *error);
/* The same from the section's bytes. */
int mini_debug_init_packed(struct mini_debug *ret, const void *packed, size_t size,
			   struct error *error);
void mini_debug_deinit(struct mini_debug *mini);
