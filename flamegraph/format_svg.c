/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "svg": an interactive flame graph in one file. It is a whole picture without its
 * script (in an <img>, in a README): drawn for a given width, and scaled by the
 * viewBox. With the script it fills the window: x and width are percentages, so
 * that resizing costs nothing, and only labels are cut anew, by counting
 * characters of a fixed-width font.
 *
 * Parts, from the top: title, origin and amount (summary.h), legend, the boxes
 * (root at the bottom), everything that was counted. A box carries its facts as a
 * <title>: name, module and kind, figures; the script reads them there.
 *
 * Boxes thinner than a tenth of a pixel are left out; the foot says how many and
 * how much. All text goes through text_put_xml(): names are foreign bytes.
 */
#include "flamegraph/format.h"

#include <math.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/summary.h"
#include "flamegraph/text.h"
#include "flamegraph/tree.h"

#include "svg_script.embed.h"
#include "svg_style.embed.h"

#define ROW 17 /* px from one level to the next; a box is one less */
#define HEAD 104 /* px above the boxes */
#define FOOT_LINE 17
#define CELL 6.65 /* px a character of the labels, at 11 px */
#define TEXT_CELL 6.4 /* px a character of other text, about */
#define LEAST_SHARE (0.1 / 1200) /* of the whole; thinner boxes are left out */

/* The look of a kind: a letter and how many shades of it svg_style.css has. */
static const struct look {
	char letter;
	unsigned char shades;
	const char *legend; /* NULL: not in the legend */
	const char *note; /* behind the module in the facts; "" : nothing */
} looks[] = {
	[FRAME_USER] = {'u', 10, "user", ""},
	[FRAME_KERNEL] = {'k', 5, "kernel", "kernel"},
	[FRAME_INLINE] = {'i', 4, "inlined", "inlined"},
	[FRAME_JIT] = {'j', 4, "JIT", "JIT"},
	[FRAME_INTERPRETED] = {'p', 4, "interpreted", "interpreted"},
	[FRAME_SPECIAL] = {'s', 1, "no code: a reason", "a reason, not a function"},
	[LABEL_COMM] = {'c', 3, NULL, "thread"},
};
_Static_assert(sizeof(looks) / sizeof(*looks) == FRAME_KIND_COUNT + 1, "a look for each kind");

struct svg {
	const struct format_job *job;
	struct tree tree;
	struct strbuf out;
	struct strbuf scratch;
	bool kinds[FRAME_KIND_COUNT + 1]; /* which are drawn */
};

/* Finds out which kinds are drawn, before they are: the legend comes first. */
static void survey(struct svg *svg)
{
	for (uint32_t i = 1; i < svg->tree.nodes.count; i++) {
		uint32_t label = svg->tree.nodes.items[i].label;

		svg->kinds[svg->tree.labels.items.items[label].kind] = true;
	}
}

static size_t boxes_height(const struct svg *svg)
{
	return ((size_t)svg->tree.depth + 1) * ROW;
}

static size_t foot_lines(const struct svg *svg)
{
	return svg->job->profile->counts.count + (svg->tree.thin ? 1 : 0);
}

static size_t height(const struct svg *svg)
{
	return HEAD + boxes_height(svg) + 14 + foot_lines(svg) * FOOT_LINE + 6;
}

static void put_text(struct svg *svg, const char *attributes, size_t y, double cell,
		     const struct strbuf *text)
{
	size_t cells = (size_t)(svg->job->width * 0.98 / cell);

	strbuf_printf(&svg->out, "<text x=\"1%%\" y=\"%zu\"%s>", y, attributes);
	text_put_xml_fit(&svg->out, strbuf_text(text), text->length, cells);
	strbuf_puts(&svg->out, "</text>\n");
}

static void put_legend(struct svg *svg)
{
	size_t x = 0;

	strbuf_puts(&svg->out, "<svg id=\"legend\" x=\"1%\" y=\"80\" height=\"16\">\n");
	for (size_t i = 0; i < FRAME_KIND_COUNT; i++) {
		if (!svg->kinds[i])
			continue;
		strbuf_printf(&svg->out,
			      "<rect class=\"%c%d\" x=\"%zu\" y=\"2\" width=\"11\" height=\"11\" "
			      "rx=\"2\"/><text class=\"soft\" x=\"%zu\" y=\"12\">%s</text>\n",
			      looks[i].letter, looks[i].shades / 2, x, x + 16, looks[i].legend);
		x += 36 + strlen(looks[i].legend) * 13 / 2;
	}
	strbuf_puts(&svg->out, "</svg>\n");
}

static void put_head(struct svg *svg)
{
	const struct format_job *job = svg->job;
	_cleanup_(strbuf_deinit) struct strbuf text = {0};

	strbuf_printf(&svg->out,
		      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%zu\" "
		      "viewBox=\"0 0 %u %zu\">\n<title>",
		      job->width, height(svg), job->width, height(svg));
	text_put_xml(&svg->out, job->title, strlen(job->title));
	strbuf_puts(&svg->out, "</title>\n<style>\n");
	strbuf_append(&svg->out, svg_style, sizeof(svg_style) - 1);
	strbuf_puts(&svg->out, "</style>\n"
			       "<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n");
	strbuf_puts(&text, job->title);
	put_text(svg, " id=\"title\"", 30, 9.5, &text);
	strbuf_clear(&text);
	summary_put_origin(&text, job);
	put_text(svg, " id=\"origin\" class=\"soft\"", 50, TEXT_CELL, &text);
	strbuf_clear(&text);
	summary_put_amount(&text, job);
	put_text(svg, " id=\"amount\" class=\"soft\"", 68, TEXT_CELL, &text);
	put_legend(svg);
}

/* Name, then module and kind if there is one, then figures: a line each. */
static void put_facts(struct svg *svg, const struct tree_node *node, const char *name,
		      size_t length)
{
	const struct format_job *job = svg->job;
	struct strbuf *out = &svg->out, *figures = &svg->scratch;

	text_put_xml(out, name, length);
	if (node->label != PROFILE_NONE) {
		const struct label *label = &svg->tree.labels.items.items[node->label];
		const char *module = profile_text(job->profile, label->module);
		const char *note = looks[label->kind].note;

		if (*module || *note)
			strbuf_putc(out, '\n');
		text_put_xml(out, module, strtab_length(&job->profile->strings, label->module));
		if (*note && strcmp(module, note))
			strbuf_printf(out, *module ? " (%s)" : "%s", note);
	}
	strbuf_clear(figures);
	strbuf_puts(figures, "total ");
	text_put_value(figures, node->total, job->value_unit);
	strbuf_puts(figures, " (");
	text_put_percent(figures, node->total, job->total);
	strbuf_puts(figures, ") · self ");
	text_put_value(figures, node->self, job->value_unit);
	strbuf_puts(figures, " (");
	text_put_percent(figures, node->self, job->total);
	strbuf_putc(figures, ')');
	strbuf_putc(out, '\n');
	text_put_xml(out, strbuf_text(figures), figures->length);
}

static void put_class(struct svg *svg, const struct tree_node *node, const char *name,
		      size_t length, double pixels)
{
	char letter = 'r';
	unsigned shade = 0;

	if (node->label != PROFILE_NONE) {
		const struct look *look = &looks[svg->tree.labels.items.items[node->label].kind];

		letter = look->letter;
		shade = (unsigned)(XXH3_64bits(name, length) % look->shades);
	}
	strbuf_printf(&svg->out, "<g class=\"%c%u%s\">", letter, shade, pixels < 3 ? " n" : "");
}

static void put_box(struct svg *svg, const struct tree_node *node)
{
	double all = (double)svg->tree.nodes.items[0].total;
	double x = 100 * (double)node->begin / all, wide = 100 * (double)node->total / all;
	double pixels = wide / 100 * 0.98 * svg->job->width;
	size_t y = (size_t)(svg->tree.depth - node->depth) * ROW;
	size_t length = 3, cells = pixels > 7 ? (size_t)((pixels - 7) / CELL) : 0;
	const char *name = "all";

	if (node->label != PROFILE_NONE)
		name = label_text(&svg->tree.labels, node->label, &length);
	put_class(svg, node, name, length, pixels);
	strbuf_puts(&svg->out, "<title>");
	put_facts(svg, node, name, length);
	strbuf_printf(&svg->out,
		      "</title><rect x=\"%.4f%%\" y=\"%zu\" width=\"%.4f%%\" height=\"%d\" "
		      "rx=\"1.5\"/>",
		      x, y, wide, ROW - 1);
	strbuf_clear(&svg->scratch);
	text_put_xml_fit(&svg->scratch, name, length, cells);
	if (svg->scratch.length) {
		strbuf_printf(&svg->out, "<text x=\"%.4f%%\" dx=\"4\" y=\"%zu\">", x, y + 12);
		strbuf_append(&svg->out, svg->scratch.data, svg->scratch.length);
		strbuf_puts(&svg->out, "</text>");
	}
	strbuf_puts(&svg->out, "</g>\n");
}

static void flush(struct svg *svg, FILE *out)
{
	if (!svg->out.failed)
		fwrite(svg->out.data, 1, svg->out.length, out);
	strbuf_clear(&svg->out);
}

static void put_boxes(struct svg *svg, FILE *out)
{
	strbuf_printf(&svg->out,
		      "<svg id=\"frames\" x=\"1%%\" y=\"%d\" width=\"98%%\" height=\"%zu\">\n",
		      HEAD, boxes_height(svg));
	for (uint32_t i = 0; i < svg->tree.nodes.count; i++) {
		put_box(svg, &svg->tree.nodes.items[i]);
		if (svg->out.length > 65536)
			flush(svg, out);
	}
	strbuf_puts(&svg->out, "</svg>\n");
}

static void put_foot(struct svg *svg)
{
	const struct profile *profile = svg->job->profile;
	size_t y = HEAD + boxes_height(svg) + 14 + FOOT_LINE / 2;
	_cleanup_(strbuf_deinit) struct strbuf text = {0};

	strbuf_puts(&svg->out, "<g id=\"foot\">\n");
	for (size_t i = 0; i < profile->counts.count; i++, y += FOOT_LINE) {
		strbuf_clear(&text);
		summary_put_count(&text, profile, &profile->counts.items[i]);
		put_text(svg, " class=\"soft\"", y, TEXT_CELL, &text);
	}
	if (svg->tree.thin) {
		strbuf_clear(&text);
		strbuf_puts(&text, "not drawn: ");
		text_put_count(&text, svg->tree.thin);
		strbuf_puts(&text, svg->tree.thin == 1 ? " box" : " boxes");
		strbuf_puts(&text, " too thin to see, together ");
		text_put_value(&text, svg->tree.thin_value, svg->job->value_unit);
		strbuf_puts(&text, " (");
		text_put_percent(&text, svg->tree.thin_value, svg->job->total);
		strbuf_putc(&text, ')');
		put_text(svg, " class=\"soft\"", y, TEXT_CELL, &text);
	}
	strbuf_puts(&svg->out, "</g>\n<script><![CDATA[\n");
	strbuf_append(&svg->out, svg_script, sizeof(svg_script) - 1);
	strbuf_puts(&svg->out, "]]></script>\n</svg>\n");
}

int format_svg_write(const struct format_job *job, FILE *out)
{
	struct tree_options options = {
		.value_type = job->value_type,
		.without_comm = job->without_comm,
		.least = (uint64_t)ceil(LEAST_SHARE * (double)job->total),
	};
	struct svg svg = {.job = job};
	int r = tree_init(&svg.tree, job->profile, &options);

	if (r)
		return r;
	survey(&svg);
	put_head(&svg);
	put_boxes(&svg, out);
	put_foot(&svg);
	flush(&svg, out);
	r = strbuf_error(&svg.out);
	strbuf_deinit(&svg.out);
	strbuf_deinit(&svg.scratch);
	tree_deinit(&svg.tree);
	return r;
}
