/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/labels.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/text.h"

static const char unknown[] = "[unknown]";

static const char *folded_suffix(uint32_t kind)
{
	switch (kind) {
	case FRAME_KERNEL:
		return "_[k]";
	case FRAME_INLINE:
		return "_[i]";
	case FRAME_JIT:
		return "_[j]";
	default:
		return "";
	}
}

/* The text of a frame or comm as a string of labels->strings. */
static uint32_t intern_text(struct labels *labels, uint32_t string, uint32_t kind,
			    struct strbuf *scratch)
{
	const struct strtab *strings = &labels->profile->strings;
	const char *text = strtab_get(strings, string);
	size_t length = strtab_length(strings, string);

	if (!length) {
		text = unknown;
		length = sizeof(unknown) - 1;
	}
	if (labels->mode == LABELS_FUNCTION)
		return strtab_add(&labels->strings, text, length);
	strbuf_clear(scratch);
	text_put(scratch, text, length);
	for (size_t i = 0; i < scratch->length; i++) {
		if (scratch->data[i] == ';')
			scratch->data[i] = ':';
	}
	strbuf_puts(scratch, folded_suffix(kind));
	return strbuf_error(scratch) ? PROFILE_NONE
				     : strtab_add(&labels->strings, scratch->data, scratch->length);
}

/* In LABELS_FOLDED a label is its text, in LABELS_FUNCTION text, module and
 * kind. Labels with one text hang on a chain: `head` by text, `next` by label. */
struct interner {
	struct labels *labels;
	VEC(uint32_t) head;
	VEC(uint32_t) next;
	struct strbuf scratch;
};

static uint32_t intern(struct interner *interner, uint32_t string, uint32_t module, uint32_t kind)
{
	struct labels *labels = interner->labels;
	struct label label = {.module = module, .kind = kind};

	label.text = intern_text(labels, string, kind, &interner->scratch);
	if (label.text == PROFILE_NONE)
		return PROFILE_NONE;
	while (interner->head.count <= label.text) {
		if (vec_push(&interner->head, PROFILE_NONE))
			return PROFILE_NONE;
	}
	for (uint32_t at = interner->head.items[label.text]; at != PROFILE_NONE;
	     at = interner->next.items[at]) {
		const struct label *have = &labels->items.items[at];

		if (labels->mode == LABELS_FOLDED || (have->module == module && have->kind == kind))
			return at;
	}
	if (labels->items.count >= PROFILE_NONE - 1 ||
	    vec_reserve(&labels->items, labels->items.count + 1) ||
	    vec_push(&interner->next, interner->head.items[label.text]))
		return PROFILE_NONE;
	interner->head.items[label.text] = (uint32_t)labels->items.count;
	labels->items.items[labels->items.count] = label;
	return (uint32_t)labels->items.count++;
}

static void add_place(struct label *label, const struct profile_frame *frame)
{
	if (!label->file)
		label->file = frame->file;
	if (!frame->file || label->file != frame->file || !frame->line)
		return;
	if (!label->first_line || frame->line < label->first_line)
		label->first_line = frame->line;
	if (frame->line > label->last_line)
		label->last_line = frame->line;
}

static int intern_all(struct interner *interner)
{
	struct labels *labels = interner->labels;
	const struct profile *profile = labels->profile;

	for (size_t i = 0; i < profile->frames.count; i++) {
		const struct profile_frame *frame = &profile->frames.items[i];
		uint32_t module = labels->mode == LABELS_FUNCTION ? frame->module : 0;

		labels->of_frame[i] = intern(interner, frame->name, module, frame->kind);
		if (labels->of_frame[i] == PROFILE_NONE)
			return -ENOMEM;
		add_place(&labels->items.items[labels->of_frame[i]], frame);
	}
	for (size_t i = 0; i < profile->samples.count; i++) {
		uint32_t comm = profile->samples.items[i].comm;

		if (labels->of_comm[comm] == PROFILE_NONE)
			labels->of_comm[comm] = intern(interner, comm, 0, LABEL_COMM);
		if (labels->of_comm[comm] == PROFILE_NONE)
			return -ENOMEM;
	}
	return 0;
}

int labels_init(struct labels *labels, const struct profile *profile, enum labels_mode mode)
{
	struct interner interner = {.labels = labels};
	size_t comms = strtab_count(&profile->strings);
	int r = -ENOMEM;

	*labels = (struct labels){.profile = profile, .mode = mode};
	labels->of_frame = malloc((profile->frames.count + 1) * sizeof(*labels->of_frame));
	labels->of_comm = malloc(comms * sizeof(*labels->of_comm));
	if (labels->of_frame && labels->of_comm) {
		memset(labels->of_comm, 0xff, comms * sizeof(*labels->of_comm));
		r = intern_all(&interner);
	}
	vec_free(&interner.head);
	vec_free(&interner.next);
	strbuf_deinit(&interner.scratch);
	if (r)
		labels_deinit(labels);
	return r;
}

void labels_deinit(struct labels *labels)
{
	strtab_deinit(&labels->strings);
	vec_free(&labels->items);
	free(labels->of_frame);
	free(labels->of_comm);
	labels->of_frame = labels->of_comm = NULL;
}

const char *label_text(const struct labels *labels, uint32_t label, size_t *ret_length)
{
	uint32_t text = labels->items.items[label].text;

	*ret_length = strtab_length(&labels->strings, text);
	return strtab_get(&labels->strings, text);
}

static int compare_bytes(const struct strtab *strings, uint32_t a, uint32_t b)
{
	size_t a_length = strtab_length(strings, a), b_length = strtab_length(strings, b);
	int order = memcmp(strtab_get(strings, a), strtab_get(strings, b),
			   a_length < b_length ? a_length : b_length);

	return order ? order : (a_length > b_length) - (a_length < b_length);
}

uint64_t label_prefix(const char *text, size_t length)
{
	uint64_t prefix = 0;

	if (length >= sizeof(prefix)) {
		memcpy(&prefix, text, sizeof(prefix));
		return be64toh(prefix);
	}
	for (size_t i = 0; i < LABEL_PREFIX; i++)
		prefix = prefix << 8 | (i < length ? (unsigned char)text[i] : 0);
	return prefix;
}

int labels_sort(struct radix_item *keys, size_t count,
		int (*compare)(const void *a, const void *b, void *context), void *context)
{
	_cleanup_free_ struct radix_item *spare = malloc((count + 1) * sizeof(*spare));
	size_t run = 0;

	if (!spare)
		return -ENOMEM;
	radix_sort(keys, spare, count);
	for (size_t i = 1; i <= count; i++) {
		if (i < count && keys[i].key == keys[run].key)
			continue;
		if (i - run > 1)
			qsort_r(keys + run, i - run, sizeof(*keys), compare, context);
		run = i;
	}
	return 0;
}

/* Of those with one prefix. */
static int compare_labels(const void *left, const void *right, void *context)
{
	const struct labels *labels = context;
	const struct radix_item *a_key = left, *b_key = right;
	const struct label *a = &labels->items.items[a_key->id];
	const struct label *b = &labels->items.items[b_key->id];
	int order = 0;

	if (a->text != b->text)
		order = compare_bytes(&labels->strings, a->text, b->text);
	if (!order && a->module != b->module)
		order = compare_bytes(&labels->profile->strings, a->module, b->module);
	return order ? order : (a->kind > b->kind) - (a->kind < b->kind);
}

uint32_t *labels_order(const struct labels *labels)
{
	size_t count = labels->items.count;
	_cleanup_free_ struct radix_item *keys = malloc((count + 1) * sizeof(*keys));
	uint32_t *order = malloc((count + 1) * sizeof(*order));

	if (!order || !keys) {
		free(order);
		return NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		size_t length;
		const char *text = label_text(labels, i, &length);

		keys[i] = (struct radix_item){.key = label_prefix(text, length), .id = i};
	}
	if (labels_sort(keys, count, compare_labels, (void *)labels)) {
		free(order);
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		order[i] = keys[i].id;
	return order;
}

uint32_t *labels_rank(const struct labels *labels)
{
	size_t count = labels->items.count;
	_cleanup_free_ uint32_t *order = labels_order(labels);
	uint32_t *rank = order ? malloc((count + 1) * sizeof(*rank)) : NULL;

	for (uint32_t i = 0; rank && i < count; i++)
		rank[order[i]] = i;
	return rank;
}
