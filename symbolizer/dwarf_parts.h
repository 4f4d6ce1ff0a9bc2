/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The files that a program's debug information is in besides its own: what it
 * shares with others (dwz), the package of its split units, their .dwo files.
 * Which of them are wanted for an address is told; who has privileges looks for them, opens
 * them and hands them in, or says that they are not to be had. In the worker only.
 *
 * A file is known by a number: two of them are fixed, any other is its unit's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"
#include "symbolizer/dwarf_index.h"
#include "symbolizer/dwarf_supplement.h"

#define DWARF_PARTS_SUPPLEMENT UINT32_MAX
#define DWARF_PARTS_PACKAGE (UINT32_MAX - 1)
#define DWARF_PARTS_WANTED_MAX 64u /* files that are asked for at a time */

struct dwarf_parts {
	struct dwarf_supplement supplement;
	bool supplement_asked;
};

/* Whether there can be any. index may be NULL. */
bool dwarf_parts_any(const struct dwarf_parts *parts, const struct dwarf_index *index);

/* A list of wanted files under way, as wire.h has it. */
struct dwarf_wants {
	struct strbuf records;
	uint32_t count;
	uint32_t numbers[DWARF_PARTS_WANTED_MAX];
};
/* Those that are wanted before any address is looked up. build_id: the program's. */
void dwarf_parts_wanted(const struct dwarf_parts *parts, struct dwarf_index *index,
			const uint8_t *build_id, size_t build_id_size, struct dwarf_wants *wants);
/* Those that are wanted for an address; false: there is no room for more. */
bool dwarf_parts_wanted_at(struct dwarf_index *index, uint64_t address, struct dwarf_wants *wants);

/* A wanted file is there; fd -1: it is not to be had. 1: the descriptor is the index's now; 0: it
 * was used, and may be closed; else why it is not taken. */
int dwarf_parts_add(struct dwarf_parts *parts, struct dwarf_index *index, uint32_t number, int fd,
		    struct error *error);
