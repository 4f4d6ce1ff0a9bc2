/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "tree": the call tree as text, the heaviest branch first, and "chart": the flame graph
 * in characters, the root at the top, as wide as the terminal. What is too small for
 * either is told at the end.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/summary.h"
#include "flamegraph/text.h"
#include "flamegraph/tree.h"

#define LEAST_DIVISOR 200 /* branches below half a percent are left out of the tree */
#define COLUMNS_DEFAULT 80
#define COLUMNS_MAX 1000
#define INDENT_MAX 60 /* levels; deeper ones say their number */

struct writer {
	const struct format_job *job;
	struct tree tree;
	struct strbuf text;
};

static void put_name(struct writer *writer, const struct tree_node *node)
{
	size_t n;
	const char *name;

	if (node->label == PROFILE_NONE) {
		strbuf_puts(&writer->text, "all");
		return;
	}
	name = label_text(&writer->tree.labels, node->label, &n);
	text_put(&writer->text, name, n);
}

static void put_line(struct writer *writer, const struct tree_node *node)
{
	struct strbuf *text = &writer->text;
	uint32_t indent = node->depth < INDENT_MAX ? node->depth : INDENT_MAX;
	double percent = 100.0 * (double)node->total / (double)writer->job->total;
	size_t begin, cells = 0, n;

	strbuf_printf(text, "%6.2f %%  ", percent);
	begin = text->length;
	text_put_value(text, node->total, writer->job->value_unit);
	for (size_t i = begin; i < text->length; i += n, cells++)
		text_next(text->data + i, text->length - i, &n);
	for (; cells < 12; cells++)
		strbuf_putc(text, ' ');
	for (uint32_t i = 0; i < indent; i++)
		strbuf_puts(text, i + 1 < indent ? "| " : "+ ");
	if (node->depth > INDENT_MAX)
		strbuf_printf(text, "(%u) ", node->depth);
	put_name(writer, node);
	if (node->self && node->self != node->total) {
		strbuf_puts(text, "  (self ");
		text_put_value(text, node->self, writer->job->value_unit);
		strbuf_putc(text, ')');
	}
	strbuf_putc(text, '\n');
}

/* Lightest first, of the same weight the last first: what is taken from the end. */
static int compare_weights(const void *left, const void *right, void *context)
{
	const struct tree_node *nodes = context;
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	if (nodes[a].total != nodes[b].total)
		return nodes[a].total < nodes[b].total ? -1 : 1;
	return a < b ? 1 : -1;
}

static int put_tree(struct writer *writer)
{
	struct tree_node *nodes = writer->tree.nodes.items;
	VEC(uint32_t) todo = {0};
	int r = vec_push(&todo, 0);

	while (!r && todo.count) {
		uint32_t at = todo.items[--todo.count];
		size_t begin = todo.count;

		put_line(writer, &nodes[at]);
		for (uint32_t child = at + 1; !r && child < nodes[at].end; child = nodes[child].end)
			r = vec_push(&todo, child);
		if (todo.count > begin)
			qsort_r(todo.items + begin, todo.count - begin, sizeof(*todo.items),
				compare_weights, nodes);
	}
	vec_free(&todo);
	return r;
}

static void put_rest(struct writer *writer, const char *why)
{
	struct strbuf *text = &writer->text;
	const struct tree *tree = &writer->tree;

	if (!tree->thin)
		return;
	strbuf_puts(text, "\nnot shown: ");
	text_put_count(text, tree->thin);
	strbuf_printf(text, "%s %s, together ", tree->thin == 1 ? " branch" : " branches", why);
	text_put_value(text, tree->thin_value, writer->job->value_unit);
	strbuf_puts(text, " (");
	text_put_percent(text, tree->thin_value, writer->job->total);
	strbuf_puts(text, ")\n");
}

static uint64_t column_of(const struct writer *writer, uint64_t value, uint32_t columns)
{
	return (uint64_t)((double)value * columns / (double)writer->job->total + 0.5);
}

/* "[name      ]" of so many cells; "|" of one. */
static void put_box(struct writer *writer, const struct tree_node *node, size_t wide)
{
	struct strbuf *text = &writer->text;
	const char *name = "all";
	size_t n = 3, used = 0;

	if (wide < 2) {
		strbuf_putc(text, '|');
		return;
	}
	if (node->label != PROFILE_NONE)
		name = label_text(&writer->tree.labels, node->label, &n);
	strbuf_putc(text, '[');
	if (wide > 4)
		used = text_put_fit(text, name, n, wide - 2);
	for (; used < wide - 2; used++)
		strbuf_putc(text, '-');
	strbuf_putc(text, ']');
}

/* One level: its boxes at their columns, blanks between. False: none is wide enough. */
static bool put_level(struct writer *writer, uint32_t depth, uint32_t columns)
{
	const struct tree *tree = &writer->tree;
	uint64_t at = 0;

	for (uint32_t i = 0; i < tree->nodes.count;) {
		const struct tree_node *node = &tree->nodes.items[i];
		uint64_t begin = column_of(writer, node->begin, columns);
		uint64_t end = column_of(writer, profile_sum(node->begin, node->total), columns);

		if (node->depth < depth) {
			i++;
			continue;
		}
		i = node->end;
		if (end <= begin || begin < at)
			continue;
		for (; at < begin; at++)
			strbuf_putc(&writer->text, ' ');
		put_box(writer, node, end - begin);
		at = end;
	}
	if (at)
		strbuf_putc(&writer->text, '\n');
	return at;
}

static int put_chart(struct writer *writer)
{
	uint32_t columns = writer->job->columns ? writer->job->columns : COLUMNS_DEFAULT;

	if (columns > COLUMNS_MAX)
		columns = COLUMNS_MAX;
	for (uint32_t depth = 0; depth <= writer->tree.depth; depth++) {
		if (!put_level(writer, depth, columns))
			break;
	}
	return 0;
}

static int write_text(const struct format_job *job, FILE *out, uint64_t least,
		      int (*put)(struct writer *writer), const char *why)
{
	struct tree_options options = {
		.value_type = job->value_type, .without_comm = job->without_comm, .least = least};
	struct writer writer = {.job = job};
	int r = tree_init(&writer.tree, job->profile, &options);

	if (r)
		return r;
	summary_put_head(&writer.text, job);
	r = put(&writer);
	put_rest(&writer, why);
	summary_put_counts(&writer.text, job->profile);
	fwrite(strbuf_text(&writer.text), 1, writer.text.length, out);
	if (!r)
		r = strbuf_error(&writer.text);
	tree_deinit(&writer.tree);
	strbuf_deinit(&writer.text);
	return r;
}

int format_tree_write(const struct format_job *job, FILE *out)
{
	return write_text(job, out, job->total / LEAST_DIVISOR, put_tree, "below 0.5 %");
}

int format_chart_write(const struct format_job *job, FILE *out)
{
	uint32_t columns = job->columns ? job->columns : COLUMNS_DEFAULT;

	return write_text(job, out, job->total / columns / 2, put_chart, "too narrow for a cell");
}
