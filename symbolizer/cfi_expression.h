/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * DWARF expressions (DWARF 5, section 2.5) in call frame information, as far as
 * compilers, linkers and assembler writers use them: an expression is evaluated
 * with registers as unknowns, and comes out in one of a few forms or as
 * CFI_EXPRESSION_OTHER. Bounded: some 64 operations, no jumps.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum cfi_expression_form {
	CFI_EXPRESSION_OTHER, /* none of these; first_opcode says what it begins with */
	CFI_EXPRESSION_LINEAR, /* reg + offset */
	CFI_EXPRESSION_DEREF, /* [reg + offset] + extra */
	CFI_EXPRESSION_PLT, /* rsp + offset + ((rip & 15) >= extra ? 8 : 0) */
};

struct cfi_expression {
	enum cfi_expression_form form;
	uint8_t reg; /* DWARF number */
	uint8_t first_opcode;
	int64_t offset, extra;
};

void cfi_expression_read(const void *bytes, size_t size, struct cfi_expression *ret);
