/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "chrome": events of the Trace Event format, for Perfetto, chrome://tracing and what
 * else reads them. A box of the flame graph is a complete event: it begins where the box
 * does, and lasts as long as the box is wide, in the order of the flame graph, not of
 * time. Times are microseconds; of other units one is a microsecond.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/text.h"
#include "flamegraph/tree.h"

#define NS_DIGITS 3 /* a microsecond has 10^3 ns */

static void put_event(struct strbuf *text, const struct format_job *job, const struct tree *tree,
		      const struct tree_node *node)
{
	unsigned digits = strcmp(job->value_unit, "nanoseconds") ? 0 : NS_DIGITS;
	uint32_t module = tree->labels.items.items[node->label].module;
	size_t n;
	const char *name = label_text(&tree->labels, node->label, &n);

	strbuf_puts(text, ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"name\":");
	text_put_json(text, name, n);
	strbuf_puts(text, ",\"ts\":");
	text_put_decimal(text, node->begin, digits);
	strbuf_puts(text, ",\"dur\":");
	text_put_decimal(text, node->total, digits);
	if (module) {
		strbuf_puts(text, ",\"args\":{\"module\":");
		text_put_json(text, profile_text(job->profile, module),
			      strtab_length(&job->profile->strings, module));
		strbuf_putc(text, '}');
	}
	strbuf_putc(text, '}');
}

int format_chrome_write(const struct format_job *job, FILE *out)
{
	struct tree_options options = {.value_type = job->value_type,
				       .without_comm = job->without_comm};
	struct strbuf text = {0};
	struct tree tree;
	int r = tree_init(&tree, job->profile, &options);

	if (r)
		return r;
	strbuf_puts(&text, "{\"displayTimeUnit\":\"ns\",\"otherData\":{\"exporter\":\"perfd\","
			   "\"unit\":");
	text_put_json(&text, job->value_unit, strlen(job->value_unit));
	strbuf_puts(&text, "},\n\"traceEvents\":[\n"
			   "{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"process_name\","
			   "\"args\":{\"name\":");
	text_put_json(&text, job->title, strlen(job->title));
	strbuf_puts(&text, "}}");
	for (uint32_t i = 1; i < tree.nodes.count; i++) {
		put_event(&text, job, &tree, &tree.nodes.items[i]);
		if (text.length > 65536) {
			fwrite(text.data, 1, text.length, out);
			strbuf_clear(&text);
		}
	}
	strbuf_puts(&text, "\n]}\n");
	fwrite(strbuf_text(&text), 1, text.length, out);
	r = strbuf_error(&text);
	strbuf_deinit(&text);
	tree_deinit(&tree);
	return r;
}
