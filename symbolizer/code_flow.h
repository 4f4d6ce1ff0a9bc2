/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A range of machine code without call frame information, and the frame state
 * (code_state.h) before each of its instructions, found by following the flow
 * from the functions' beginnings. Foreign bytes: to be used in the worker only.
 *
 * Beginnings that somebody vouches for (symbols, targets of calls) are entered
 * with the state of a function's entry. What no way leads to from there (behind
 * a jump through a table, functions that are only pointed to) is tried with the
 * state of the nearest such jump before, then as a function's beginning, and
 * counts only if it proves itself: it must come to a return with the return
 * address on top of the stack, to known code whose state agrees, or, if its address
 * is taken somewhere, to a call with the stack aligned as it has to be; and to nothing
 * that contradicts. A contradiction is a return, or a join with known code, at
 * another depth of the stack.
 *
 * Whether a call comes back is not always known (code_returns.h). It is taken to;
 * where what follows is reached in another way too and the two disagree, it does
 * not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "symbolizer/code_ranges.h"
#include "symbolizer/code_returns.h"
#include "symbolizer/code_state.h"

/* States of all ranges together, each once: some 200 bytes each. */
#define CODE_STATES_MAX (1u << 17)
/* Instructions followed, in all ranges together, repetitions counted. */
#define CODE_STEPS_MAX (1u << 22)
/* Followed again, a function or all of a range, as calls turned out not to return. */
#define CODE_RESTARTS_MAX 16u

struct code_states { /* shared by a file's ranges */
	VEC(struct code_state) items;
	struct hashmap numbers; /* hash of a state, or the next free value: its number */
	uint32_t steps;
	uint64_t deadline; /* CLOCK_BOOTTIME, ns; 0: none */
	bool full; /* a limit was reached: what was not known by then stays unknown */
};

void code_states_deinit(struct code_states *states);
/* Gives `at` to all that can be known, once the entries are marked. -ENOMEM. */
int code_range_follow(struct code_range *range, const struct code_returns *returns,
		      struct code_states *states);
