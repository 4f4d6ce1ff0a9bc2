/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The functions that a section of call frame information speaks of: which
 * addresses each covers, and the bytes of its program and of its CIE's. Made by
 * libdwarf, which decodes the headers; the programs are run by cfi_program.h.
 *
 * Why not libdwarf for those too: of libLLVM-14's 95 k FDEs (861 k rows) it makes
 * the list in 0.03 s, but expands the instructions in 0.30 s and looks the rows
 * up, one by one, in 0.30 s for a single column, each time from the function's
 * beginning; and says of no error where it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"
#include "symbolizer/cfi_rule.h"
#include "symbolizer/cfi_section.h"

struct cfi_cie {
	struct cfi_bytes program; /* initial instructions */
	uint64_t code_alignment;
	int64_t data_alignment;
	uint16_t ra_register;
	bool signal; /* 'S': of a signal handler's trampoline */
};

struct cfi_fde {
	uint64_t start, length; /* ELF addresses */
	struct cfi_bytes program;
	uint32_t offset; /* of the FDE in the section */
	uint32_t cie; /* number in cies */
};

struct cfi_frames {
	VEC(struct cfi_cie) cies;
	VEC(struct cfi_fde) fdes; /* by address; those that begin alike, by their offset */
};

void cfi_frames_deinit(struct cfi_frames *frames);
/* The section has been checked. -EINVAL with section and offset, -ENOMEM. */
int cfi_frames_read(const struct cfi_section *section, struct error *error, struct cfi_frames *ret);
