/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "chrome": events of the Trace Event format, for Perfetto, chrome://tracing and what
 * else reads them. A box of the flame graph is a pair of events where the box begins and
 * ends, in the order of the flame graph, not of time. (A complete event with a duration
 * would be shorter, but readers add that up in floating point, and boxes then cross.)
 * Times are microseconds; of other units one is a microsecond.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/text.h"
#include "flamegraph/tree.h"

#define NS_DIGITS 3 /* a microsecond has 10^3 ns */

struct writer {
	const struct format_job *job;
	FILE *out;
	struct tree tree;
	struct strbuf text;
	unsigned digits; /* of a unit in a microsecond */
};

static void put_event(struct writer *writer, const struct tree_node *node, bool begins)
{
	const struct profile *profile = writer->job->profile;
	uint32_t module = writer->tree.labels.items.items[node->label].module;
	struct strbuf *text = &writer->text;
	size_t n;
	const char *name = label_text(&writer->tree.labels, node->label, &n);

	strbuf_printf(text, ",\n{\"ph\":\"%c\",\"pid\":1,\"tid\":1,\"name\":", begins ? 'B' : 'E');
	text_put_json(text, name, n);
	strbuf_puts(text, ",\"ts\":");
	text_put_decimal(text, begins ? node->begin : node->begin + node->total, writer->digits);
	if (module) {
		strbuf_puts(text, ",\"args\":{\"module\":");
		text_put_json(text, profile_text(profile, module),
			      strtab_length(&profile->strings, module));
		strbuf_putc(text, '}');
	}
	strbuf_putc(text, '}');
	if (text->length > 65536) {
		fwrite(text->data, 1, text->length, writer->out);
		strbuf_clear(text);
	}
}

/* Nodes are in preorder: what is open ends before the next one of its depth begins. */
static void put_events(struct writer *writer)
{
	const struct tree_node *nodes = writer->tree.nodes.items;
	uint32_t open = 0; /* the root has no events */

	for (uint32_t i = 1; i < writer->tree.nodes.count; i++) {
		for (; open != nodes[i].parent; open = nodes[open].parent)
			put_event(writer, &nodes[open], false);
		put_event(writer, &nodes[i], true);
		open = i;
	}
	for (; open; open = nodes[open].parent)
		put_event(writer, &nodes[open], false);
}

int format_chrome_write(const struct format_job *job, FILE *out)
{
	struct tree_options options = {.value_type = job->value_type,
				       .without_comm = job->without_comm};
	struct writer writer = {.job = job, .out = out};
	struct strbuf *text = &writer.text;
	int r = tree_init(&writer.tree, job->profile, &options);

	if (r)
		return r;
	writer.digits = strcmp(job->value_unit, "nanoseconds") ? 0 : NS_DIGITS;
	strbuf_puts(text, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"exporter\":\"perfd\","
			  "\"unit\":");
	text_put_json(text, job->value_unit, strlen(job->value_unit));
	strbuf_puts(text, "},\n\"traceEvents\":[\n"
			  "{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"process_name\","
			  "\"args\":{\"name\":");
	text_put_json(text, job->title, strlen(job->title));
	strbuf_puts(text, "}}");
	put_events(&writer);
	strbuf_puts(text, "\n]}\n");
	fwrite(strbuf_text(text), 1, text->length, out);
	r = strbuf_error(text);
	strbuf_deinit(text);
	tree_deinit(&writer.tree);
	return r;
}
