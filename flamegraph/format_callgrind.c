/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "callgrind": for callgrind_annotate, KCachegrind and QCachegrind
 * (valgrind.org/docs/manual/cl-format.html). Costs are values, by function and line,
 * and calls carry what ran below them. How often a function was called is not known from
 * samples: each call counts as one.
 *
 * A stack adds to each of its functions one call, however often it is in it: where it is
 * outermost; and to the innermost its own cost. The outermost of all is called by "all".
 * So what is spent in calls of a function, which is what these programs show as its
 * inclusive cost, is its total in our own table, recursive or not.
 */
#include "flamegraph/format.h"

#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/labels.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/text.h"

#define ROOT "all"

/* What a function cost at a line: itself, or through a call. */
struct cost {
	uint32_t label; /* PROFILE_NONE: the root */
	uint32_t callee; /* label; PROFILE_NONE: its own cost */
	uint32_t line;
	uint32_t callee_line;
	uint64_t value;
};

struct writer {
	const struct format_job *job;
	struct labels labels;
	uint32_t *rank; /* of labels */
	uint32_t *file; /* of a label: the source of the first of its frames that has one */
	uint32_t *seen; /* by label: the last stack that has added to it */
	VEC(struct cost) costs;
	struct hashmap index; /* hash of a cost's place -> cost */
	struct strbuf text;
	bool *named; /* by label: its name has been written; later its number does */
};

static int add_cost(struct writer *writer, const struct cost *cost)
{
	uint32_t place[4] = {cost->label, cost->callee, cost->line, cost->callee_line};
	uint64_t key = XXH3_64bits(place, sizeof(place)), *found;

	for (; (found = hashmap_get(&writer->index, key)); key++) {
		struct cost *have = &writer->costs.items[*found];

		if (have->label != cost->label || have->callee != cost->callee ||
		    have->line != cost->line || have->callee_line != cost->callee_line)
			continue;
		have->value = profile_sum(have->value, cost->value);
		return 0;
	}
	if (vec_push(&writer->costs, *cost))
		return -ENOMEM;
	return hashmap_put(&writer->index, key, writer->costs.count - 1);
}

static int add_stack(struct writer *writer, uint32_t stack, uint64_t value)
{
	const struct profile *profile = writer->job->profile;
	struct cost cost = {.label = PROFILE_NONE, .value = value};
	size_t count;
	const uint32_t *frames = profile_stack_frames(profile, stack, &count);
	int r = 0;

	for (size_t i = 0; !r && i < count; i++) {
		const struct profile_frame *frame = &profile->frames.items[frames[i]];

		cost.callee = writer->labels.of_frame[frames[i]];
		cost.callee_line = frame->line;
		if (writer->seen[cost.callee] != stack)
			r = add_cost(writer, &cost);
		writer->seen[cost.callee] = stack;
		if (!writer->file[cost.callee])
			writer->file[cost.callee] = frame->file;
		cost.label = cost.callee;
		cost.line = cost.callee_line;
	}
	cost.callee = PROFILE_NONE;
	cost.callee_line = 0;
	return r ? r : add_cost(writer, &cost);
}

static int sum_stacks(struct writer *writer)
{
	const struct profile *profile = writer->job->profile;
	_cleanup_free_ uint64_t *sums = calloc(profile->stack_ends.count, sizeof(*sums));
	int r = sums ? 0 : -ENOMEM;

	for (size_t i = 0; !r && i < profile->samples.count; i++) {
		uint64_t *sum = &sums[profile->samples.items[i].stack];

		*sum = profile_sum(*sum, profile->values.items[i * profile->value_type_count +
							       writer->job->value_type]);
	}
	for (uint32_t stack = 0; !r && stack < profile->stack_ends.count; stack++) {
		if (sums[stack])
			r = add_stack(writer, stack, sums[stack]);
	}
	return r;
}

static uint32_t rank_of(const struct writer *writer, uint32_t label)
{
	return label == PROFILE_NONE ? 0 : writer->rank[label] + 1;
}

static int compare_costs(const void *left, const void *right, void *context)
{
	const struct cost *a = left, *b = right;
	uint32_t a_rank = rank_of(context, a->label), b_rank = rank_of(context, b->label);

	if (a_rank == b_rank) {
		a_rank = rank_of(context, a->callee);
		b_rank = rank_of(context, b->callee);
	}
	if (a_rank != b_rank)
		return a_rank < b_rank ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return (a->callee_line > b->callee_line) - (a->callee_line < b->callee_line);
}

static void put_string(struct writer *writer, const char *key, uint32_t string)
{
	const struct profile *profile = writer->job->profile;

	strbuf_puts(&writer->text, key);
	if (string)
		text_put(&writer->text, profile_text(profile, string),
			 strtab_length(&profile->strings, string));
	else
		strbuf_puts(&writer->text, "???");
	strbuf_putc(&writer->text, '\n');
}

/* "fn=(3) name", and "fn=(3)" from the second time on. */
static void put_function(struct writer *writer, const char *prefix, uint32_t label)
{
	size_t n;
	const char *name;

	if (label == PROFILE_NONE) {
		strbuf_puts(&writer->text, "ob=???\nfl=???\nfn=" ROOT "\n");
		return;
	}
	strbuf_puts(&writer->text, *prefix ? "cob=" : "ob=");
	put_string(writer, "", writer->labels.items.items[label].module);
	strbuf_puts(&writer->text, *prefix ? "cfi=" : "fl=");
	put_string(writer, "", writer->file[label]);
	strbuf_printf(&writer->text, "%sfn=(%u)", prefix, writer->rank[label] + 1);
	if (!writer->named[label]) {
		name = label_text(&writer->labels, label, &n);
		strbuf_putc(&writer->text, ' ');
		text_put(&writer->text, name, n);
	}
	writer->named[label] = true;
	strbuf_putc(&writer->text, '\n');
}

static void put_costs(struct writer *writer, FILE *out)
{
	struct strbuf *text = &writer->text;

	for (size_t i = 0; i < writer->costs.count; i++) {
		const struct cost *cost = &writer->costs.items[i];

		if (!i || cost->label != cost[-1].label) {
			strbuf_putc(text, '\n');
			put_function(writer, "", cost->label);
		}
		if (cost->callee != PROFILE_NONE) {
			put_function(writer, "c", cost->callee);
			strbuf_printf(text, "calls=1 %u\n", cost->callee_line);
		}
		strbuf_put_u64(text, cost->line);
		strbuf_putc(text, ' ');
		strbuf_put_u64(text, cost->value);
		strbuf_putc(text, '\n');
		if (text->length > 65536) {
			fwrite(text->data, 1, text->length, out);
			strbuf_clear(text);
		}
	}
}

/* Names of events are identifiers. */
static void put_event(struct strbuf *text, const char *name)
{
	strbuf_puts(text, "events: ");
	for (; *name; name++) {
		bool plain = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
			     (*name >= '0' && *name <= '9');

		strbuf_putc(text, plain ? *name : '_');
	}
	strbuf_putc(text, '\n');
}

static int put_all(struct writer *writer, FILE *out)
{
	const struct format_job *job = writer->job;
	struct strbuf *text = &writer->text;
	int r = sum_stacks(writer);

	if (r)
		return r;
	qsort_r(writer->costs.items, writer->costs.count, sizeof(*writer->costs.items),
		compare_costs, writer);
	strbuf_puts(text, "# callgrind format\nversion: 1\ncreator: perfd\ncmd: ");
	text_put(text, job->title, strlen(job->title));
	strbuf_puts(text, "\npositions: line\n");
	put_event(text, job->value_name);
	strbuf_puts(text, "summary: ");
	strbuf_put_u64(text, job->total);
	strbuf_putc(text, '\n');
	put_costs(writer, out);
	strbuf_puts(text, "\ntotals: ");
	strbuf_put_u64(text, job->total);
	strbuf_putc(text, '\n');
	fwrite(strbuf_text(text), 1, text->length, out);
	return strbuf_error(text);
}

int format_callgrind_write(const struct format_job *job, FILE *out)
{
	struct writer writer = {.job = job};
	int r = labels_init(&writer.labels, job->profile, LABELS_FUNCTION);
	size_t count;

	if (r)
		return r;
	count = writer.labels.items.count + 1;
	writer.rank = labels_rank(&writer.labels);
	writer.file = calloc(count, sizeof(*writer.file));
	writer.seen = calloc(count, sizeof(*writer.seen));
	writer.named = calloc(count, sizeof(*writer.named));
	r = writer.rank && writer.file && writer.seen && writer.named ? put_all(&writer, out)
								      : -ENOMEM;
	labels_deinit(&writer.labels);
	free(writer.rank);
	free(writer.file);
	free(writer.seen);
	free(writer.named);
	vec_free(&writer.costs);
	hashmap_deinit(&writer.index);
	strbuf_deinit(&writer.text);
	return r;
}
