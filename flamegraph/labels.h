/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Labels: what makes two frames of a profile the same box or the same row. A
 * profile's frame is a place (address, line); people ask about functions. Two
 * ways of telling them apart:
 *
 *	LABELS_FUNCTION  name, module and kind alike
 *	LABELS_FOLDED    the same text in a folded line: name and suffix, with
 *	                 everything replaced that would break the line
 *
 * Threads' names (comm) have labels too, of kind LABEL_COMM; in LABELS_FOLDED
 * they share those of frames with the same text.
 *
 * Ownership: labels refer to the profile, which must outlive them unchanged.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/radix.h"
#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"
#include "flamegraph/profile.h"

enum labels_mode { LABELS_FUNCTION, LABELS_FOLDED };

#define LABEL_COMM ((uint32_t)FRAME_KIND_COUNT)

struct label {
	uint32_t text; /* string in labels->strings; never empty text */
	uint32_t module; /* string of the profile; "" in LABELS_FOLDED */
	uint32_t kind; /* enum frame_kind or LABEL_COMM; the first seen in LABELS_FOLDED */
	uint32_t file; /* string of the profile: source of the first frame that knows; 0: none does
			*/
	uint32_t first_line; /* of all frames in that file, the least line */
	uint32_t last_line; /* and the greatest; 0: unknown */
};

struct labels {
	const struct profile *profile;
	enum labels_mode mode;
	struct strtab strings;
	VEC(struct label) items;
	uint32_t *of_frame; /* profile's frame -> label */
	uint32_t *of_comm; /* profile's string -> label; PROFILE_NONE: no sample has it */
};

/* 0 or -ENOMEM (nothing to deinit then). */
int labels_init(struct labels *labels, const struct profile *profile, enum labels_mode mode);
void labels_deinit(struct labels *labels);

const char *label_text(const struct labels *labels, uint32_t label, size_t *ret_length);

/* The first LABEL_PREFIX bytes of a text as a number, zeros behind its end: most order is
 * settled by them, without a look at the text. */
#define LABEL_PREFIX 8
uint64_t label_prefix(const char *text, size_t length);
/* Sorts labels, or what is made of them, whose keys are prefixes; `compare` is asked, as
 * qsort_r() would, of those alike in it. 0 or -ENOMEM. */
int labels_sort(struct radix_item *keys, size_t count,
		int (*compare)(const void *a, const void *b, void *context), void *context);

/* ret[label] = its place among all labels sorted by text (bytes), module, kind.
 * To be freed by the caller; NULL: out of memory. */
uint32_t *labels_rank(const struct labels *labels);
/* The inverse: the labels in that order. */
uint32_t *labels_order(const struct labels *labels);
