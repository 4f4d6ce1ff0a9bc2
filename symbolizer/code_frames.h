/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Unwind rules for code without call frame information, made from the machine
 * code itself: musl as Debian builds it, linkers' stubs, hand-written assembly.
 * What can be known of a frame is in code_state.h, how in code_flow.h. Foreign
 * bytes: to be used in the worker only.
 *
 * Functions begin at symbols, at targets of calls in the code that is looked at,
 * at the program's entry, and, in sections of linkers' stubs, at each stub. The
 * function at the program's entry is the outermost frame, and so is what clears
 * an unsaved rbp behind a system call (a new thread in clone()). A signal
 * handler's return trampoline is known by its bytes.
 *
 * Code of which nothing can be said with certainty gets UNWIND_CFA_NONE.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/base/vec.h"
#include "symbolizer/code_state.h"
#include "symbolizer/elf_image.h"

/* Bytes of code looked at in one file, and pieces of it; what is beyond gets no
 * rows. Five bytes of memory for each of the former. */
#define CODE_BYTES_MAX (8u << 20)
#define CODE_RANGES_MAX (1u << 18)
/* How long it may take: a worker that misses its deadline loses the whole file. */
#define CODE_TIME_MAX (2 * NSEC_PER_SEC)

struct code_gap { /* file offsets */
	uint64_t start, end;
};
typedef VEC(struct code_gap) code_gaps_vec;

struct code_stats {
	uint64_t bytes; /* looked at, padding included */
	uint64_t known; /* of them, in instructions whose rule is known */
	bool cut; /* a limit was reached: code is left that was not looked at */
};

/* A rule holds from its offset up to the next one's. `state`: what it was made
 * of, NULL if of something else. A negative result ends the run. */
typedef int code_row_fn(void *context, uint64_t offset, const struct unwind_rule *rule,
			const struct code_state *state);

struct code_frames {
	const struct elf_image *image; /* x86-64; its file must be open */
	const code_gaps_vec *gaps; /* sorted, disjoint, in executable segments */
	code_row_fn *row; /* rising offsets; the last one of each gap says NONE */
	void *context;
	struct code_stats stats; /* result */
};

/* -ENOMEM, -EIO, or what `row` gave. A gap that cannot be read has no rows. */
int code_frames_run(struct code_frames *frames, struct error *error);
