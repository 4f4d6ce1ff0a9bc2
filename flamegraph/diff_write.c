/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A difference as a table, as JSON (schema "perfd.diff/1", docs/formats.md) and as
 * folded lines of two columns; diff_svg.c draws it.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/diff.h"
#include "flamegraph/paths.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/report.h"
#include "flamegraph/text.h"

const struct diff_format diff_formats[] = {
	{"table", ".txt", "what changed, function by function", diff_table_write},
	{"json", ".json", "the same for programs", diff_json_write},
	{"folded", ".folded .collapsed", "a line a stack: ...;leaf BEFORE AFTER",
	 diff_folded_write},
	{"svg", ".svg", "a flame graph coloured by the change", diff_svg_write},
};
const size_t diff_format_count = sizeof(diff_formats) / sizeof(*diff_formats);

static const char *verdict_name(const struct diff_amount *amount)
{
	static const char *const names[] = {
		[DIFF_NOISE] = "noise", [DIFF_LIKELY] = "likely", [DIFF_SURE] = "sure"};

	return names[amount->verdict];
}

static const char *scale_name(enum diff_scale scale)
{
	return scale == DIFF_SECOND ? "second" : scale == DIFF_SHARE ? "share" : "value";
}

static const char *change_of(const struct diff_row *row)
{
	return !row->total.before ? "new" : !row->total.after ? "gone" : "changed";
}

static void put_padded(struct strbuf *out, const struct strbuf *cell, size_t width)
{
	size_t cells = 0, n;

	for (size_t i = 0; i < cell->length; i += n)
		cells += text_cells(text_next(cell->data + i, cell->length - i, &n));
	for (; cells < width; cells++)
		strbuf_putc(out, ' ');
	strbuf_append(out, cell->data, cell->length);
}

static void put_delta(struct strbuf *out, const struct diff *diff, const struct diff_amount *amount)
{
	_cleanup_(strbuf_deinit) struct strbuf cell = {0};

	if (fabs(amount->delta) < 1) {
		strbuf_puts(&cell, "=");
	} else {
		strbuf_putc(&cell, amount->delta < 0 ? '-' : '+');
		text_put_value(&cell, (uint64_t)(fabs(amount->delta) + 0.5), diff->unit);
	}
	put_padded(out, &cell, 12);
	strbuf_printf(out, " %-6s", fabs(amount->delta) < 1 ? "" : verdict_name(amount));
}

static void put_value(struct strbuf *out, const struct diff *diff, double value)
{
	_cleanup_(strbuf_deinit) struct strbuf cell = {0};

	if (value < 0.5)
		strbuf_putc(&cell, '-');
	else
		text_put_value(&cell, (uint64_t)(value + 0.5), diff->unit);
	put_padded(out, &cell, 11);
}

static void put_name(struct strbuf *out, const struct diff *diff, uint32_t label)
{
	uint32_t module = diff->labels.items.items[label].module;
	size_t n;
	const char *name = label_text(&diff->labels, label, &n);

	text_put(out, name, n);
	if (module) {
		strbuf_puts(out, "  ");
		text_put(out, profile_text(diff->joined, module),
			 strtab_length(&diff->joined->strings, module));
	}
}

static void put_row(struct strbuf *out, const struct diff *diff, const struct diff_row *row)
{
	const char *change = change_of(row);

	put_delta(out, diff, &row->self);
	put_value(out, diff, (double)row->self.before * diff->factor);
	put_value(out, diff, (double)row->self.after);
	put_delta(out, diff, &row->total);
	strbuf_puts(out, "  ");
	put_name(out, diff, row->label);
	if (*change != 'c')
		strbuf_printf(out, "  (%s)", change);
	strbuf_putc(out, '\n');
}

static void put_side(struct strbuf *out, const struct diff *diff, const char *name,
		     const char *title, uint64_t value, uint64_t samples)
{
	strbuf_printf(out, "%-7s", name);
	text_put(out, title, strlen(title));
	strbuf_puts(out, *title ? " · " : "");
	text_put_value(out, value, diff->unit);
	strbuf_puts(out, " · ");
	text_put_count(out, samples);
	strbuf_puts(out, " samples\n");
}

int diff_table_write(const struct diff *diff, const struct diff_options *options, FILE *out)
{
	size_t rows = diff->rows.count, noise = 0;
	struct strbuf text = {0};
	int r;

	put_side(&text, diff, "before", diff->before_title, diff->all.before, diff->all.before_n);
	put_side(&text, diff, "after", diff->after_title, diff->all.after, diff->all.after_n);
	strbuf_printf(&text, "compared by %s; the before is taken %.4g times\n\n",
		      scale_name(diff->scale), diff->factor);
	if (!rows)
		strbuf_puts(&text, "no difference\n");
	else
		strbuf_puts(&text, "       self             before      after       total"
				   "          function  module\n");
	for (size_t i = 0; i < rows; i++) {
		const struct diff_row *row = &diff->rows.items[i];

		noise += row->self.verdict == DIFF_NOISE && row->total.verdict == DIFF_NOISE;
		if (!options->top || i < options->top)
			put_row(&text, diff, row);
	}
	if (options->top && rows > options->top) {
		strbuf_puts(&text, "... and ");
		text_put_count(&text, rows - options->top);
		strbuf_puts(&text, " more functions\n");
	}
	strbuf_putc(&text, '\n');
	text_put_count(&text, diff->functions);
	strbuf_puts(&text, " functions compared, ");
	text_put_count(&text, rows);
	strbuf_puts(&text, " differ, ");
	text_put_count(&text, noise);
	strbuf_puts(&text, " of them by no more than chance (noise)\n");
	fwrite(strbuf_text(&text), 1, text.length, out);
	r = strbuf_error(&text);
	strbuf_deinit(&text);
	return r;
}

/* JSON's integers are signed here: what is larger stays at the top. */
static json_int_t json_count(uint64_t count)
{
	return count > INT64_MAX ? INT64_MAX : (json_int_t)count;
}

static json_t *amount_json(const struct diff_amount *amount)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:f, s:f, s:s}", "before",
			 json_count(amount->before), "after", json_count(amount->after),
			 "before_samples", json_count(amount->before_n), "after_samples",
			 json_count(amount->after_n), "delta", amount->delta, "p", amount->p,
			 "verdict", verdict_name(amount));
}

static json_t *text_json(const char *bytes, size_t n)
{
	_cleanup_(strbuf_deinit) struct strbuf clean = {0};

	text_put(&clean, bytes, n);
	return json_stringn(strbuf_text(&clean), clean.length);
}

static json_t *row_json(const struct diff *diff, const struct diff_row *row)
{
	const struct label *label = &diff->labels.items.items[row->label];
	size_t n;
	const char *name = label_text(&diff->labels, row->label, &n);

	return json_pack("{s:o, s:o, s:s, s:s, s:o, s:o}", "name", text_json(name, n), "module",
			 text_json(profile_text(diff->joined, label->module),
				   strtab_length(&diff->joined->strings, label->module)),
			 "kind", report_kind_name(label->kind), "change", change_of(row), "self",
			 amount_json(&row->self), "total", amount_json(&row->total));
}

int diff_json_write(const struct diff *diff, const struct diff_options *options, FILE *out)
{
	json_t *functions = json_array(), *root;
	int r = 0;

	for (size_t i = 0; i < diff->rows.count; i++) {
		if (options->top && i >= options->top)
			break;
		if (json_array_append_new(functions, row_json(diff, &diff->rows.items[i])))
			r = -ENOMEM;
	}
	root = json_pack("{s:s, s:o, s:o, s:o, s:s, s:f, s:o, s:I, s:I, s:o}", "schema",
			 "perfd.diff/1", "before",
			 text_json(diff->before_title, strlen(diff->before_title)), "after",
			 text_json(diff->after_title, strlen(diff->after_title)), "unit",
			 text_json(diff->unit, strlen(diff->unit)), "by", scale_name(diff->scale),
			 "factor", diff->factor, "all", amount_json(&diff->all),
			 "functions_compared", (json_int_t)diff->functions, "functions_changed",
			 (json_int_t)diff->rows.count, "functions", functions);
	if (!root)
		return -ENOMEM;
	errno = 0;
	if (!r && (json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(9)) ||
		   fputc('\n', out) == EOF))
		r = errno ? -errno : -EIO;
	json_decref(root);
	return r;
}

/* --- Folded, two columns --- */

/* Both values of each (comm, stack), as paths have them: one value only. */
static int path_values(const struct profile *joined, struct hashmap *index, bool with_comm)
{
	for (size_t i = 0; i < joined->samples.count; i++) {
		const struct profile_sample *sample = &joined->samples.items[i];
		uint64_t key = (uint64_t)(with_comm ? sample->comm : 0) << 32 | sample->stack;

		if (hashmap_put(index, key, i))
			return -ENOMEM;
	}
	return 0;
}

static void put_path(struct strbuf *out, const struct paths *paths,
		     const struct path_elements *path)
{
	for (size_t i = 0; i < path->count; i++) {
		size_t n;
		const char *text = label_text(paths->labels, path_label(paths, path, i), &n);

		if (i)
			strbuf_putc(out, ';');
		strbuf_append(out, text, n);
	}
	if (!path->count)
		strbuf_puts(out, "[no stack]");
}

/* Samples of the joined profile are one a (comm, stack); paths alike in their labels
 * are one line. */
static int put_lines(const struct diff *diff, const struct paths *paths,
		     const struct hashmap *index, FILE *out)
{
	const struct profile *joined = diff->joined;
	struct path_elements previous = {0};
	uint64_t before = 0, after = 0;
	struct strbuf line = {0};
	int r;

	for (size_t i = 0; i <= paths->items.count; i++) {
		const struct path *path = i < paths->items.count ? &paths->items.items[i] : NULL;
		struct path_elements now = path ? path_elements(paths, path) : previous;
		const uint64_t *found, *values;

		if (i && (!path || path_common(paths, &previous, &now) < now.count ||
			  previous.count != now.count)) {
			strbuf_clear(&line);
			put_path(&line, paths, &previous);
			strbuf_putc(&line, ' ');
			strbuf_put_u64(&line, before);
			strbuf_putc(&line, ' ');
			strbuf_put_u64(&line, after);
			strbuf_putc(&line, '\n');
			fwrite(strbuf_text(&line), 1, line.length, out);
			before = after = 0;
		}
		found = path ? hashmap_get(index, (uint64_t)path->comm << 32 | path->stack) : NULL;
		if (found) {
			values = joined->values.items + *found * joined->value_type_count;
			before = profile_sum(before, values[DIFF_BEFORE]);
			after = profile_sum(after, values[DIFF_AFTER]);
		}
		previous = now;
	}
	r = strbuf_error(&line);
	strbuf_deinit(&line);
	return r;
}

int diff_folded_write(const struct diff *diff, const struct diff_options *options, FILE *out)
{
	struct paths_options path_options = {.value_type = DIFF_SUM, .with_comm = true};
	_cleanup_free_ uint32_t *rank = NULL;
	struct hashmap index = {0};
	struct labels labels;
	struct paths paths;
	int r = labels_init(&labels, diff->joined, LABELS_FOLDED);

	(void)options;
	if (r)
		return r;
	rank = labels_rank(&labels);
	path_options.inner = path_options.last = rank;
	r = rank ? paths_init(&paths, &labels, &path_options) : -ENOMEM;
	if (!r) {
		r = path_values(diff->joined, &index, paths.with_comm);
		if (!r)
			r = put_lines(diff, &paths, &index, out);
		paths_deinit(&paths);
	}
	hashmap_deinit(&index);
	labels_deinit(&labels);
	return r;
}
