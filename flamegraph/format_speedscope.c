/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "speedscope": the file format of speedscope.app, one profile of sampled stacks with
 * weights. A frame has its module where speedscope shows a file. Numbers in it are
 * JavaScript's: exact to 2^53.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/text.h"
#include "flamegraph/tree.h"

struct writer {
	const struct format_job *job;
	FILE *out;
	struct tree tree;
	uint32_t *order, *rank; /* of the labels: frames are in their order */
	struct strbuf text;
	VEC(uint32_t) path; /* frames of the node at hand and of those above it */
};

static void flush(struct writer *writer, size_t above)
{
	if (writer->text.length <= above)
		return;
	fwrite(writer->text.data, 1, writer->text.length, writer->out);
	strbuf_clear(&writer->text);
}

static void put_frames(struct writer *writer)
{
	const struct labels *labels = &writer->tree.labels;
	const struct profile *profile = writer->job->profile;
	struct strbuf *text = &writer->text;

	for (uint32_t i = 0; i < labels->items.count; i++) {
		uint32_t label = writer->order[i], module = labels->items.items[label].module;
		size_t n;
		const char *name = label_text(labels, label, &n);

		strbuf_puts(text, i ? ",\n{\"name\":" : "\n{\"name\":");
		text_put_json(text, name, n);
		if (module) {
			strbuf_puts(text, ",\"file\":");
			text_put_json(text, profile_text(profile, module),
				      strtab_length(&profile->strings, module));
		}
		strbuf_putc(text, '}');
		flush(writer, 65536);
	}
}

/* Calls back for each node with samples of its own; the path is that of the node. */
static int each_stack(struct writer *writer,
		      void (*put)(struct writer *writer, const struct tree_node *node, bool first))
{
	bool first = true;

	for (uint32_t i = 0; i < writer->tree.nodes.count; i++) {
		const struct tree_node *node = &writer->tree.nodes.items[i];

		writer->path.count = node->depth ? node->depth - 1 : 0;
		if (node->depth && vec_push(&writer->path, writer->rank[node->label]))
			return -ENOMEM;
		if (!node->self)
			continue;
		put(writer, node, first);
		first = false;
		flush(writer, 65536);
	}
	return 0;
}

static void put_stack(struct writer *writer, const struct tree_node *node, bool first)
{
	(void)node;
	strbuf_puts(&writer->text, first ? "\n[" : ",\n[");
	for (size_t i = 0; i < writer->path.count; i++) {
		if (i)
			strbuf_putc(&writer->text, ',');
		strbuf_put_u64(&writer->text, writer->path.items[i]);
	}
	strbuf_putc(&writer->text, ']');
}

static void put_weight(struct writer *writer, const struct tree_node *node, bool first)
{
	if (!first)
		strbuf_putc(&writer->text, ',');
	strbuf_put_u64(&writer->text, node->self);
}

/* Those that speedscope knows; it shows others as numbers. */
static const char *unit_of(const struct format_job *job)
{
	return !strcmp(job->value_unit, "nanoseconds") || !strcmp(job->value_unit, "bytes")
		       ? job->value_unit
		       : "none";
}

static int put_all(struct writer *writer)
{
	const struct format_job *job = writer->job;
	struct strbuf *text = &writer->text;
	int r;

	strbuf_puts(text, "{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\n"
			  "\"exporter\":\"perfd\",\n\"name\":");
	text_put_json(text, job->title, strlen(job->title));
	strbuf_puts(text, ",\n\"activeProfileIndex\":0,\n\"shared\":{\"frames\":[");
	put_frames(writer);
	strbuf_puts(text, "]},\n\"profiles\":[{\"type\":\"sampled\",\"name\":");
	text_put_json(text, job->value_name, strlen(job->value_name));
	strbuf_printf(text, ",\"unit\":\"%s\",\"startValue\":0,\"endValue\":", unit_of(job));
	strbuf_put_u64(text, job->total);
	strbuf_puts(text, ",\n\"samples\":[");
	r = each_stack(writer, put_stack);
	strbuf_puts(text, "],\n\"weights\":[");
	if (!r)
		r = each_stack(writer, put_weight);
	strbuf_puts(text, "]}]}\n");
	flush(writer, 0);
	return r ? r : strbuf_error(text);
}

int format_speedscope_write(const struct format_job *job, FILE *out)
{
	struct tree_options options = {.value_type = job->value_type,
				       .without_comm = job->without_comm};
	struct writer writer = {.job = job, .out = out};
	int r = tree_init(&writer.tree, job->profile, &options);

	if (r)
		return r;
	writer.order = labels_order(&writer.tree.labels);
	writer.rank = labels_rank(&writer.tree.labels);
	r = writer.order && writer.rank ? put_all(&writer) : -ENOMEM;
	free(writer.order);
	free(writer.rank);
	tree_deinit(&writer.tree);
	strbuf_deinit(&writer.text);
	vec_free(&writer.path);
	return r;
}
