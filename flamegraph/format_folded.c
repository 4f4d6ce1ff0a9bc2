/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "folded": one line a stack, `comm;root;...;leaf VALUE`, as flamegraph.pl,
 * inferno and speedscope read it. Lines are in the order of their bytes (what
 * LC_ALL=C sort gives), each stack on one line. Lossless but for modules, source
 * lines and time: names that differ only in these are summed.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/labels.h"
#include "flamegraph/paths.h"
#include "flamegraph/profile_internal.h"

/* The order of whole lines is that of labels with what comes after them: ';',
 * or ' ' after the last; asked of those alike in their prefixes. Entry 2 * label is the label
 * inside, + 1 the last. */
static int compare_ended(const void *left, const void *right, void *context)
{
	const struct labels *labels = context;
	uint32_t a = ((const struct radix_item *)left)->id;
	uint32_t b = ((const struct radix_item *)right)->id;
	char a_end = a & 1 ? ' ' : ';', b_end = b & 1 ? ' ' : ';';
	size_t a_length, b_length, shorter;
	const char *a_text, *b_text;
	int order;

	a_text = label_text(labels, a / 2, &a_length);
	b_text = label_text(labels, b / 2, &b_length);
	shorter = a_length < b_length ? a_length : b_length;
	order = memcmp(a_text, b_text, shorter);
	if (order)
		return order;
	order = (unsigned char)(a_length > shorter ? a_text[shorter] : a_end) -
		(unsigned char)(b_length > shorter ? b_text[shorter] : b_end);
	return order ? order : (a_length > b_length) - (a_length < b_length);
}

/* Ranks of labels inside (ret_inner) and at the end (ret_last) of a line. */
static int rank_ended(const struct labels *labels, uint32_t *inner, uint32_t *last)
{
	size_t count = labels->items.count * 2;
	_cleanup_free_ struct radix_item *keys = malloc((count + 1) * sizeof(*keys));

	if (!keys || count > UINT32_MAX)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		size_t length;
		const char *text = label_text(labels, i / 2, &length);

		keys[i] = (struct radix_item){.key = label_prefix(text, length), .id = i};
		if (length < LABEL_PREFIX)
			keys[i].key |= (uint64_t)(i & 1 ? ' ' : ';')
				       << 8 * (LABEL_PREFIX - 1 - length);
	}
	if (labels_sort(keys, count, compare_ended, (void *)labels))
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++)
		(keys[i].id & 1 ? last : inner)[keys[i].id / 2] = i;
	return 0;
}

#define COPY 64 /* bytes that are copied at once; most names are shorter */

/* `line` keeps the text of the last path, `ends` where each of its elements ends:
 * only what differs is written anew. */
struct writer {
	FILE *out;
	struct strbuf line;
	VEC(size_t) ends;
	struct strbuf texts; /* ";NAME" of each label, and COPY bytes more */
	VEC(size_t) begins; /* of label i in texts; its end is the next one's beginning */
};

static int set_texts(struct writer *writer, const struct labels *labels)
{
	static const char pad[COPY];

	for (uint32_t i = 0; i < labels->items.count; i++) {
		size_t length;
		const char *text = label_text(labels, i, &length);

		if (vec_push(&writer->begins, writer->texts.length))
			return -ENOMEM;
		strbuf_putc(&writer->texts, ';');
		strbuf_append(&writer->texts, text, length);
	}
	if (vec_push(&writer->begins, writer->texts.length))
		return -ENOMEM;
	strbuf_append(&writer->texts, pad, sizeof(pad));
	return strbuf_error(&writer->texts);
}

static void cut_line(struct writer *writer, size_t elements)
{
	writer->line.length = elements && writer->ends.items ? writer->ends.items[elements - 1] : 0;
	writer->ends.count = elements;
}

/* As strbuf_append(), of text with COPY bytes behind it: without a branch a length. */
static void append_text(struct strbuf *line, const char *text, size_t n)
{
	if (n > COPY || line->capacity < line->length + COPY + 1) {
		strbuf_append(line, text, n);
		return;
	}
	memcpy(line->data + line->length, text, COPY);
	line->length += n;
	line->data[line->length] = '\0';
}

static int put_path(struct writer *writer, const struct paths *paths,
		    const struct path_elements *path, size_t common)
{
	cut_line(writer, common);
	if (vec_reserve(&writer->ends, path->count))
		return -ENOMEM;
	for (size_t i = common; i < path->count; i++) {
		const size_t *begin = &writer->begins.items[path_label(paths, path, i)];
		size_t skip = i ? 0 : 1; /* the ';' */

		append_text(&writer->line, writer->texts.data + begin[0] + skip,
			    begin[1] - begin[0] - skip);
		writer->ends.items[i] = writer->line.length;
	}
	writer->ends.count = path->count;
	return strbuf_error(&writer->line);
}

static int end_line(struct writer *writer, uint64_t value)
{
	size_t length = writer->line.length;

	if (!length)
		strbuf_puts(&writer->line, "[no stack]");
	strbuf_putc(&writer->line, ' ');
	strbuf_put_u64(&writer->line, value);
	strbuf_putc(&writer->line, '\n');
	fwrite_unlocked(writer->line.data, 1, writer->line.length, writer->out);
	writer->line.length = length;
	return strbuf_error(&writer->line);
}

static int write_lines(struct writer *writer, const struct paths *paths)
{
	struct path_elements previous = {0};
	uint64_t value = 0;
	int r = 0;

	for (size_t i = 0; !r && i < paths->items.count; i++) {
		struct path_elements path = path_elements(paths, &paths->items.items[i]);
		size_t common = i ? path_common(paths, &previous, &path) : 0;

		paths_prefetch(paths, i);
		if (i && (common < path.count || path.count != previous.count)) {
			r = end_line(writer, value);
			value = 0;
		}
		if (!r)
			r = put_path(writer, paths, &path, common);
		value = profile_sum(value, paths->items.items[i].value);
		previous = path;
	}
	return r ? r : end_line(writer, value);
}

int format_folded_write(const struct format_job *job, FILE *out)
{
	struct paths_options options = {.value_type = job->value_type,
					.with_comm = !job->without_comm};
	_cleanup_free_ uint32_t *inner = NULL, *last = NULL;
	struct writer writer = {.out = out};
	struct labels labels;
	struct paths paths;
	int r;

	r = labels_init(&labels, job->profile, LABELS_FOLDED);
	if (r)
		return r;
	inner = malloc((labels.items.count + 1) * sizeof(*inner));
	last = malloc((labels.items.count + 1) * sizeof(*last));
	options.inner = inner;
	options.last = last;
	r = inner && last ? rank_ended(&labels, inner, last) : -ENOMEM;
	if (!r)
		r = paths_init(&paths, &labels, &options);
	if (!r) {
		r = set_texts(&writer, &labels);
		if (!r)
			r = write_lines(&writer, &paths);
		paths_deinit(&paths);
	}
	labels_deinit(&labels);
	strbuf_deinit(&writer.line);
	vec_free(&writer.ends);
	strbuf_deinit(&writer.texts);
	vec_free(&writer.begins);
	return r;
}
