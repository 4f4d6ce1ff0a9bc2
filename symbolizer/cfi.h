/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The unwind table of an ELF file, from its call frame information: .eh_frame,
 * and .debug_frame for code of which that says nothing (Go's, in programs that
 * have both); for code of which neither says anything, from the code itself
 * (code_frames.h). Foreign bytes: to be used in the worker only.
 *
 * Go's code has a better table of its own (go_table.h), which goes before
 * .debug_frame.
 *
 * Where functions overlap, the one that begins first keeps the addresses (of
 * two that begin alike, the one that comes first in the section), and .eh_frame
 * goes before .debug_frame. Functions outside executable segments, as a linker
 * leaves behind for code that it has thrown away, are left out. Code between
 * functions, and behind the last one, gets UNWIND_CFA_NONE.
 *
 * A .debug_frame that is damaged does no harm to an .eh_frame that is not: it is
 * left out, and the statistics say so.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/code_frames.h"
#include "symbolizer/elf_image.h"
#include "symbolizer/unwind_table.h"

struct cfi_stats {
	uint32_t functions; /* FDEs that rows were made of */
	uint32_t outside; /* FDEs left out: not in executable code */
	uint32_t overlapped; /* FDEs left out or cut: the code is another one's */
	uint32_t unsupported; /* rows (before they are merged) that no rule can say */
	uint32_t go_functions_damaged; /* left out from where they are */
	bool go_table_damaged; /* left out: .debug_frame has to do */
	bool debug_frame_damaged; /* left out, for .eh_frame was good */
	struct code_stats code; /* of code without call frame information */
};

/* The image's file must still be open. -ENODATA: no executable code, or
 * nothing known of any; -ENOTSUP: not for x86-64; -EINVAL: damaged,
 * with section and offset; -E2BIG, -EIO, -ENOMEM. `stats` may be NULL. */
int cfi_build(const struct elf_image *image, struct error *error, struct cfi_stats *stats,
	      struct unwind_table *ret);
