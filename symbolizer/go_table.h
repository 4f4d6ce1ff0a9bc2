/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What Go's linker says of Go's functions, in every Go program, stripped or not
 * (.gopclntab: the runtime's own table for its tracebacks; golang.org, "Go 1.2
 * Runtime Symbol Information", and internal/abi, runtime/symtab.go for its later
 * forms: Go 1.16, 1.18 and 1.20): their names, and how far the stack pointer is from
 * its place at entry at each instruction. Foreign bytes: to be used in the worker
 * only.
 *
 * Go's .debug_frame says the same, but nothing of rbp, nothing of changes of stacks,
 * and it is gone from stripped programs. Here:
 * - functions with a frame have saved rbp below the return address (Go's ABI,
 *   internal/abi: since 1.7 on amd64);
 * - functions that change stacks (runtime.systemstack and the like, marked as
 *   writing to SP) keep rbp across the change: their caller is found by it;
 * - runtime.mcall and runtime.morestack leave their caller for good, as Go's own
 *   traceback has it: they are the outermost frame, and so is what is marked as one.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/reader.h"
#include "daemon/base/vec.h"
#include "symbolizer/cfi_program.h"
#include "symbolizer/elf_image.h"

#define GO_TABLE_SIZE_MAX (256ull << 20)

enum go_function_kind {
	GO_PLAIN,
	GO_WRITES_SP, /* changes stacks; rbp stays */
	GO_OUTERMOST,
	GO_SIGNAL_RETURN, /* the kernel returns to it from a signal handler */
};

struct go_function {
	uint64_t start, end; /* ELF addresses */
	uint32_t name; /* offset in the table */
	uint32_t deltas; /* likewise, of the stack pointer's; 0: none */
	enum go_function_kind kind;
};

struct go_table {
	uint8_t *bytes; /* its own */
	size_t size;
	uint8_t quantum; /* unit of instruction lengths */
	VEC(struct go_function) functions; /* by address, none overlap */
};

void go_table_deinit(struct go_table *table);
/* -ENOENT if the file is no Go program's, or of a Go before 1.16; -EINVAL with
 * section and offset, -E2BIG, -EIO, -ENOMEM. */
int go_table_read(const struct elf_image *image, struct error *error, struct go_table *ret);
/* From the bytes of the section, which must be malloc()ed and are the table's from
 * then on; `text`: ELF address of the code. */
int go_table_parse(uint8_t *bytes, size_t size, uint64_t text, struct error *error,
		   struct go_table *ret);
/* "" where the name is damaged. */
const char *go_table_name(const struct go_table *table, const struct go_function *function);
/* The rows of [from, to) of one function; as cfi_program_run(). */
int go_table_rows(const struct go_table *table, const struct go_function *function, uint64_t from,
		  uint64_t to, cfi_row_fn *row, void *context, struct error *error);
