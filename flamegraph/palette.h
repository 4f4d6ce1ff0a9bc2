/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Palettes: which colour a box has, and why. A palette sorts functions into groups
 * (by kind, by module, by nothing), and a group has a hue of a few shades; which of
 * them is decided by the function's name, so that a function looks alike in every
 * picture. Each colour has a light and a dark one of the same role.
 *
 * Colours are numbered; number N is the class "cN" of the style sheet that
 * palette_put_css() writes.
 *
 * Ownership: a palette refers to the labels, which must outlive it unchanged.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/labels.h"

struct palette_style {
	const char *name;
	const char *help; /* one line */
	const struct palette_group *groups; /* by kind, root last; see palette.c */
	int by_module; /* user code has a hue for each of the biggest modules */
};

extern const struct palette_style palette_styles[];
extern const size_t palette_style_count;

/* NULL if there is none of that name. */
const struct palette_style *palette_find(const char *name);
/* "kind, hot, …" for messages; to be freed by the caller, NULL: no memory. */
char *palette_names(void);

struct palette {
	const struct palette_style *style;
	const struct labels *labels;
	uint32_t *of_module; /* string of the profile -> hue; NULL: not by module */
};

/* `weights`: by label, what makes a module big: the modules with the largest sums
 * get hues of their own. 0 or -ENOMEM (nothing to deinit then). */
int palette_init(struct palette *palette, const struct palette_style *style,
		 const struct labels *labels, const uint64_t *weights);
void palette_deinit(struct palette *palette);

/* The colour's number; PROFILE_NONE: the root. */
unsigned palette_colour(const struct palette *palette, uint32_t label);
/* The colour of a box in a difference: orange is more, blue is less, in steps of its
 * change in parts of the larger amount. Steps differ in lightness too, for readers with
 * any colour vision and for printers. Grey is no change, or one of less than a unit. The
 * colours follow one another from PALETTE_LESS on, as in the enum. */
enum palette_change {
	PALETTE_LESS, /* the smallest step of */
	PALETTE_ALIKE = PALETTE_LESS + 4,
	PALETTE_MORE, /* likewise */
	PALETTE_GONE = PALETTE_MORE + 4,
	PALETTE_NEW,
};
unsigned palette_change_colour(enum palette_change change);
/* An enum palette_change, or a greater step. */
unsigned palette_change_of(double before, double after);
/* How many colours there are, and so the first number that is none. */
unsigned palette_colours(void);

/* What `label` is an example of, for a legend ("kernel", "libc.so.6"): text that is
 * not cleaned (text.h); NULL: nothing that needs explaining. Groups differ in
 * *ret_group, below PALETTE_GROUPS_MAX; *ret_colour is a good one to show. */
#define PALETTE_GROUPS_MAX 64
const char *palette_explain(const struct palette *palette, uint32_t label, unsigned *ret_group,
			    unsigned *ret_colour);

/* ".c0{fill:#…}" and on for a light page, then for a dark one in a media query, of the
 * colours that are used[number]; NULL: of all. */
void palette_put_css(struct strbuf *out, const uint8_t *used);
