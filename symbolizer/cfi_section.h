/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A section of call frame information: found in the file, copied into memory of
 * our own, and walked from entry to entry before any library sees it. Foreign
 * bytes: to be used in the worker only.
 *
 * .eh_frame is what all programs have (LSB core specification, chapter 10.6),
 * and is found by the program headers too where the section headers are gone.
 * .debug_frame (DWARF 5, section 6.4.1) is what Go and some assembler have; it
 * may be compressed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/elf_image.h"

#define CFI_SECTION_SIZE_MAX (512ull << 20)
/* libdwarf takes some 300 bytes for each; Chromium has a million. */
#define CFI_ENTRIES_MAX (2u << 20)
/* Zero bytes behind the section, for a library that reads a little too far. */
#define CFI_SECTION_SLACK 64u

enum cfi_section_kind { CFI_EH_FRAME, CFI_DEBUG_FRAME };

struct cfi_section {
	enum cfi_section_kind kind;
	const char *name; /* ".eh_frame", ".debug_frame" */
	uint8_t *bytes; /* its own; CFI_SECTION_SLACK zeros follow */
	size_t size; /* without the terminator and what follows it, once checked */
	uint64_t address; /* ELF address of the first byte; 0 if it is not in memory */
	uint32_t cies, fdes; /* once checked */
};

void cfi_section_deinit(struct cfi_section *section);
/* -ENOENT if the file has none; -EINVAL, -E2BIG, -EIO with a sentence. */
int cfi_section_read(const struct elf_image *image, enum cfi_section_kind kind, struct error *error,
		     struct cfi_section *ret);
/* Walks the entries: lengths within the section, each FDE's CIE there and a CIE,
 * texts terminated; and that a reader which looks for CIEs one after another,
 * as libdwarf does, will end. Ends the section at its terminator. -EINVAL with
 * section and offset, -E2BIG, -ENOMEM. */
int cfi_section_check(struct cfi_section *section, struct error *error);
