/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Puts an unwind table together, row by row with rising file offsets. A row
 * holds up to the next one; a row at the offset of the one before replaces it
 * (so code's end may be marked before it is known whether more code follows at
 * once), and a row with the rule of the one before is left out. Rules are kept
 * once.
 *
 * Zero-initialised is empty. What unwind_build_finish() gives away is the
 * caller's; unwind_build_deinit() gives back whatever is left.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "symbolizer/unwind_table.h"

/* From the first row's block to the last one's: 4 GiB of code. */
#define UNWIND_BUILD_BLOCKS_MAX (1u << 24)
#define UNWIND_BUILD_ROWS_MAX (1u << 26)
/* Rules looked at last, by their hash: most rows need one of a few. */
#define UNWIND_BUILD_RECENT 256u

struct unwind_build {
	VEC(uint32_t) blocks;
	VEC(uint32_t) rows;
	VEC(struct unwind_rule) rules;
	struct hashmap numbers; /* hash of a rule, or the next free value: its number */
	uint32_t recent[UNWIND_BUILD_RECENT]; /* number + 1; 0: none */
	uint64_t first_block;
	uint64_t offset; /* of the row under way */
	uint32_t rule; /* its number */
	uint32_t last_rule; /* of the last row that was written */
	bool pending; /* there is a row under way */
};

void unwind_build_deinit(struct unwind_build *build);
/* -EINVAL if the offset is below the one before, -E2BIG for more rules, rows or
 * code than a table can have, -ENOMEM. All bytes of the rule must be set. */
int unwind_build_add(struct unwind_build *build, uint64_t offset, const struct unwind_rule *rule);
/* Leaves an empty builder. */
int unwind_build_finish(struct unwind_build *build, struct unwind_table *ret);
