/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Boxes of one colour are one path, so that ten thousand of them are a few elements
 * and some hundred kilobytes. All text goes through text_put_xml(): names are foreign
 * bytes.
 */
#include "flamegraph/svg.h"

#include <stdlib.h>
#include <string.h>

#include "flamegraph/text.h"

#include "svg_script.embed.h"
#include "svg_style.embed.h"

#define ROW 17 /* px from one level to the next; a box is one less */
#define HEAD 104 /* px above the boxes */
#define FOOT_LINE 17
#define CELL 6.65 /* px a character of the labels, at 11 px; at most, in any monospace font */
#define TEXT_CELL 6.4 /* px a character of other text, about */
#define UNITS 12000 /* of the paths' coordinates, from left to right */

struct svg {
	const struct svg_page *page;
	const struct picture *picture;
	const struct format_job *job;
	struct strbuf out;
	struct strbuf scratch;
	struct strbuf *paths; /* by colour: twice, the wide boxes' and the narrow ones' */
	uint8_t *used; /* by colour */
};

static size_t boxes_height(const struct svg *svg)
{
	return ((size_t)svg->picture->depth + 1) * ROW;
}

static size_t foot_lines(const struct svg *svg)
{
	size_t lines = 0;

	for (const char *at = svg->page->foot; (at = strchr(at, '\n')); at++)
		lines++;
	return lines;
}

static size_t height(const struct svg *svg)
{
	return HEAD + boxes_height(svg) + 14 + foot_lines(svg) * FOOT_LINE + 6;
}

static void put_text(struct svg *svg, const char *attributes, size_t y, double cell,
		     const char *text, size_t length)
{
	size_t cells = (size_t)(svg->job->width * 0.98 / cell);

	strbuf_printf(&svg->out, "<text x=\"1%%\" y=\"%zu\"%s>", y, attributes);
	text_put_xml_fit(&svg->out, text, length, cells);
	strbuf_puts(&svg->out, "</text>\n");
}

static void put_legend(struct svg *svg)
{
	const struct picture_legend *legend = svg->page->legend;
	size_t count = svg->page->legend_count, x = 0;

	strbuf_puts(&svg->out, "<svg id=\"legend\" x=\"1%\" y=\"80\" height=\"16\">\n");
	for (size_t i = 0; i < count && x < svg->job->width; i++) {
		const char *text = legend[i].text;

		svg->used[legend[i].colour] = 1;
		strbuf_clear(&svg->scratch);
		text_put_xml_fit(&svg->scratch, text, strlen(text), 24);
		strbuf_printf(&svg->out,
			      "<rect class=\"c%u\" x=\"%zu\" y=\"2\" width=\"11\" height=\"11\" "
			      "rx=\"2\"/><text class=\"soft\" x=\"%zu\" y=\"12\">%s</text>\n",
			      legend[i].colour, x, x + 16, strbuf_text(&svg->scratch));
		/* Without a text it is a step on the way to the next one. */
		x += *text ? 36 + (strlen(text) < 24 ? strlen(text) : 24) * 13 / 2 : 14;
	}
	strbuf_puts(&svg->out, "</svg>\n");
}

static void put_style(struct svg *svg)
{
	for (size_t i = 0; i < svg->picture->boxes.count; i++)
		svg->used[picture_colour(svg->picture, &svg->picture->boxes.items[i])] = 1;
	strbuf_puts(&svg->out, "<style>\n");
	strbuf_append(&svg->out, svg_style, sizeof(svg_style) - 1);
	palette_put_css(&svg->out, svg->used);
	strbuf_puts(&svg->out, svg->page->style);
	strbuf_puts(&svg->out, "</style>\n");
}

static void put_head(struct svg *svg)
{
	const struct format_job *job = svg->job;
	const struct svg_page *page = svg->page;

	strbuf_printf(&svg->out,
		      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%zu\" "
		      "viewBox=\"0 0 %u %zu\">\n<title>",
		      job->width, height(svg), job->width, height(svg));
	text_put_xml(&svg->out, job->title, strlen(job->title));
	strbuf_puts(&svg->out, "</title>\n"
			       "<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n");
	put_text(svg, " id=\"title\"", 30, 9.5, job->title, strlen(job->title));
	put_text(svg, " id=\"origin\" class=\"soft\"", 50, TEXT_CELL, page->origin,
		 strlen(page->origin));
	put_text(svg, " id=\"amount\" class=\"soft\"", 68, TEXT_CELL, page->amount,
		 strlen(page->amount));
	put_legend(svg);
	/* After the legend, which uses colours of its own; the page needs it by now. */
	put_style(svg);
}

/* Of tens of thousands: without printf. */
static void put_rectangle(struct strbuf *path, unsigned left, size_t y, unsigned width)
{
	strbuf_putc(path, 'M');
	strbuf_put_u64(path, left);
	strbuf_putc(path, ' ');
	strbuf_put_u64(path, y);
	strbuf_putc(path, 'h');
	strbuf_put_u64(path, width);
	strbuf_putc(path, 'v');
	strbuf_put_u64(path, ROW - 1);
	strbuf_puts(path, "h-");
	strbuf_put_u64(path, width);
	strbuf_putc(path, 'z');
}

/* Both ends are rounded, so that what touches in the profile touches here. */
static void put_box(struct svg *svg, const struct picture_box *box, double per_value,
		    struct strbuf *labels)
{
	const struct picture *picture = svg->picture;
	const struct tree_node *node = &picture->tree.nodes.items[box->node];
	double x = per_value * (double)box->begin, wide = per_value * (double)node->total;
	double pixels = wide / UNITS * 0.98 * svg->job->width;
	unsigned left = (unsigned)(x + 0.5), right = (unsigned)(x + wide + 0.5);
	unsigned width = right > left ? right - left : 1;
	size_t y = (size_t)(picture->depth - node->depth) * ROW, length;
	size_t cells = pixels > 7 ? (size_t)((pixels - 7) / CELL) : 0;
	const char *name = picture_name(picture, box, &length);

	put_rectangle(&svg->paths[2 * picture_colour(picture, box) + (pixels < 3)], left, y, width);
	strbuf_clear(&svg->scratch);
	text_put_xml_fit(&svg->scratch, name, length, cells);
	if (svg->scratch.length)
		strbuf_printf(labels, "<text x=\"%.2f%%\" dx=\"4\" y=\"%zu\">%s</text>\n",
			      x / UNITS * 100, y + 12, svg->scratch.data);
}

static void put_boxes(struct svg *svg)
{
	const struct picture *picture = svg->picture;
	double per_value = UNITS / (double)picture->tree.nodes.items[0].total;
	size_t tall = boxes_height(svg);
	struct strbuf labels = {0};

	for (size_t i = 0; i < picture->boxes.count; i++)
		put_box(svg, &picture->boxes.items[i], per_value, &labels);
	strbuf_printf(&svg->out,
		      "<svg id=\"frames\" x=\"1%%\" y=\"%d\" width=\"98%%\" height=\"%zu\">\n"
		      "<svg id=\"boxes\" width=\"100%%\" height=\"%zu\" viewBox=\"0 0 %d %zu\" "
		      "preserveAspectRatio=\"none\">\n",
		      HEAD, tall, tall, UNITS, tall);
	for (unsigned i = 0; i < 2 * palette_colours(); i++) {
		struct strbuf *path = &svg->paths[i];

		if (path->length)
			strbuf_printf(&svg->out, "<path class=\"c%u%s\" d=\"", i / 2,
				      i % 2 ? " n" : "");
		strbuf_append(&svg->out, strbuf_text(path), path->length);
		strbuf_puts(&svg->out, path->length ? "\"/>\n" : "");
		svg->out.failed |= path->failed;
	}
	strbuf_puts(&svg->out, "</svg>\n<g id=\"labels\">\n");
	strbuf_append(&svg->out, strbuf_text(&labels), labels.length);
	strbuf_puts(&svg->out, "</g>\n</svg>\n");
	svg->out.failed |= labels.failed;
	strbuf_deinit(&labels);
}

static void put_foot(struct svg *svg)
{
	size_t y = HEAD + boxes_height(svg) + 14 + FOOT_LINE / 2, length;

	strbuf_puts(&svg->out, "<g id=\"foot\">\n");
	for (const char *at = svg->page->foot; *at; at += length + 1, y += FOOT_LINE) {
		length = strcspn(at, "\n");
		put_text(svg, " class=\"soft\"", y, TEXT_CELL, at, length);
	}
	strbuf_puts(&svg->out, "</g>\n");
}

int svg_write(const struct svg_page *page, FILE *out)
{
	unsigned colours = palette_colours();
	struct svg svg = {.page = page, .picture = page->picture, .job = page->picture->job};
	int r;

	svg.paths = calloc(2 * (size_t)colours, sizeof(*svg.paths));
	svg.used = calloc(colours, sizeof(*svg.used));
	if (svg.paths && svg.used) {
		put_head(&svg);
		put_boxes(&svg);
		put_foot(&svg);
		strbuf_puts(&svg.out, "<metadata id=\"flame\">\n");
		picture_put_text(&svg.out, svg.picture);
		strbuf_puts(&svg.out, "</metadata>\n<script><![CDATA[\n");
		strbuf_append(&svg.out, svg_script, sizeof(svg_script) - 1);
		strbuf_puts(&svg.out, "]]></script>\n</svg>\n");
		fwrite(strbuf_text(&svg.out), 1, svg.out.length, out);
	}
	r = svg.paths && svg.used ? strbuf_error(&svg.out) : -ENOMEM;
	for (unsigned i = 0; svg.paths && i < 2 * colours; i++)
		strbuf_deinit(&svg.paths[i]);
	free(svg.paths);
	free(svg.used);
	strbuf_deinit(&svg.out);
	strbuf_deinit(&svg.scratch);
	return r;
}
