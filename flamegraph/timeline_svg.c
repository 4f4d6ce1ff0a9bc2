/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A time line as stacked areas, the largest series at the bottom: a whole picture
 * without its script, scaled by the viewBox. The script (timeline.js) tells what there
 * was at the point under the mouse or the keyboard's cursor, and shows a series alone.
 * It reads the values from the element "timeline":
 *
 *	timeline 2
 *	unit nanoseconds
 *	level 0			1: values are levels, not amounts of a step
 *	start NS		of the epoch, 0: unknown
 *	step NS
 *	series N		then N lines: NAME, and N lines: a value a step, blanks between
 *	bands N			then N lines: SERIES LOW~HIGH a step, blanks between
 *	marks N			then N lines: AT_NS TEXT
 *
 * Colours are chosen for all kinds of colour vision; neighbours differ in lightness.
 */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/text.h"
#include "flamegraph/timeline.h"

#include "timeline_script.embed.h"
#include "timeline_style.embed.h"

#define WIDTH 1200
#define LEFT 80 /* of the plot */
#define PLOT_WIDTH 1090
#define TOP 90
#define PLOT_HEIGHT 320
#define LEGEND (TOP + PLOT_HEIGHT + 46)
#define LINE 18
#define CELL 6.4 /* px a character, about */

struct drawing {
	const struct timeline *timeline;
	double most; /* amount a step at the top of the scale */
	struct strbuf out;
};

static size_t count_lines(const char *text)
{
	size_t lines = 0;

	for (; (text = strchr(text, '\n')); text++)
		lines++;
	return lines;
}

static size_t height_of(const struct timeline *timeline)
{
	return LEGEND + timeline->series.count * LINE +
	       count_lines(strbuf_text(&timeline->foot)) * LINE + 16;
}

static void put_text(struct drawing *drawing, const char *attributes, double x, double y,
		     const char *text, size_t length)
{
	strbuf_printf(&drawing->out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, attributes);
	text_put_xml_fit(&drawing->out, text, length, (size_t)((WIDTH - x) / CELL));
	strbuf_puts(&drawing->out, "</text>\n");
}

static void put_words(struct drawing *drawing, const char *attributes, double y,
		      const struct strbuf *text)
{
	put_text(drawing, attributes, 12, y, strbuf_text(text), text->length);
}

/* Bands of series that stand on one another would say nothing. */
static bool band_shown(const struct timeline *timeline)
{
	return timeline->series.count == 1 && timeline->series.items[0].high;
}

/* 1, 2 or 5 times a power of ten. */
static double round_number(double at_least)
{
	double power = pow(10, floor(log10(at_least)));

	if (power >= at_least)
		return power;
	return power * (2 * power >= at_least ? 2 : 5 * power >= at_least ? 5 : 10);
}

/* The highest point: of all series on one another, or of a band. */
static uint64_t top_of(const struct timeline *timeline)
{
	uint64_t top = timeline->peak;

	for (size_t i = 0; i < timeline->series.count; i++) {
		const struct timeline_series *series = &timeline->series.items[i];

		for (size_t step = 0; band_shown(timeline) && step < timeline->steps; step++)
			top = series->high[step] > top ? series->high[step] : top;
	}
	return top ? top : 1;
}

/* What a round figure on the scale is made of. */
static double scale_unit(const struct timeline *timeline)
{
	const char *unit = strbuf_text(&timeline->unit);
	double each = 1;

	if (!strcmp(unit, "nanoseconds"))
		return 1e9;
	if (strcmp(unit, "bytes") != 0)
		return 1;
	while (each * 1024 <= (double)top_of(timeline) && each < 1e15)
		each *= 1024;
	return each;
}

/* Amounts are told as rates, so rates are round. */
static void put_scale(struct drawing *drawing)
{
	const struct timeline *timeline = drawing->timeline;
	double seconds = timeline->level ? 1 : (double)timeline->step_ns / 1e9;
	double unit = scale_unit(timeline);
	double rate = (double)top_of(timeline) / seconds / unit;
	double each = round_number(rate / 4);
	unsigned lines = (unsigned)ceil(rate / each - 1e-9);

	lines = lines ? lines : 1;
	drawing->most = each * lines * unit * seconds;
	for (unsigned i = 0; i <= lines; i++) {
		double y = TOP + PLOT_HEIGHT - (double)PLOT_HEIGHT * i / lines;
		_cleanup_(strbuf_deinit) struct strbuf text = {0};

		timeline_put_rate(&text, timeline, (uint64_t)(drawing->most * i / lines + 0.5), 1);
		strbuf_printf(&drawing->out,
			      "<path class=\"grid\" d=\"M%d %.1fh%d\"/>"
			      "<text class=\"soft end\" x=\"%d\" y=\"%.1f\">",
			      LEFT, y, PLOT_WIDTH, LEFT - 6, y + 4);
		text_put_xml(&drawing->out, strbuf_text(&text), text.length);
		strbuf_puts(&drawing->out, "</text>\n");
	}
}

static void put_axis(struct drawing *drawing)
{
	const struct timeline *timeline = drawing->timeline;
	double all = (double)timeline->step_ns * (double)timeline->steps;
	double each = round_number(all / 10);

	for (unsigned i = 0; each * i <= all * 1.0001; i++) {
		double at = each * i;
		double x = LEFT + PLOT_WIDTH * at / all;
		_cleanup_(strbuf_deinit) struct strbuf text = {0};

		strbuf_putc(&text, '+');
		text_put_value(&text, (uint64_t)(at + 0.5), "nanoseconds");
		strbuf_printf(&drawing->out,
			      "<path class=\"grid\" d=\"M%.1f %dv4\"/>"
			      "<text class=\"soft middle\" x=\"%.1f\" y=\"%d\">",
			      x, TOP + PLOT_HEIGHT, x, TOP + PLOT_HEIGHT + 17);
		text_put_xml(&drawing->out, strbuf_text(&text), text.length);
		strbuf_puts(&drawing->out, "</text>\n");
	}
}

/* An edge of an area, in tenths of a pixel: steps, those of one height as one. */
static void put_edge(struct drawing *drawing, const double *heights, bool backwards)
{
	size_t steps = drawing->timeline->steps;
	double wide = PLOT_WIDTH * 10.0 / (double)steps;
	long before = -1;

	for (size_t k = 0; k < steps; k++) {
		size_t i = backwards ? steps - 1 - k : k;
		long y = lround(PLOT_HEIGHT * 10.0 * (1 - heights[i] / drawing->most));

		if (y != before && before >= 0)
			strbuf_printf(&drawing->out, "H%ld",
				      lround(wide * (double)(backwards ? i + 1 : i)));
		if (y != before)
			strbuf_printf(&drawing->out, "V%ld", y);
		before = y;
	}
	strbuf_printf(&drawing->out, "H%d", backwards ? 0 : PLOT_WIDTH * 10);
}

static void put_band(struct drawing *drawing, double *low, double *high)
{
	const struct timeline_series *series = &drawing->timeline->series.items[0];

	for (size_t step = 0; step < drawing->timeline->steps; step++) {
		low[step] = (double)series->low[step];
		high[step] = (double)series->high[step];
	}
	strbuf_printf(&drawing->out, "<path class=\"band\" d=\"M0 %d", PLOT_HEIGHT * 10);
	put_edge(drawing, high, false);
	put_edge(drawing, low, true);
	strbuf_puts(&drawing->out, "z\"/>\n");
}

static int put_areas(struct drawing *drawing)
{
	const struct timeline *timeline = drawing->timeline;
	_cleanup_free_ double *low = calloc(timeline->steps, sizeof(*low));
	_cleanup_free_ double *high = calloc(timeline->steps, sizeof(*high));

	if (!low || !high)
		return -ENOMEM;
	strbuf_printf(&drawing->out,
		      "<svg id=\"plot\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
		      "viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" data-most=\"%.17g\">\n"
		      "<rect class=\"ground\" width=\"%d\" height=\"%d\"/>\n",
		      LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT, PLOT_WIDTH * 10, PLOT_HEIGHT * 10,
		      drawing->most, PLOT_WIDTH * 10, PLOT_HEIGHT * 10);
	for (size_t i = 0; i < timeline->series.count; i++) {
		for (size_t step = 0; step < timeline->steps; step++) {
			low[step] = high[step];
			high[step] += (double)timeline->series.items[i].values[step];
		}
		strbuf_printf(&drawing->out, "<path class=\"area s%zu\" d=\"M0 %d", i,
			      PLOT_HEIGHT * 10);
		put_edge(drawing, high, false);
		put_edge(drawing, low, true);
		strbuf_puts(&drawing->out, "z\"/>\n");
	}
	if (band_shown(timeline))
		put_band(drawing, low, high);
	strbuf_puts(&drawing->out, "</svg>\n");
	return 0;
}

static void put_marks(struct drawing *drawing)
{
	const struct timeline *timeline = drawing->timeline;
	double all = (double)timeline->step_ns * (double)timeline->steps;

	strbuf_puts(&drawing->out, "<g id=\"marks\">\n");
	for (size_t i = 0; i < timeline->marks.count; i++) {
		const struct timeline_mark *mark = &timeline->marks.items[i];
		double x = LEFT + PLOT_WIDTH * fmin((double)mark->at_ns / all, 1);

		strbuf_puts(&drawing->out, "<g><title>");
		text_put_xml(&drawing->out, strbuf_text(&mark->text), mark->text.length);
		/* What went wrong is told by shape too. */
		strbuf_printf(&drawing->out,
			      "</title><path class=\"mark%s\" d=\"M%.1f %d%s\"/>"
			      "<path class=\"rule\" d=\"M%.1f %dv%d\"/></g>\n",
			      mark->alarm ? " alarm" : "", x, TOP - 1,
			      mark->alarm ? "l-5 -5l5 -5l5 5z" : "l-5 -9h10z", x, TOP, PLOT_HEIGHT);
	}
	strbuf_puts(&drawing->out, "</g>\n");
}

static void put_legend(struct drawing *drawing)
{
	const struct timeline *timeline = drawing->timeline;

	strbuf_puts(&drawing->out, "<g id=\"legend\">\n");
	for (size_t i = 0; i < timeline->series.count; i++) {
		const struct timeline_series *series = &timeline->series.items[i];
		_cleanup_(strbuf_deinit) struct strbuf text = {0};
		size_t y = LEGEND + i * LINE;

		strbuf_puts(&text, "mean ");
		timeline_put_rate(&text, timeline, series->total, timeline->steps);
		strbuf_puts(&text, " · peak ");
		timeline_put_rate(&text, timeline, series->peak, 1);
		strbuf_printf(&drawing->out,
			      "<g class=\"entry\"><rect class=\"hold\" x=\"%d\" y=\"%zu\" "
			      "width=\"%d\" height=\"%d\"/><rect class=\"s%zu\" x=\"%d\" y=\"%zu\" "
			      "width=\"11\" height=\"11\" rx=\"2\"/>\n",
			      LEFT - 4, y, PLOT_WIDTH + 4, LINE, i, LEFT, y + 3);
		strbuf_printf(&drawing->out, "<text x=\"%d\" y=\"%zu\">", LEFT + 18, y + 13);
		text_put_xml_fit(&drawing->out, strbuf_text(&series->name), series->name.length,
				 60);
		strbuf_printf(&drawing->out,
			      "</text><text class=\"soft figure\" x=\"%d\" y=\"%zu\">", LEFT + 460,
			      y + 13);
		text_put_xml(&drawing->out, strbuf_text(&text), text.length);
		strbuf_puts(&drawing->out, "</text></g>\n");
	}
	strbuf_puts(&drawing->out, "</g>\n");
}

static void put_foot(struct drawing *drawing)
{
	const char *at = strbuf_text(&drawing->timeline->foot);
	double y = LEGEND + (double)drawing->timeline->series.count * LINE + 18;
	size_t length;

	for (; *at; at += length + 1, y += LINE) {
		length = strcspn(at, "\n");
		put_text(drawing, " class=\"soft\"", 12, y, at, length);
	}
}

static void put_band_data(const struct timeline *timeline, struct strbuf *out)
{
	size_t bands = 0;

	for (size_t i = 0; i < timeline->series.count; i++)
		bands += timeline->series.items[i].low != NULL;
	strbuf_printf(out, "bands %zu\n", bands);
	for (size_t i = 0; i < timeline->series.count; i++) {
		const struct timeline_series *series = &timeline->series.items[i];

		if (!series->low)
			continue;
		strbuf_printf(out, "%zu", i);
		for (size_t step = 0; step < timeline->steps; step++) {
			strbuf_putc(out, ' ');
			strbuf_put_u64(out, series->low[step]);
			strbuf_putc(out, '~');
			strbuf_put_u64(out, series->high[step]);
		}
		strbuf_putc(out, '\n');
	}
}

static void put_data(struct drawing *drawing)
{
	const struct timeline *timeline = drawing->timeline;
	struct strbuf *out = &drawing->out;

	strbuf_puts(out, "<metadata id=\"timeline\">\ntimeline 2\nunit ");
	text_put_xml(out, strbuf_text(&timeline->unit), timeline->unit.length);
	strbuf_printf(out, "\nlevel %d\nstart ", timeline->level);
	strbuf_put_u64(out, timeline->start_ns);
	strbuf_puts(out, "\nstep ");
	strbuf_put_u64(out, timeline->step_ns);
	strbuf_printf(out, "\nseries %zu\n", timeline->series.count);
	for (size_t i = 0; i < timeline->series.count; i++) {
		const struct strbuf *name = &timeline->series.items[i].name;

		text_put_xml(out, strbuf_text(name), name->length);
		strbuf_putc(out, '\n');
	}
	for (size_t i = 0; i < timeline->series.count; i++) {
		for (size_t step = 0; step < timeline->steps; step++) {
			strbuf_puts(out, step ? " " : "");
			strbuf_put_u64(out, timeline->series.items[i].values[step]);
		}
		strbuf_putc(out, '\n');
	}
	put_band_data(timeline, out);
	strbuf_printf(out, "marks %zu\n", timeline->marks.count);
	for (size_t i = 0; i < timeline->marks.count; i++) {
		const struct timeline_mark *mark = &timeline->marks.items[i];

		strbuf_put_u64(out, mark->at_ns);
		strbuf_putc(out, ' ');
		text_put_xml(out, strbuf_text(&mark->text), mark->text.length);
		strbuf_putc(out, '\n');
	}
	strbuf_puts(out, "</metadata>\n<script><![CDATA[\n");
	strbuf_append(out, timeline_script, sizeof(timeline_script) - 1);
	strbuf_puts(out, "]]></script>\n</svg>\n");
}

static int draw(struct drawing *drawing)
{
	const struct timeline *timeline = drawing->timeline;
	int r;

	strbuf_printf(&drawing->out,
		      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%zu\" "
		      "viewBox=\"0 0 %d %zu\" role=\"figure\">\n<title>",
		      WIDTH, height_of(timeline), WIDTH, height_of(timeline));
	text_put_xml(&drawing->out, strbuf_text(&timeline->title), timeline->title.length);
	strbuf_puts(&drawing->out, "</title>\n<style>\n");
	strbuf_append(&drawing->out, timeline_style, sizeof(timeline_style) - 1);
	strbuf_puts(&drawing->out, "</style>\n<rect class=\"page\" width=\"100%\" "
				   "height=\"100%\"/>\n");
	put_words(drawing, " id=\"title\"", 30, &timeline->title);
	put_words(drawing, " id=\"origin\" class=\"soft\"", 50, &timeline->origin);
	put_words(drawing, " id=\"status\"", 70, &timeline->value);
	put_scale(drawing);
	put_axis(drawing);
	r = put_areas(drawing);
	put_marks(drawing);
	put_legend(drawing);
	put_foot(drawing);
	put_data(drawing);
	return r ? r : strbuf_error(&drawing->out);
}

static int write_between(const struct timeline *timeline, const char *before, const char *after,
			 FILE *out)
{
	struct drawing drawing = {.timeline = timeline};
	int r = draw(&drawing);

	if (!r) {
		fputs(before, out);
		fwrite(strbuf_text(&drawing.out), 1, drawing.out.length, out);
		fputs(after, out);
	}
	strbuf_deinit(&drawing.out);
	return r;
}

int timeline_svg_write(const struct timeline *timeline, FILE *out)
{
	return write_between(timeline, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", "", out);
}

int timeline_html_write(const struct timeline *timeline, FILE *out)
{
	return write_between(timeline,
			     "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
			     "<title>Time line</title>\n<body style=\"margin:0\">\n",
			     "</body>\n</html>\n", out);
}
