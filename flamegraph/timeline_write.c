/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A time line as a table with a spark line a series, and as JSON (schema
 * "perfd.timeline/1", docs/formats.md); timeline_svg.c draws it.
 */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/text.h"
#include "flamegraph/timeline.h"

#define SPARKS 48 /* cells */
#define NAME_CELLS 24

const struct timeline_format timeline_formats[] = {
	{"table", ".txt", "a line a series, with how it went in small bars", timeline_table_write},
	{"json", ".json", "all values and marks, for programs", timeline_json_write},
	{"svg", ".svg", "stacked areas, one file that answers", timeline_svg_write},
	{"html", ".html .htm", "the same in a document", timeline_html_write},
};
const size_t timeline_format_count = sizeof(timeline_formats) / sizeof(*timeline_formats);

/* The mean of the steps that a cell stands for, in eighths of the largest
 * peak of a series. */
static void put_sparks(struct strbuf *out, const struct timeline *timeline,
		       const struct timeline_series *series, uint64_t peak)
{
	static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	size_t cells = timeline->steps < SPARKS ? timeline->steps : SPARKS;

	for (size_t cell = 0; cell < cells; cell++) {
		size_t first = cell * timeline->steps / cells;
		size_t end = (cell + 1) * timeline->steps / cells;
		double sum = 0, share;
		unsigned height;

		for (size_t step = first; step < end; step++)
			sum += (double)series->values[step];
		share = sum / (double)(end - first) / (double)peak;
		height = (unsigned)(share * 8 + 0.5);
		/* What is not nothing is seen. */
		strbuf_puts(out, bars[height > 8 ? 8 : !height && sum > 0 ? 1 : height]);
	}
}

static void put_cell(struct strbuf *out, const struct strbuf *cell)
{
	for (size_t length = cell->length; length < 12; length++)
		strbuf_putc(out, ' ');
	strbuf_puts(out, strbuf_text(cell));
}

static void put_row(struct strbuf *out, const struct timeline *timeline,
		    const struct timeline_series *series, uint64_t top)
{
	_cleanup_(strbuf_deinit) struct strbuf mean = {0};
	_cleanup_(strbuf_deinit) struct strbuf peak = {0};
	size_t cells =
		text_put_fit(out, strbuf_text(&series->name), series->name.length, NAME_CELLS);

	for (; cells < NAME_CELLS; cells++)
		strbuf_putc(out, ' ');
	timeline_put_rate(&mean, timeline, series->total, timeline->steps);
	timeline_put_rate(&peak, timeline, series->peak, 1);
	put_cell(out, &mean);
	put_cell(out, &peak);
	strbuf_puts(out, "  ");
	put_sparks(out, timeline, series, top);
	strbuf_putc(out, '\n');
	out->failed |= mean.failed || peak.failed;
}

int timeline_table_write(const struct timeline *timeline, FILE *out)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};
	uint64_t top = 1;

	for (size_t i = 0; i < timeline->series.count; i++) {
		uint64_t peak = timeline->series.items[i].peak;

		top = peak > top ? peak : top;
	}
	strbuf_printf(&text, "%s\n%s\n", strbuf_text(&timeline->title),
		      strbuf_text(&timeline->origin));
	strbuf_puts(&text, strbuf_text(&timeline->value));
	strbuf_printf(&text, " in %zu steps of ", timeline->steps);
	text_put_value(&text, timeline->step_ns, "nanoseconds");
	strbuf_printf(&text, "\n\n%-*s%12s%12s\n", NAME_CELLS, "", "mean", "peak");
	for (size_t i = 0; i < timeline->series.count; i++)
		put_row(&text, timeline, &timeline->series.items[i], top);
	strbuf_putc(&text, '\n');
	for (size_t i = 0; i < timeline->marks.count; i++) {
		const struct timeline_mark *mark = &timeline->marks.items[i];

		strbuf_puts(&text, "at ");
		text_put_value(&text, mark->at_ns, "nanoseconds");
		strbuf_printf(&text, ": %s\n", strbuf_text(&mark->text));
	}
	strbuf_puts(&text, strbuf_text(&timeline->foot));
	fwrite(strbuf_text(&text), 1, text.length, out);
	return strbuf_error(&text);
}

static json_t *json_text(const struct strbuf *text)
{
	return json_stringn(strbuf_text(text), text->length);
}

/* JSON's numbers are signed; what is larger stays at the top. */
static json_t *json_count(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* NULL for NULL, too. */
static json_t *json_values(const struct timeline *timeline, const uint64_t *numbers)
{
	json_t *values = numbers ? json_array() : NULL;
	int failed = 0;

	for (size_t i = 0; values && i < timeline->steps; i++)
		failed |= json_array_append_new(values, json_count(numbers[i]));
	if (failed) {
		json_decref(values);
		return NULL;
	}
	return values;
}

static json_t *json_series(const struct timeline *timeline, const struct timeline_series *series)
{
	json_t *values = json_values(timeline, series->values);

	if (!values)
		return NULL;
	return json_pack("{s:o, s:o, s:o, s:o, s:o*, s:o*}", "name", json_text(&series->name),
			 "total", json_count(series->total), "peak", json_count(series->peak),
			 "values", values, "low", json_values(timeline, series->low), "high",
			 json_values(timeline, series->high));
}

static json_t *json_document(const struct timeline *timeline)
{
	json_t *series = json_array(), *marks = json_array();
	int failed = 0;

	for (size_t i = 0; i < timeline->series.count; i++)
		failed |= json_array_append_new(series,
						json_series(timeline, &timeline->series.items[i]));
	for (size_t i = 0; i < timeline->marks.count; i++) {
		const struct timeline_mark *mark = &timeline->marks.items[i];

		failed |= json_array_append_new(
			marks,
			json_pack("{s:o, s:s, s:o, s:o, s:b}", "at_ns", json_count(mark->at_ns),
				  "key", mark->key, "text", json_text(&mark->text), "value",
				  json_count(mark->value), "alarm", mark->alarm));
	}
	if (failed) {
		json_decref(series);
		json_decref(marks);
		return NULL;
	}
	return json_pack("{s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "schema",
			 "perfd.timeline/1", "title", json_text(&timeline->title), "value",
			 json_text(&timeline->value), "unit", json_text(&timeline->unit), "level",
			 timeline->level, "start_ns", json_count(timeline->start_ns), "step_ns",
			 json_count(timeline->step_ns), "total", json_count(timeline->total),
			 "peak", json_count(timeline->peak), "series", series, "marks", marks);
}

int timeline_json_write(const struct timeline *timeline, FILE *out)
{
	json_t *document = json_document(timeline);
	int r = document ? json_dumpf(document, out, JSON_COMPACT) : -1;

	fputc('\n', out);
	json_decref(document);
	return r ? -ENOMEM : 0;
}
