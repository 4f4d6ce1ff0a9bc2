/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/picture.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/text.h"

static const char letters[] = {
	[FRAME_USER] = 'u',        [FRAME_KERNEL] = 'k',  [FRAME_INLINE] = 'i', [FRAME_JIT] = 'j',
	[FRAME_INTERPRETED] = 'p', [FRAME_SPECIAL] = 's', [LABEL_COMM] = 'c',
};
_Static_assert(sizeof(letters) == FRAME_KIND_COUNT + 1, "a letter for each kind");

char picture_kind(uint32_t kind)
{
	return letters[kind];
}

static size_t count_boxes(const struct tree *tree, double least_value)
{
	size_t count = 0;

	for (uint32_t i = 0; i < tree->nodes.count;) {
		bool thin = (double)tree->nodes.items[i].total < least_value;

		count += !thin;
		i = thin ? tree->nodes.items[i].end : i + 1;
	}
	return count;
}

static int number_label(struct picture *picture, uint32_t label)
{
	if (label == PROFILE_NONE || picture->number[label])
		return 0;
	if (vec_push(&picture->labels, label))
		return -ENOMEM;
	picture->number[label] = (uint32_t)picture->labels.count;
	return 0;
}

/* Sums that stay at the top (profile_sum()) may be less than their parts. */
static void shrink(uint64_t *value, uint64_t by)
{
	*value = *value > by ? *value - by : 0;
}

/* Boxes stand close together from the left of their parent; to their right remain
 * what is its own and what is too thin: at first all of it is. `open[depth]` is the
 * last box of that depth, next_x[depth] where the next one begins. */
static int take_boxes(struct picture *picture, double least_value, size_t *open, uint64_t *next_x)
{
	const struct tree *tree = &picture->tree;

	next_x[0] = 0;
	for (uint32_t i = 0; i < tree->nodes.count;) {
		const struct tree_node *node = &tree->nodes.items[i];
		struct picture_box box = {.node = i, .begin = next_x[node->depth]};

		if ((double)node->total < least_value) {
			picture->thin++;
			i = node->end;
			continue;
		}
		box.thin = node->total - node->self;
		picture->thin += node->thin;
		if (node->depth)
			shrink(&picture->boxes.items[open[node->depth - 1]].thin, node->total);
		next_x[node->depth] = profile_sum(box.begin, node->total);
		next_x[node->depth + 1] = box.begin;
		open[node->depth] = picture->boxes.count;
		if (node->depth > picture->depth)
			picture->depth = node->depth;
		if (vec_push(&picture->boxes, box) || number_label(picture, node->label))
			return -ENOMEM;
		i++;
	}
	for (size_t i = 0; i < picture->boxes.count; i++)
		picture->thin_value =
			profile_sum(picture->thin_value, picture->boxes.items[i].thin);
	return 0;
}

static int choose_boxes(struct picture *picture, double least, size_t most)
{
	const struct tree *tree = &picture->tree;
	double all = (double)tree->nodes.items[0].total;
	_cleanup_free_ size_t *open = calloc((size_t)tree->depth + 2, sizeof(*open));
	_cleanup_free_ uint64_t *next_x = calloc((size_t)tree->depth + 2, sizeof(*next_x));

	picture->number = calloc(tree->labels.items.count + 1, sizeof(*picture->number));
	if (!open || !next_x || !picture->number)
		return -ENOMEM;
	/* Never above the whole: the root is always drawn. */
	while (least < 1 && tree->nodes.count > most && count_boxes(tree, least * all) > most)
		least = least <= 0 ? 1e-7 : least < 0.8 ? least * 1.25 : 1;
	return take_boxes(picture, least * all, open, next_x);
}

static int choose_colours(struct picture *picture)
{
	const struct tree *tree = &picture->tree;
	_cleanup_free_ uint64_t *weights = calloc(tree->labels.items.count + 1, sizeof(*weights));

	if (!weights)
		return -ENOMEM;
	for (size_t i = 1; i < tree->nodes.count; i++) {
		uint64_t *weight = &weights[tree->nodes.items[i].label];

		*weight = profile_sum(*weight, tree->nodes.items[i].self);
	}
	return palette_init(&picture->palette, picture->job->palette, &tree->labels, weights);
}

static int choose(struct picture *picture, double least, size_t most)
{
	int r = choose_boxes(picture, least, most);

	if (!r)
		r = choose_colours(picture);
	if (r)
		picture_deinit(picture);
	return r;
}

int picture_init(struct picture *picture, const struct format_job *job, double least, size_t most,
		 struct hashmap *leaves)
{
	struct tree_options options = {
		.value_type = job->value_type,
		.without_comm = job->without_comm,
		.least = leaves ? 0 : (uint64_t)ceil(least * (double)job->total),
		.leaves = leaves,
	};
	int r;

	*picture = (struct picture){.job = job};
	r = tree_init(&picture->tree, job->profile, &options);
	return r ? r : choose(picture, least, most);
}

int picture_init_changes(struct picture *picture, const struct format_job *job, struct tree *tree,
			 const struct picture_changes *changes, double least, size_t most)
{
	*picture = (struct picture){.job = job, .tree = *tree, .changes = changes};
	*tree = (struct tree){0};
	return choose(picture, least, most);
}

void picture_deinit(struct picture *picture)
{
	palette_deinit(&picture->palette);
	tree_deinit(&picture->tree);
	vec_free(&picture->boxes);
	vec_free(&picture->labels);
	free(picture->number);
	picture->number = NULL;
}

static const struct tree_node *node_of(const struct picture *picture, const struct picture_box *box)
{
	return &picture->tree.nodes.items[box->node];
}

const char *picture_name(const struct picture *picture, const struct picture_box *box,
			 size_t *ret_length)
{
	uint32_t label = node_of(picture, box)->label;

	if (label != PROFILE_NONE)
		return label_text(&picture->tree.labels, label, ret_length);
	*ret_length = 3;
	return "all";
}

unsigned picture_colour(const struct picture *picture, const struct picture_box *box)
{
	const struct picture_changes *changes = picture->changes;
	const struct picture_change *change;

	if (!changes)
		return palette_colour(&picture->palette, node_of(picture, box)->label);
	change = &changes->of_node[box->node];
	return palette_change_colour(PALETTE_LESS) +
	       palette_change_of((double)change->before * changes->factor, (double)change->after);
}

size_t picture_legend(const struct picture *picture,
		      struct picture_legend ret[static PALETTE_GROUPS_MAX])
{
	bool told[PALETTE_GROUPS_MAX] = {false};
	size_t count = 0;

	for (size_t i = 0; i < picture->labels.count; i++) {
		unsigned group, colour;
		const char *text = palette_explain(&picture->palette, picture->labels.items[i],
						   &group, &colour);

		if (!text || told[group])
			continue;
		told[group] = true;
		ret[count++] = (struct picture_legend){text, colour};
	}
	return count;
}

static void put_string(struct strbuf *out, const struct profile *profile, uint32_t string)
{
	text_put_xml(out, profile_text(profile, string), strtab_length(&profile->strings, string));
}

/* Modules get numbers in the order in which the labels name them. */
static void put_modules(struct strbuf *out, const struct picture *picture, uint32_t *of_module)
{
	const struct profile *profile = picture->job->profile;
	struct strbuf lines = {0};
	uint32_t count = 0;

	for (size_t i = 0; i < picture->labels.count; i++) {
		uint32_t module = picture->tree.labels.items.items[picture->labels.items[i]].module;

		if (!module || of_module[module])
			continue;
		of_module[module] = ++count;
		put_string(&lines, profile, module);
		strbuf_putc(&lines, '\n');
	}
	strbuf_printf(out, "modules %u\n", count);
	strbuf_append(out, strbuf_text(&lines), lines.length);
	out->failed |= lines.failed;
	strbuf_deinit(&lines);
}

/* A blank would end the field; entities come after, so that none is cut in two. */
static void put_place(struct strbuf *out, const struct picture *picture, const struct label *label)
{
	const struct profile *profile = picture->job->profile;
	const char *file = profile_text(profile, label->file);
	size_t length = strtab_length(&profile->strings, label->file);
	struct strbuf text = {0};

	if (!label->file) {
		strbuf_putc(out, '-');
		return;
	}
	for (size_t i = 0; i < length; i++) {
		if (file[i] == ' ' || file[i] == '%')
			strbuf_puts(&text, file[i] == ' ' ? "%20" : "%25");
		else
			strbuf_putc(&text, file[i]);
	}
	strbuf_printf(out, "%u:%u:", label->first_line, label->last_line);
	text_put_xml(out, strbuf_text(&text), text.length);
	out->failed |= text.failed;
	strbuf_deinit(&text);
}

static void put_labels(struct strbuf *out, const struct picture *picture, const uint32_t *of_module)
{
	const struct labels *labels = &picture->tree.labels;

	strbuf_printf(out, "labels %zu\n%u 0 r - all\n", picture->labels.count + 1,
		      palette_colour(&picture->palette, PROFILE_NONE));
	for (size_t i = 0; i < picture->labels.count; i++) {
		uint32_t number = picture->labels.items[i];
		const struct label *label = &labels->items.items[number];
		size_t length;
		const char *name = label_text(labels, number, &length);

		strbuf_put_u64(out, palette_colour(&picture->palette, number));
		strbuf_putc(out, ' ');
		strbuf_put_u64(out, of_module[label->module]);
		strbuf_putc(out, ' ');
		strbuf_putc(out, letters[label->kind]);
		strbuf_putc(out, ' ');
		put_place(out, picture, label);
		strbuf_putc(out, ' ');
		text_put_xml(out, name, length);
		strbuf_putc(out, '\n');
	}
}

static void put_boxes(struct strbuf *out, const struct picture *picture)
{
	uint32_t depth = 0;

	strbuf_printf(out, "boxes %zu\n", picture->boxes.count);
	for (size_t i = 0; i < picture->boxes.count; i++) {
		const struct picture_box *box = &picture->boxes.items[i];
		const struct tree_node *node = node_of(picture, box);

		strbuf_puts(out, i ? " " : "");
		strbuf_put_u64(out, i ? depth + 1 - node->depth : 0);
		strbuf_putc(out, ',');
		strbuf_put_u64(out, node->label == PROFILE_NONE ? 0 : picture->number[node->label]);
		if (node->self || box->thin) {
			strbuf_putc(out, ',');
			strbuf_put_u64(out, node->self);
		}
		if (box->thin) {
			strbuf_putc(out, ',');
			strbuf_put_u64(out, box->thin);
		}
		depth = node->depth;
	}
	strbuf_putc(out, '\n');
}

/* What a box has of its children is taken from it as they come: `open` is as in
 * take_boxes(). */
static int subtract_children(const struct picture *picture, struct picture_change *thin)
{
	_cleanup_free_ size_t *open = calloc((size_t)picture->depth + 1, sizeof(*open));

	if (!open)
		return -ENOMEM;
	for (size_t i = 0; i < picture->boxes.count; i++) {
		uint32_t node = picture->boxes.items[i].node;
		uint32_t depth = picture->tree.nodes.items[node].depth;
		const struct picture_change *change = &picture->changes->of_node[node];

		thin[i].before = change->before;
		thin[i].after = change->after;
		shrink(&thin[i].before, change->self_before);
		shrink(&thin[i].after, change->self_after);
		open[depth] = i;
		if (!depth)
			continue;
		shrink(&thin[open[depth - 1]].before, change->before);
		shrink(&thin[open[depth - 1]].after, change->after);
	}
	return 0;
}

static void put_changes(struct strbuf *out, const struct picture *picture)
{
	const struct picture_changes *changes = picture->changes;
	_cleanup_free_ struct picture_change *thin = calloc(picture->boxes.count, sizeof(*thin));

	if (!thin || subtract_children(picture, thin)) {
		out->failed = true;
		return;
	}
	strbuf_printf(out, "changes %u %.17g %d %d\n", palette_change_colour(PALETTE_LESS),
		      changes->factor, changes->wide_before, changes->wide_after);
	for (size_t i = 0; i < picture->boxes.count; i++) {
		const struct picture_change *change =
			&changes->of_node[picture->boxes.items[i].node];

		strbuf_printf(out, "%s%" PRIu64 ",%" PRIu64, i ? " " : "", change->self_before,
			      change->self_after);
		if (thin[i].before || thin[i].after)
			strbuf_printf(out, ",%" PRIu64 ",%" PRIu64, thin[i].before, thin[i].after);
	}
	strbuf_putc(out, '\n');
}

void picture_put_text(struct strbuf *out, const struct picture *picture)
{
	const struct format_job *job = picture->job;
	_cleanup_free_ uint32_t *of_module =
		calloc(strtab_count(&job->profile->strings), sizeof(*of_module));

	if (!of_module) {
		out->failed = true;
		return;
	}
	strbuf_puts(out, "flame 1\nunit ");
	text_put_xml(out, job->value_unit, strlen(job->value_unit));
	strbuf_puts(out, "\nvalue ");
	text_put_xml(out, job->value_name, strlen(job->value_name));
	strbuf_putc(out, '\n');
	put_modules(out, picture, of_module);
	put_labels(out, picture, of_module);
	put_boxes(out, picture);
	if (picture->changes)
		put_changes(out, picture);
}

void picture_put_thin(struct strbuf *out, const struct picture *picture)
{
	if (!picture->thin)
		return;
	strbuf_puts(out, "not drawn: ");
	text_put_count(out, picture->thin);
	strbuf_puts(out, picture->thin == 1 ? " branch" : " branches");
	strbuf_puts(out, " too thin to see, together ");
	text_put_value(out, picture->thin_value, picture->job->value_unit);
	strbuf_puts(out, " (");
	text_put_percent(out, picture->thin_value, picture->job->total);
	strbuf_putc(out, ')');
}
