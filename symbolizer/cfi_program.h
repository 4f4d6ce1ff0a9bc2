/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs the programs of call frame information (DWARF 5, section 6.4.2): for each
 * stretch of a function the rule that holds there. The instructions come from the
 * section's own bytes through the bounded reader, so that an error has its offset.
 * One pass, no jumps: the time is that of reading the bytes.
 */
#pragma once

#include <stdint.h>

#include "bpf/unwind.h"
#include "daemon/base/error.h"
#include "symbolizer/cfi_frames.h"
#include "symbolizer/cfi_rule.h"

/* The rule for [start, next call's start): ELF addresses, rising. A negative
 * result ends the run. */
typedef int cfi_row_fn(void *context, uint64_t start, const struct unwind_rule *rule);

/* What a CIE's program leaves behind for its FDEs. -EINVAL with section and
 * offset. */
int cfi_program_start(const struct cfi_section *section, const struct cfi_cie *cie,
		      struct error *error, struct cfi_state *ret);

struct cfi_run {
	const struct cfi_section *section;
	const struct cfi_cie *cie;
	const struct cfi_fde *fde;
	const struct cfi_state *start; /* cfi_program_start()'s */
	uint64_t from, to; /* the part of the FDE's range that is asked for; not empty */
	cfi_row_fn *row;
	void *context;
};
/* -EINVAL with section and offset, or what `row` gave (it writes the text). An
 * instruction that is not known ends the program: from there on the rule is
 * UNWIND_CFA_UNSUPPORTED. */
int cfi_program_run(const struct cfi_run *run, struct error *error);
