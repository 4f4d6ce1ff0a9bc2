/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "firefox": a processed profile for profiler.firefox.com, in its version 55 (the page
 * upgrades older ones). One thread; its stack table is our call tree, and a node with
 * samples of its own is one sample with a weight: milliseconds for times, bytes, or a
 * count. A sample stands where its box begins, so that the page's track shows the flame
 * graph's own order, not time.
 */
#include "flamegraph/format.h"

#include <inttypes.h>
#include <string.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/text.h"
#include "flamegraph/tree.h"

#define NS_DIGITS 6 /* a millisecond has 10^6 ns */

/* By kind: index into the categories of put_meta(). */
static const unsigned char categories[] = {
	[FRAME_USER] = 0,        [FRAME_KERNEL] = 1,  [FRAME_INLINE] = 0, [FRAME_JIT] = 2,
	[FRAME_INTERPRETED] = 2, [FRAME_SPECIAL] = 3, [LABEL_COMM] = 3,
};
_Static_assert(sizeof(categories) == FRAME_KIND_COUNT + 1, "a category for each kind");

struct writer {
	const struct format_job *job;
	FILE *out;
	struct tree tree;
	uint32_t *order, *rank; /* of the labels: functions are in their order */
	struct strbuf text;
	bool is_time;
	uint64_t samples; /* nodes with a self */
};

static void flush(struct writer *writer, size_t above)
{
	if (writer->text.length <= above)
		return;
	fwrite(writer->text.data, 1, writer->text.length, writer->out);
	strbuf_clear(&writer->text);
}

static void put_value(struct writer *writer, uint64_t value)
{
	if (writer->is_time)
		text_put_decimal(&writer->text, value, NS_DIGITS);
	else
		strbuf_put_u64(&writer->text, value);
}

/* `"name":[…]` of one number, or of what put() writes for each index. */
static void put_column(struct writer *writer, const char *name, size_t count,
		       void (*put)(struct writer *writer, uint32_t i))
{
	strbuf_printf(&writer->text, ",\"%s\":[", name);
	for (uint32_t i = 0; i < count; i++) {
		if (i)
			strbuf_putc(&writer->text, ',');
		put(writer, i);
		flush(writer, 65536);
	}
	strbuf_putc(&writer->text, ']');
}

static void put_null(struct writer *writer, uint32_t i)
{
	(void)i;
	strbuf_puts(&writer->text, "null");
}

static void put_zero(struct writer *writer, uint32_t i)
{
	(void)i;
	strbuf_putc(&writer->text, '0');
}

static void put_minus_one(struct writer *writer, uint32_t i)
{
	(void)i;
	strbuf_puts(&writer->text, "-1");
}

static void put_false(struct writer *writer, uint32_t i)
{
	(void)i;
	strbuf_puts(&writer->text, "false");
}

static void put_index(struct writer *writer, uint32_t i)
{
	strbuf_put_u64(&writer->text, i);
}

static void put_category(struct writer *writer, uint32_t i)
{
	strbuf_put_u64(&writer->text,
		       categories[writer->tree.labels.items.items[writer->order[i]].kind]);
}

static void put_module(struct writer *writer, uint32_t i)
{
	uint32_t module = writer->tree.labels.items.items[writer->order[i]].module;

	/* Names come first in the string table, then modules, one a label. */
	if (module)
		strbuf_put_u64(&writer->text, writer->tree.labels.items.count + i);
	else
		put_null(writer, i);
}

static void put_label_text(struct writer *writer, uint32_t i)
{
	const struct labels *labels = &writer->tree.labels;
	const struct profile *profile = writer->job->profile;
	uint32_t count = (uint32_t)labels->items.count;
	const char *text;
	size_t n;

	if (i < count) {
		text = label_text(labels, writer->order[i], &n);
		text_put_json(&writer->text, text, n);
	} else {
		uint32_t module = labels->items.items[writer->order[i - count]].module;

		text_put_json(&writer->text, profile_text(profile, module),
			      strtab_length(&profile->strings, module));
	}
}

/* Node i + 1 is stack i: the root is none. */
static void put_prefix(struct writer *writer, uint32_t i)
{
	uint32_t parent = writer->tree.nodes.items[i + 1].parent;

	if (parent)
		strbuf_put_u64(&writer->text, parent - 1);
	else
		put_null(writer, i);
}

static void put_node_frame(struct writer *writer, uint32_t i)
{
	strbuf_put_u64(&writer->text, writer->rank[writer->tree.nodes.items[i + 1].label]);
}

static void put_samples(struct writer *writer, const char *name,
			void (*put)(struct writer *writer, uint32_t node))
{
	bool first = true;

	strbuf_printf(&writer->text, ",\"%s\":[", name);
	for (uint32_t i = 0; i < writer->tree.nodes.count; i++) {
		if (!writer->tree.nodes.items[i].self)
			continue;
		if (!first)
			strbuf_putc(&writer->text, ',');
		first = false;
		put(writer, i);
		flush(writer, 65536);
	}
	strbuf_putc(&writer->text, ']');
}

static void put_sample_stack(struct writer *writer, uint32_t node)
{
	if (node)
		strbuf_put_u64(&writer->text, node - 1);
	else
		put_null(writer, node);
}

/* The self of a node lies behind its children. */
static void put_sample_time(struct writer *writer, uint32_t node)
{
	const struct tree_node *at = &writer->tree.nodes.items[node];

	put_value(writer, at->begin + at->total - at->self);
}

static void put_sample_weight(struct writer *writer, uint32_t node)
{
	put_value(writer, writer->tree.nodes.items[node].self);
}

static void put_meta(struct writer *writer)
{
	const struct format_job *job = writer->job;

	strbuf_printf(&writer->text,
		      "{\"meta\":{\"version\":24,\"preprocessedProfileVersion\":55,"
		      "\"processType\":0,\"interval\":%g,\"startTime\":",
		      job->profile->frequency_hz ? 1e3 / job->profile->frequency_hz : 1);
	text_put_decimal(&writer->text, job->profile->start_ns, NS_DIGITS);
	strbuf_puts(&writer->text,
		    ",\"stackwalk\":1,\"debug\":false,\"symbolicated\":true,"
		    "\"usesOnlyOneStackType\":true,\"sourceCodeIsNotOnSearchfox\":true,"
		    "\"categories\":["
		    "{\"name\":\"User\",\"color\":\"yellow\",\"subcategories\":[\"Other\"]},"
		    "{\"name\":\"Kernel\",\"color\":\"orange\",\"subcategories\":[\"Other\"]},"
		    "{\"name\":\"JIT\",\"color\":\"green\",\"subcategories\":[\"Other\"]},"
		    "{\"name\":\"Other\",\"color\":\"grey\",\"subcategories\":[\"Other\"]}],"
		    "\"markerSchema\":[],\"extensions\":{\"length\":0,\"baseURL\":[],\"id\":[],"
		    "\"name\":[]},\"sampleUnits\":{\"time\":\"ms\",\"eventDelay\":\"ms\","
		    "\"threadCPUDelta\":\"µs\"},\"product\":");
	text_put_json(&writer->text, job->title, strlen(job->title));
	strbuf_puts(&writer->text, "},\n\"libs\":[],\"pages\":[],\"profilerOverhead\":[],"
				   "\"counters\":[],\n\"threads\":[{\"name\":");
	text_put_json(&writer->text, job->title, strlen(job->title));
	strbuf_puts(&writer->text,
		    ",\"processType\":\"default\",\"processName\":\"perfd\",\"isMainThread\":true,"
		    "\"pid\":\"0\",\"tid\":0,\"registerTime\":0,\"unregisterTime\":null,"
		    "\"processStartupTime\":0,\"processShutdownTime\":null,\"pausedRanges\":[],"
		    "\"showMarkersInTimeline\":false,"
		    "\"markers\":{\"length\":0,\"category\":[],\"data\":[],\"endTime\":[],"
		    "\"name\":[],\"phase\":[],\"startTime\":[]},"
		    "\"nativeSymbols\":{\"length\":0,\"address\":[],\"functionSize\":[],"
		    "\"libIndex\":[],\"name\":[]},"
		    "\"resourceTable\":{\"length\":0,\"lib\":[],\"name\":[],\"host\":[],"
		    "\"type\":[]}");
}

/* A frame and a function a label, a stack a node but the root. */
static void put_tables(struct writer *writer)
{
	size_t labels = writer->tree.labels.items.count, stacks = writer->tree.nodes.count - 1;
	struct strbuf *text = &writer->text;

	strbuf_printf(text, ",\n\"funcTable\":{\"length\":%zu", labels);
	put_column(writer, "name", labels, put_index);
	put_column(writer, "isJS", labels, put_false);
	put_column(writer, "relevantForJS", labels, put_false);
	put_column(writer, "resource", labels, put_minus_one);
	put_column(writer, "fileName", labels, put_module);
	put_column(writer, "lineNumber", labels, put_null);
	put_column(writer, "columnNumber", labels, put_null);
	strbuf_printf(text, "},\n\"frameTable\":{\"length\":%zu", labels);
	put_column(writer, "address", labels, put_minus_one);
	put_column(writer, "inlineDepth", labels, put_zero);
	put_column(writer, "category", labels, put_category);
	put_column(writer, "subcategory", labels, put_zero);
	put_column(writer, "func", labels, put_index);
	put_column(writer, "nativeSymbol", labels, put_null);
	put_column(writer, "innerWindowID", labels, put_zero);
	put_column(writer, "line", labels, put_null);
	put_column(writer, "column", labels, put_null);
	strbuf_printf(text, "},\n\"stackTable\":{\"length\":%zu", stacks);
	put_column(writer, "prefix", stacks, put_prefix);
	put_column(writer, "frame", stacks, put_node_frame);
	strbuf_puts(text, "},\n\"samples\":{\"length\":");
	strbuf_put_u64(text, writer->samples);
	strbuf_printf(text, ",\"weightType\":\"%s\"",
		      writer->is_time                             ? "tracing-ms"
		      : !strcmp(writer->job->value_unit, "bytes") ? "bytes"
								  : "samples");
	put_samples(writer, "stack", put_sample_stack);
	put_samples(writer, "time", put_sample_time);
	put_samples(writer, "weight", put_sample_weight);
	strbuf_putc(text, '}');
	put_column(writer, "stringArray", labels * 2, put_label_text);
	strbuf_puts(text, "}]}\n");
	flush(writer, 0);
}

int format_firefox_write(const struct format_job *job, FILE *out)
{
	struct tree_options options = {.value_type = job->value_type,
				       .without_comm = job->without_comm};
	struct writer writer = {
		.job = job, .out = out, .is_time = !strcmp(job->value_unit, "nanoseconds")};
	int r = tree_init(&writer.tree, job->profile, &options);

	if (r)
		return r;
	for (size_t i = 0; i < writer.tree.nodes.count; i++)
		writer.samples += writer.tree.nodes.items[i].self > 0;
	writer.order = labels_order(&writer.tree.labels);
	writer.rank = labels_rank(&writer.tree.labels);
	if (writer.order && writer.rank) {
		put_meta(&writer);
		put_tables(&writer);
		r = strbuf_error(&writer.text);
	} else {
		r = -ENOMEM;
	}
	free(writer.order);
	free(writer.rank);
	tree_deinit(&writer.tree);
	strbuf_deinit(&writer.text);
	return r;
}
