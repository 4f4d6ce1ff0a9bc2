/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The file with what several programs' debug information has in common, as dwz
 * makes it: what a program says of it (.gnu_debugaltlink: a path and a build id;
 * or DWARF 5's .debug_sup, 7.3.6: a path and a checksum of any length), and whether a file is
 * it. Foreign bytes: to be used in the worker only.
 *
 * Zero-initialised: there is none.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/elf_image.h"

#define DWARF_SUPPLEMENT_ID_MAX 64u
#define DWARF_SUPPLEMENT_PATH_MAX 1024u

struct dwarf_supplement {
	char path[DWARF_SUPPLEMENT_PATH_MAX +
		  1]; /* "": none; absolute, or from the file's folder */
	uint8_t id[DWARF_SUPPLEMENT_ID_MAX];
	uint8_t id_size; /* never 0 if there is one */
	bool is_checksum; /* DWARF 5's: no build id */
};

/* The image's file must be open. A section that is damaged is none. */
void dwarf_supplement_read(const struct elf_image *image, struct dwarf_supplement *ret);
/* From the bytes of a .gnu_debugaltlink, or of a .debug_sup (`standard`). */
void dwarf_supplement_parse(const void *bytes, size_t size, bool standard,
			    struct dwarf_supplement *ret);
/* Whether a file is the one that is meant. -EBADMSG: it has another build id, or
 * none; -ENOEXEC: no ELF file. */
int dwarf_supplement_check(const struct dwarf_supplement *supplement, int fd, struct error *error);
