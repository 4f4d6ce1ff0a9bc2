/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A picture: what of a profile's call tree is drawn, in which colours, and the same
 * as text for the scripts (picture.js) that make it answer.
 *
 * Boxes are the tree's nodes in preorder, without those that are too thin to be
 * seen; what these hold is kept at their parents (`thin`) and told by all who show
 * the picture. The text is lines, cleaned (text.h) and with XML's entities, so that
 * it can stand in an SVG or HTML document as the content of an element:
 *
 *	flame 1
 *	unit nanoseconds
 *	value cpu
 *	modules N		then N lines: a module's name each
 *	labels N		then N lines: COLOUR MODULE KIND PLACE NAME
 *	boxes N			then one line: N of UP,LABEL[,SELF[,THIN]], blanks between
 *
 * MODULE counts from 1 (0: none); KIND is a letter of picture_kind(), 'r' the root;
 * PLACE is "-" or FIRST:LAST:FILE, blanks in FILE as %20 and % as %25; NAME is the
 * rest of the line. Label 0 is the root's. UP is how many levels above the box
 * before the parent is: 0 for a child of it, 1 for its sibling.
 *
 * The picture of a difference has one section more:
 *
 *	changes COLOUR FACTOR W V	then one line: for each box
 *	BEFORE,AFTER[,THIN_BEFORE,THIN_AFTER]
 *
 * These are what the box is itself in either profile, and what its children are that
 * are left out. COLOUR is the first of the changes' colours (palette.h), FACTOR what the
 * before is multiplied with to be compared. SELF and THIN are then no more than shares:
 * a box is as wide as W times its before and V times its after, 0 or 1 each.
 *
 * Ownership: a picture refers to the job, which must outlive it unchanged.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/strbuf.h"
#include "daemon/base/vec.h"
#include "flamegraph/format.h"
#include "flamegraph/palette.h"
#include "flamegraph/tree.h"

struct picture_box {
	uint32_t node; /* of the tree */
	uint64_t begin; /* value to the left of it: the first child begins where its parent does */
	uint64_t thin; /* value of its children that are left out */
};

/* What a node is in both profiles of a difference, as in the profiles. */
struct picture_change {
	uint64_t self_before, self_after;
	uint64_t before, after; /* with all below it */
};

struct picture_changes {
	double factor;
	bool wide_before, wide_after; /* W and V */
	const struct picture_change *of_node; /* by node of the tree */
};

struct picture {
	const struct format_job *job;
	struct tree tree;
	const struct picture_changes *changes; /* NULL: not of a difference */
	struct palette palette;
	VEC(struct picture_box) boxes;
	uint32_t depth; /* of the highest box */
	size_t thin; /* branches left out: nodes whose parents are drawn, */
	uint64_t thin_value; /* and what they hold, with all below */
	VEC(uint32_t) labels; /* of the boxes but the root, in the order of their first use */
	uint32_t *number; /* by label of the tree: place in the above + 1; 0: not drawn */
};

/* Boxes below `least` of the whole (0.001: a thousandth) are left out; if more than
 * `most` boxes are left, `least` is raised until they are not. `leaves`: see
 * tree_options. 0, or as tree_init() (nothing to deinit then). */
int picture_init(struct picture *picture, const struct format_job *job, double least, size_t most,
		 struct hashmap *leaves);
/* The picture of a difference: of a tree whose values are the widths, which is the
 * picture's from now on, also if this fails. `changes` must outlive it. */
int picture_init_changes(struct picture *picture, const struct format_job *job, struct tree *tree,
			 const struct picture_changes *changes, double least, size_t most);
void picture_deinit(struct picture *picture);

/* The letter of an enum frame_kind or LABEL_COMM. */
char picture_kind(uint32_t kind);
/* Name of a box; "all": the root's. */
const char *picture_name(const struct picture *picture, const struct picture_box *box,
			 size_t *ret_length);
unsigned picture_colour(const struct picture *picture, const struct picture_box *box);

/* What the colours of the boxes mean, each meaning once, in the order of the labels;
 * texts are not cleaned (text.h). Gives how many there are. */
struct picture_legend {
	const char *text;
	unsigned colour;
};
size_t picture_legend(const struct picture *picture,
		      struct picture_legend ret[static PALETTE_GROUPS_MAX]);

/* The text described above. */
void picture_put_text(struct strbuf *out, const struct picture *picture);
/* "not drawn: 3 branches too thin to see, together 50 ns (0.01 %)"; nothing if none is. */
void picture_put_thin(struct strbuf *out, const struct picture *picture);
