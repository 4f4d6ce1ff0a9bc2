/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From what call frame information says of the columns that unwinding needs (the
 * CFA, the return address, rbp and the other registers that a function gives back
 * as they were) to a rule of an unwind table. What no rule can say becomes
 * UNWIND_CFA_UNSUPPORTED with the opcode that was in the way, or, of a register
 * alone, UNWIND_UNDEFINED or UNWIND_SAVED_UNKNOWN.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/unwind.h"
#include "symbolizer/cfi_section.h"

struct cfi_bytes { /* in the section */
	uint32_t offset;
	uint32_t size;
};

/* How a column's value is found; DW_CFA_… of the same names. */
enum cfi_value_kind {
	CFI_UNSET, /* nothing was said */
	CFI_UNDEFINED,
	CFI_SAME,
	CFI_OFFSET, /* at CFA + number */
	CFI_VAL_OFFSET, /* CFA + number */
	CFI_REGISTER, /* in register reg; of the CFA: reg + number */
	CFI_EXPRESSION, /* at the address that the expression gives; the CFA: is what it gives */
	CFI_VAL_EXPRESSION, /* is what the expression gives */
};

struct cfi_value {
	enum cfi_value_kind kind;
	uint64_t reg;
	int64_t number;
	struct cfi_bytes expression;
};

struct cfi_state {
	struct cfi_value cfa, rbp, ra;
	struct cfi_value saved[UNWIND_SAVED_COUNT]; /* rbx, r12 to r15 */
};

/* `signal`: the CIE is one of signal frames. All bytes of the rule are set. */
void cfi_rule_of_state(const struct cfi_section *section, const struct cfi_state *state,
		       bool signal, struct unwind_rule *ret);
/* A rule without offsets: NONE, END, UNSUPPORTED with the opcode as `extra`. */
struct unwind_rule cfi_rule_plain(enum unwind_cfa cfa, int16_t extra);
