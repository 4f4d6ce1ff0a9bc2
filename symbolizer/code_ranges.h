/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pieces of machine code without call frame information, and what is noted of
 * each byte while they are looked at. Foreign bytes: to be used in the worker only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "symbolizer/code_insn.h"
#include "symbolizer/elf_image.h"

struct code_range {
	const uint8_t *bytes; /* the caller's; they must stay */
	uint64_t address; /* ELF address of the first one */
	uint64_t offset; /* likewise, in the file */
	uint32_t size;
	bool stubs; /* linker's stubs: small, and all of them end in jumps */
	uint16_t *marks; /* one a byte: enum code_mark */
	uint32_t *at; /* number of the state before the instruction there + 1; 0: unknown */
};

enum code_mark {
	CODE_ENTRY = 1 << 0, /* a function begins here */
	CODE_COVERED = 1 << 1, /* a byte of an instruction that was followed */
	CODE_AFTER_CALL = 1 << 2, /* first reached by returning from a call */
	CODE_NO_RETURN = 1 << 3, /* the call before does not come back */
	CODE_TRIAL = 1 << 4, /* belongs to the function under way */
	CODE_TABLE_JUMP = 1 << 5, /* a jump to nobody knows where, within the function */
	CODE_OUTERMOST = 1 << 6, /* with CODE_ENTRY: nobody calls it */
	CODE_JUDGED = 1 << 7, /* with CODE_ENTRY: it is known whether the function returns */
	CODE_NEVER = 1 << 8, /* with CODE_JUDGED: it does not */
	CODE_TAKEN = 1 << 9, /* its address is taken: maybe a function's */
	CODE_TARGET = 1 << 10, /* something jumps to it */
};

typedef VEC(struct code_range) code_ranges_vec; /* by file offset, disjoint */

/* The rest of the range must be set. -ENOMEM. */
int code_range_init(struct code_range *range);
void code_range_deinit(struct code_range *range);
/* False: no instruction there, or not all of it. */
bool code_range_decode(const struct code_range *range, uint32_t place, struct code_insn *ret);
/* The range with the ELF address; NULL: in none. */
struct code_range *code_ranges_find(const struct elf_image *image, const code_ranges_vec *ranges,
				    uint64_t address, uint32_t *ret_place);
