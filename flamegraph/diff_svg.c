/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A difference as an interactive flame graph (svg.h). Boxes are as wide as the sum of
 * both profiles, so that what has vanished is there as well as what is new; or as wide
 * as one of them, and the foot says what that leaves out.
 *
 * The colour is the change of the box (palette.h). New boxes have a solid frame, gone
 * ones a dashed one.
 */
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/diff.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/svg.h"
#include "flamegraph/text.h"

#define WIDTH_DEFAULT 1200
#define WHOLE 1e12 /* width of the root: so fine that rounding is never seen */

struct drawing {
	const struct diff *diff;
	struct picture_changes changes;
	struct picture_change *of_node;
	struct tree tree;
	struct format_job job;
	size_t gone; /* nodes without a width, right below one that has one */
	double gone_value;
};

/* Each sample's amounts to its node, then from the leaves up to the root. */
static int fill_nodes(struct drawing *drawing, const struct hashmap *leaves)
{
	const struct profile *joined = drawing->diff->joined;
	size_t count = drawing->tree.nodes.count;
	struct picture_change *of_node = calloc(count, sizeof(*of_node));

	drawing->changes.of_node = drawing->of_node = of_node;
	if (!of_node)
		return -ENOMEM;
	for (size_t i = 0; i < joined->samples.count; i++) {
		const struct profile_sample *sample = &joined->samples.items[i];
		const uint64_t *values = joined->values.items + i * joined->value_type_count;
		uint64_t *node = hashmap_get(leaves, (uint64_t)sample->comm << 32 | sample->stack);
		struct picture_change *change;

		if (!node)
			continue;
		change = &of_node[*node];
		change->self_before = profile_sum(change->self_before, values[DIFF_BEFORE]);
		change->self_after = profile_sum(change->self_after, values[DIFF_AFTER]);
	}
	for (size_t i = count; i-- > 0;) {
		struct picture_change *change = &of_node[i];
		struct picture_change *parent =
			&of_node[i ? drawing->tree.nodes.items[i].parent : 0];

		change->before = profile_sum(change->before, change->self_before);
		change->after = profile_sum(change->after, change->self_after);
		if (i) {
			parent->before = profile_sum(parent->before, change->before);
			parent->after = profile_sum(parent->after, change->after);
		}
	}
	return 0;
}

static double width_of(const struct drawing *drawing, uint64_t before, uint64_t after)
{
	const struct picture_changes *changes = &drawing->changes;

	return (changes->wide_before ? (double)before * changes->factor : 0) +
	       (changes->wide_after ? (double)after : 0);
}

/* The tree's values become widths. */
static void widen_nodes(struct drawing *drawing)
{
	const struct picture_change *of_node = drawing->of_node;
	struct tree_node *nodes = drawing->tree.nodes.items;
	double scale = WHOLE / width_of(drawing, of_node[0].before, of_node[0].after);

	for (size_t i = 0; i < drawing->tree.nodes.count; i++) {
		nodes[i].self = (uint64_t)(0.5 + scale * width_of(drawing, of_node[i].self_before,
								  of_node[i].self_after));
		nodes[i].total = 0;
	}
	for (size_t i = drawing->tree.nodes.count; i-- > 0;) {
		nodes[i].total += nodes[i].self;
		if (i)
			nodes[nodes[i].parent].total += nodes[i].total;
	}
	for (size_t i = 1; i < drawing->tree.nodes.count; i++) {
		if (nodes[i].total)
			continue;
		if (!nodes[nodes[i].parent].total)
			continue;
		drawing->gone++;
		drawing->gone_value += (double)of_node[i].before * drawing->changes.factor +
				       (double)of_node[i].after;
	}
}

static void put_side(struct strbuf *text, const struct diff *diff, const char *which,
		     const char *title, uint64_t value)
{
	strbuf_printf(text, "%s ", which);
	text_put(text, title, strlen(title));
	strbuf_puts(text, *title ? " " : "");
	text_put_value(text, value, diff->unit);
}

/* Children of boxes that are not drawn for having no width at all. */
static size_t count_empty(const struct picture *picture)
{
	const struct tree_node *nodes = picture->tree.nodes.items;
	size_t empty = 0;

	for (size_t i = 0; i < picture->boxes.count; i++) {
		uint32_t parent = picture->boxes.items[i].node;

		for (uint32_t child = parent + 1; child < nodes[parent].end;
		     child = nodes[child].end)
			empty += !nodes[child].total;
	}
	return empty;
}

static void put_foot(struct strbuf *foot, const struct drawing *drawing,
		     const struct picture *picture)
{
	size_t thin = picture->thin - count_empty(picture);

	if (thin) {
		text_put_count(foot, thin);
		strbuf_puts(foot, thin == 1 ? " branch" : " branches");
		strbuf_puts(foot, " too thin to see, together ");
		text_put_percent(foot, picture->thin_value, drawing->job.total);
		strbuf_puts(foot, " of the width\n");
	}
	if (drawing->gone) {
		text_put_count(foot, drawing->gone);
		strbuf_puts(foot, " boxes without a width in this view, together ");
		text_put_value(foot, (uint64_t)(drawing->gone_value + 0.5), drawing->diff->unit);
		strbuf_putc(foot, '\n');
	}
}

static void put_words(const struct drawing *drawing, struct strbuf *sides, struct strbuf *scale)
{
	const struct diff *diff = drawing->diff;
	const struct picture_changes *changes = &drawing->changes;

	put_side(sides, diff, "before:", diff->before_title, diff->all.before);
	put_side(sides, diff, " · after:", diff->after_title, diff->all.after);
	strbuf_printf(scale, "compared by %s, the before taken %.4g times; boxes as wide as %s",
		      diff->scale == DIFF_SECOND  ? "second"
		      : diff->scale == DIFF_SHARE ? "share"
						  : "value",
		      diff->factor,
		      !changes->wide_before  ? "the after"
		      : !changes->wide_after ? "the before"
					     : "both together");
}

static int write_page(const struct drawing *drawing, const struct picture *picture, FILE *out)
{
	const unsigned less = palette_change_colour(PALETTE_LESS);
	const unsigned more = palette_change_colour(PALETTE_MORE);
	const unsigned gone = palette_change_colour(PALETTE_GONE);
	const unsigned new = palette_change_colour(PALETTE_NEW);
	const struct picture_legend legend[] = {
		{"gone", gone}, {"less", less + 3},
		{"", less + 2}, {"", less + 1},
		{"", less},     {"alike", palette_change_colour(PALETTE_ALIKE)},
		{"", more},     {"", more + 1},
		{"", more + 2}, {"more", more + 3},
		{"new", new},
	};
	_cleanup_(strbuf_deinit) struct strbuf sides = {0};
	_cleanup_(strbuf_deinit) struct strbuf scale = {0};
	_cleanup_(strbuf_deinit) struct strbuf foot = {0};
	_cleanup_(strbuf_deinit) struct strbuf style = {0};
	struct svg_page page = {.picture = picture, .legend = legend};

	page.legend_count = sizeof(legend) / sizeof(*legend);
	put_words(drawing, &sides, &scale);
	put_foot(&foot, drawing, picture);
	/* Frames of their own: what is new or gone is seen without colours. */
	strbuf_printf(&style,
		      "#boxes path.c%u:not(.n),#boxes path.c%u:not(.n),#legend .c%u,"
		      "#legend .c%u{stroke:#191a1c;stroke-width:1.4}\n"
		      "#boxes path.c%u,#legend .c%u{stroke-dasharray:3 2}\n"
		      "@media (prefers-color-scheme: dark) {\n#boxes path.c%u:not(.n),"
		      "#boxes path.c%u:not(.n),#legend .c%u,#legend .c%u{stroke:#fff}\n}\n",
		      gone, new, gone, new, gone, gone, gone, new, gone, new);
	if (sides.failed || scale.failed || foot.failed || style.failed)
		return -ENOMEM;
	page.origin = strbuf_text(&sides);
	page.amount = strbuf_text(&scale);
	page.foot = strbuf_text(&foot);
	page.style = strbuf_text(&style);
	return svg_write(&page, out);
}

static int draw(struct drawing *drawing, FILE *out)
{
	struct picture picture;
	int r;

	widen_nodes(drawing);
	drawing->job.total = drawing->tree.nodes.items[0].total;
	r = picture_init_changes(&picture, &drawing->job, &drawing->tree, &drawing->changes,
				 SVG_LEAST_PX / drawing->job.width, SVG_BOXES_MAX);
	if (r)
		return r;
	r = write_page(drawing, &picture, out);
	picture_deinit(&picture);
	return r;
}

int diff_svg_write(const struct diff *diff, const struct diff_options *options, FILE *out)
{
	struct hashmap leaves = {0};
	struct tree_options tree_options = {.value_type = DIFF_SUM, .leaves = &leaves};
	struct drawing drawing = {
		.diff = diff,
		.changes = {.factor = diff->factor,
			    .wide_before = options->width != DIFF_WIDTH_AFTER,
			    .wide_after = options->width != DIFF_WIDTH_BEFORE},
		.job = {.profile = diff->joined,
			.value_name = "change",
			.value_unit = diff->unit,
			.title = "What changed",
			.palette = palette_styles,
			.width = options->width_px ? options->width_px : WIDTH_DEFAULT},
	};
	int r = tree_init(&drawing.tree, diff->joined, &tree_options);

	if (!r) {
		r = fill_nodes(&drawing, &leaves);
		if (!r)
			r = draw(&drawing, out);
		tree_deinit(&drawing.tree);
	}
	hashmap_deinit(&leaves);
	free(drawing.of_node);
	return r;
}
