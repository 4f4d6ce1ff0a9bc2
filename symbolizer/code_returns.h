/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which functions never return (abort, __stack_chk_fail, whatever ends in one of
 * them): what lies behind a call of such a one belongs to somebody else, and was
 * not come to from there. Known of functions in code without call frame information by
 * following it (no way leads to a return), and of those that are called through
 * a linker's stub by their names. Foreign bytes: to be used in the worker only.
 *
 * Zero-initialised is empty.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "symbolizer/code_ranges.h"
#include "symbolizer/elf_image.h"

/* Instructions looked at in one function, and in all; calls within calls; times that
 * all is looked at: who needs more is taken to return. */
#define CODE_RETURNS_STEPS_MAX 65536u
#define CODE_RETURNS_STEPS_ALL (1u << 22)
#define CODE_RETURNS_DEPTH_MAX 8u
#define CODE_RETURNS_ROUNDS_MAX 8u

/* Reading a large file's relocations takes longer than all else here. For the few
 * functions of the C run time that nearly every file has without call frame
 * information it is not done. */
#define CODE_RETURNS_NAMES_MIN 4096u

struct code_returns {
	VEC(uint64_t) never; /* ELF addresses of functions that do not return, sorted */
};

/* Looks at all entries of the ranges (code_entries.h). -ENOMEM. */
int code_returns_init(struct code_returns *ret, const struct elf_image *image,
		      const code_ranges_vec *ranges);
void code_returns_deinit(struct code_returns *returns);
/* Of the function that begins at the ELF address. */
bool code_returns_never(const struct code_returns *returns, uint64_t address);
