/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The line number table of one unit (DWARF 5, 6.2; versions 2 to 5), run once and
 * kept as sorted rows of twelve bytes. Of rows at one address the last counts; a
 * row that says what the one before said is left out. Also the names of files, for
 * places of calls name them by number.
 *
 * Zero-initialised is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "symbolizer/dwarf_functions.h"

#define DWARF_PROGRAM_MAX (1ULL << 28) /* bytes of one program */
#define DWARF_FILES_MAX (1u << 20) /* of one unit */
#define DWARF_ROWS_MAX (1u << 27)

struct dwarf_row {
	uint32_t at; /* bytes from `base`; it reaches to the next one */
	uint32_t line;
	uint32_t file; /* DWARF_NONE: nothing here */
};

struct dwarf_source { /* a source file */
	struct dwarf_string name;
	uint32_t folder;
	uint32_t path; /* for the index: 0 until it was looked up */
};

struct dwarf_lines {
	uint64_t base; /* ELF address */
	bool from_zero; /* numbers of files begin at 0, and folder 0 is listed */
	VEC(struct dwarf_row) rows;
	VEC(struct dwarf_source) sources;
	VEC(struct dwarf_string) folders;
};

/* asked: only the rows of these addresses are kept; NULL: all. A program that is
 * damaged ends there: its whole sequences stay. -ENOMEM, -E2BIG; -EBADMSG for a
 * header that cannot be read. */
int dwarf_lines_init(struct dwarf_lines *ret, struct dwarf_file *file,
		     const struct dwarf_unit *unit, const struct dwarf_bounds *bounds,
		     const struct dwarf_asked *asked);
void dwarf_lines_deinit(struct dwarf_lines *lines);
size_t dwarf_lines_memory(const struct dwarf_lines *lines);
/* The row that covers an ELF address, or NULL. */
const struct dwarf_row *dwarf_lines_find(const struct dwarf_lines *lines, uint64_t address);
/* A file by the number that rows and calls have, or NULL. */
struct dwarf_source *dwarf_lines_source(const struct dwarf_lines *lines, uint32_t number);
