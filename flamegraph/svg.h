/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A picture as one SVG file. It is whole without its script (in an <img>, in a
 * README): drawn for the job's width, and scaled by the viewBox. With the script it
 * fills the window and answers.
 *
 * Parts, from the top: title, two lines of words, legend, the boxes (root at the
 * bottom), the foot, and the picture's text (picture.h), which the script reads and
 * draws from.
 */
#pragma once

#include <stdio.h>

#include "flamegraph/picture.h"

#define SVG_BOXES_MAX 25000 /* keeps the file near a megabyte, whatever the profile */
#define SVG_LEAST_PX 0.1 /* narrower boxes are not drawn */

/* Words need not be clean (text.h); the picture's job has the title and the width. */
struct svg_page {
	const struct picture *picture;
	const char *origin, *amount; /* the lines below the title */
	const struct picture_legend *legend;
	size_t legend_count;
	const char *foot; /* lines, each with its \n; "": none */
	const char *style; /* rules after those of the colours; "": none */
};

/* Colours of the legend have their rules even if no box has them. 0 or -ENOMEM. */
int svg_write(const struct svg_page *page, FILE *out);
