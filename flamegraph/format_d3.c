/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "d3": the call tree as nested objects, {name, value, children}, as d3-flame-graph and
 * d3.hierarchy() take it. A value is that of the whole box.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/text.h"
#include "flamegraph/tree.h"

int format_d3_write(const struct format_job *job, FILE *out)
{
	struct tree_options options = {.value_type = job->value_type,
				       .without_comm = job->without_comm};
	struct strbuf text = {0};
	struct tree tree;
	uint32_t depth = 0; /* of the node that is open; the root's is 0 */
	int r = tree_init(&tree, job->profile, &options);

	if (r)
		return r;
	for (uint32_t i = 0; i < tree.nodes.count; i++) {
		const struct tree_node *node = &tree.nodes.items[i];
		const char *name = job->title;
		size_t n = strlen(name);

		if (i && node->depth > depth)
			strbuf_puts(&text, ",\"children\":[\n");
		for (; i && depth >= node->depth; depth--)
			strbuf_puts(&text, depth > node->depth ? "}]" : "},\n");
		depth = node->depth;
		if (i)
			name = label_text(&tree.labels, node->label, &n);
		strbuf_puts(&text, "{\"name\":");
		text_put_json(&text, name, n);
		strbuf_puts(&text, ",\"value\":");
		strbuf_put_u64(&text, node->total);
		if (text.length > 65536) {
			fwrite(text.data, 1, text.length, out);
			strbuf_clear(&text);
		}
	}
	for (; depth; depth--)
		strbuf_puts(&text, "}]");
	strbuf_puts(&text, "}\n");
	fwrite(strbuf_text(&text), 1, text.length, out);
	r = strbuf_error(&text);
	strbuf_deinit(&text);
	tree_deinit(&tree);
	return r;
}
