/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A difference as a flame graph. Boxes are as wide as the sum of both profiles, so that
 * what has vanished is there as well as what is new; or as wide as one of them, and the
 * foot says what that leaves out.
 *
 * The colour is the change of the box in percent of the larger amount: orange is more,
 * blue is less, in steps that differ in lightness too, so that colour-blind readers and
 * printers can tell them apart. New boxes have a solid frame, gone ones a dashed one.
 * Grey is no change, or one of less than a unit.
 *
 * A click shows a box alone with what is below it; one on the lowest box goes back.
 */
#include <math.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/diff.h"
#include "flamegraph/text.h"
#include "flamegraph/tree.h"

#define ROW 17
#define HEAD 96
#define FOOT 30
#define CELL 6.65
#define WIDTH_DEFAULT 1200
#define LEAST_SHARE (0.1 / WIDTH_DEFAULT)
#define STEPS 4 /* of colour, each way */

static const char style[] =
	":root{color-scheme:light dark;--page:#fff;--ink:#111;--soft:#555;--line:#fff}\n"
	"text{font:11px ui-monospace,monospace;fill:var(--ink);pointer-events:none}\n"
	".h{font-weight:bold;font-size:14px}.s{fill:var(--soft)}.p{fill:var(--page)}\n"
	"g.b{cursor:pointer}g.b:hover rect{stroke:var(--ink);stroke-width:1}\n"
	".u text{fill:#111}.z{fill:#d5d5d5}\n"
	".m1{fill:#fde3c4}.m2{fill:#fbbf7c}.m3{fill:#f08c2e}.m4{fill:#cf5f00}\n"
	".l1{fill:#d3e5f5}.l2{fill:#9cc7ea}.l3{fill:#5a9fd8}.l4{fill:#2b75b8}\n"
	".n rect{stroke:#111;stroke-width:1.2}.g rect{stroke:#111;stroke-dasharray:3 2}\n"
	"@media (prefers-color-scheme:dark){:root{--page:#181818;--ink:#eee;--soft:#aaa}}\n";

/* Boxes keep their place in data-x and data-w, shares of the whole. */
static const char script[] =
	"(function(){'use strict';\n"
	"var boxes=[].slice.call(document.querySelectorAll('g.b'));\n"
	"function cut(t,px){var n=Math.floor((px-7)/6.65);\n"
	" return n>=t.length?t:n<5?'':t.slice(0,n-2)+'..';}\n"
	"function show(b){var x=+b.dataset.x,w=+b.dataset.w,d=+b.dataset.d;\n"
	" var all=document.documentElement.viewBox.baseVal.width*.98;\n"
	" boxes.forEach(function(o){var ox=+o.dataset.x,ow=+o.dataset.w,od=+o.dataset.d;\n"
	"  var up=od<=d&&ox<=x+1e-9&&ox+ow>=x+w-1e-9,down=od>d&&ox>=x-1e-9&&ox+ow<=x+w+1e-9;\n"
	"  o.style.display=up||down?'':'none';if(!up&&!down)return;\n"
	"  var nx=up?0:(ox-x)/w,nw=up?1:ow/w,r=o.querySelector('rect'),t=o.querySelector('text');\n"
	"  r.setAttribute('x',nx*100+'%');r.setAttribute('width',nw*100+'%');\n"
	"  t.setAttribute('x',nx*100+'%');t.textContent=cut(o.dataset.t,nw*all);});}\n"
	"boxes.forEach(function(b){b.addEventListener('click',function(){show(b);});\n"
	" b.addEventListener('keydown',function(e){if(e.key==='Enter')show(b);});});\n"
	"document.addEventListener('keydown',function(e){if(e.key==='Escape')show(boxes[0]);});\n"
	"})();\n";

/* What a node of the tree is in both profiles. */
struct box {
	double before, after; /* on the common scale */
	double begin, width; /* in units of the chosen width */
};

struct drawing {
	const struct diff *diff;
	enum diff_width width;
	struct tree tree;
	struct box *boxes; /* by node */
	uint32_t depth; /* of the deepest box drawn */
	size_t thin, gone;
	double gone_value;
	uint32_t px;
	struct strbuf out;
};

static double width_of(const struct drawing *drawing, const struct box *box)
{
	switch (drawing->width) {
	case DIFF_WIDTH_AFTER:
		return box->after;
	case DIFF_WIDTH_BEFORE:
		return box->before;
	default:
		return box->before + box->after;
	}
}

/* Each sample's amounts to its node, then from the leaves up to the root. */
static int fill_boxes(struct drawing *drawing, const struct hashmap *leaves)
{
	const struct profile *joined = drawing->diff->joined;
	struct tree *tree = &drawing->tree;

	drawing->boxes = calloc(tree->nodes.count, sizeof(*drawing->boxes));
	if (!drawing->boxes)
		return -ENOMEM;
	for (size_t i = 0; i < joined->samples.count; i++) {
		const struct profile_sample *sample = &joined->samples.items[i];
		const uint64_t *values = joined->values.items + i * joined->value_type_count;
		uint64_t *node = hashmap_get(leaves, (uint64_t)sample->comm << 32 | sample->stack);

		if (!node)
			continue;
		drawing->boxes[*node].before += (double)values[DIFF_BEFORE] * drawing->diff->factor;
		drawing->boxes[*node].after += (double)values[DIFF_AFTER];
	}
	for (size_t i = tree->nodes.count; i-- > 1;) {
		struct box *parent = &drawing->boxes[tree->nodes.items[i].parent];

		parent->before += drawing->boxes[i].before;
		parent->after += drawing->boxes[i].after;
	}
	return 0;
}

static bool is_drawn(const struct drawing *drawing, const struct box *box)
{
	return box->width > 0 && box->width >= LEAST_SHARE * drawing->boxes[0].width;
}

/* Children begin where their parent does, one behind the other. */
static void place_boxes(struct drawing *drawing)
{
	struct tree_node *nodes = drawing->tree.nodes.items;

	for (uint32_t i = 0; i < drawing->tree.nodes.count; i++) {
		struct box *box = &drawing->boxes[i];
		double at = box->begin;

		box->width = width_of(drawing, box);
		if (is_drawn(drawing, box)) {
			if (nodes[i].depth > drawing->depth)
				drawing->depth = nodes[i].depth;
		} else if (box->width > 0) {
			drawing->thin++;
		} else if (i && width_of(drawing, &drawing->boxes[nodes[i].parent]) > 0) {
			drawing->gone++;
			drawing->gone_value += box->before + box->after;
		}
		for (uint32_t child = i + 1; child < nodes[i].end; child = nodes[child].end) {
			drawing->boxes[child].begin = at;
			at += width_of(drawing, &drawing->boxes[child]);
		}
	}
}

static void put_signed(struct strbuf *out, const struct diff *diff, double delta)
{
	strbuf_putc(out, delta < 0 ? '-' : '+');
	text_put_value(out, (uint64_t)(fabs(delta) + 0.5), diff->unit);
}

static void put_facts(struct drawing *drawing, const struct tree_node *node, const struct box *box,
		      const char *name, size_t n)
{
	const struct diff *diff = drawing->diff;
	_cleanup_(strbuf_deinit) struct strbuf facts = {0};
	double delta = box->after - box->before;

	text_put_xml(&drawing->out, name, n);
	if (node->label != PROFILE_NONE) {
		uint32_t module = drawing->tree.labels.items.items[node->label].module;

		if (module)
			strbuf_putc(&drawing->out, '\n');
		text_put_xml(&drawing->out, profile_text(diff->joined, module),
			     strtab_length(&diff->joined->strings, module));
	}
	strbuf_puts(&facts, "\nbefore ");
	text_put_value(&facts, (uint64_t)(box->before + 0.5), diff->unit);
	strbuf_puts(&facts, " · after ");
	text_put_value(&facts, (uint64_t)(box->after + 0.5), diff->unit);
	strbuf_puts(&facts, " · ");
	put_signed(&facts, diff, delta);
	if (!(box->before > 0))
		strbuf_puts(&facts, " (new)");
	else if (!(box->after > 0))
		strbuf_puts(&facts, " (gone)");
	else
		strbuf_printf(&facts, " (%+.1f %%)", 100 * delta / box->before);
	text_put_xml(&drawing->out, strbuf_text(&facts), facts.length);
}

/* "m3": more, the third step. */
static void put_class(struct strbuf *out, const struct box *box)
{
	double larger = box->before > box->after ? box->before : box->after;
	double delta = box->after - box->before, share = larger > 0 ? fabs(delta) / larger : 0;
	int step = (int)ceil(share * STEPS);

	if (fabs(delta) < 1 || step < 1)
		strbuf_putc(out, 'z');
	else
		strbuf_printf(out, "%c%d", delta > 0 ? 'm' : 'l', step > STEPS ? STEPS : step);
}

static void put_box(struct drawing *drawing, uint32_t i)
{
	const struct tree_node *node = &drawing->tree.nodes.items[i];
	const struct box *box = &drawing->boxes[i];
	double all = drawing->boxes[0].width, x = box->begin / all, w = box->width / all;
	double pixels = w * 0.98 * drawing->px;
	size_t n = 3, y = (size_t)(drawing->depth - node->depth) * ROW;
	const char *name = "all";
	struct strbuf *out = &drawing->out;

	if (node->label != PROFILE_NONE)
		name = label_text(&drawing->tree.labels, node->label, &n);
	strbuf_printf(out,
		      "<g class=\"b u%s\" tabindex=\"0\" role=\"img\" data-d=\"%u\" "
		      "data-x=\"%.9g\" data-w=\"%.9g\" data-t=\"",
		      !(box->before > 0)  ? " n"
		      : !(box->after > 0) ? " g"
					  : "",
		      node->depth, x, w);
	text_put_xml(out, name, n);
	strbuf_puts(out, "\"><title>");
	put_facts(drawing, node, box, name, n);
	strbuf_puts(out, "</title><rect class=\"");
	put_class(out, box);
	strbuf_printf(out,
		      "\" x=\"%.4f%%\" y=\"%zu\" width=\"%.4f%%\" height=\"%d\" rx=\"1.5\"/>"
		      "<text x=\"%.4f%%\" dx=\"4\" y=\"%zu\">",
		      100 * x, y, 100 * w, ROW - 1, 100 * x, y + 12);
	text_put_xml_fit(out, name, n, pixels > 7 ? (size_t)((pixels - 7) / CELL) : 0);
	strbuf_puts(out, "</text></g>\n");
}

static void put_line(struct drawing *drawing, size_t y, const char *class,
		     const struct strbuf *text)
{
	strbuf_printf(&drawing->out, "<text class=\"%s\" x=\"1%%\" y=\"%zu\">", class, y);
	text_put_xml_fit(&drawing->out, strbuf_text(text), text->length,
			 (size_t)(drawing->px * 0.98 / CELL));
	strbuf_puts(&drawing->out, "</text>\n");
}

static void put_legend(struct drawing *drawing)
{
	static const struct {
		const char *class, *text;
	} keys[] = {{"l4", "less"}, {"l2", ""}, {"z", "alike"}, {"m2", ""}, {"m4", "more"}};
	size_t x = 0;

	strbuf_puts(&drawing->out, "<svg x=\"1%\" y=\"68\" height=\"18\">\n");
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		strbuf_printf(&drawing->out,
			      "<rect class=\"%s\" x=\"%zu\" y=\"2\" width=\"14\" height=\"12\"/>"
			      "<text class=\"s\" x=\"%zu\" y=\"12\">%s</text>\n",
			      keys[i].class, x, x + 18, keys[i].text);
		x += 22 + strlen(keys[i].text) * 8;
	}
	strbuf_printf(&drawing->out,
		      "<g class=\"n\"><rect class=\"m4\" x=\"%zu\" y=\"2\" width=\"14\" "
		      "height=\"12\"/></g><text class=\"s\" x=\"%zu\" y=\"12\">new</text>"
		      "<g class=\"g\"><rect class=\"l4\" x=\"%zu\" y=\"2\" width=\"14\" "
		      "height=\"12\"/></g><text class=\"s\" x=\"%zu\" y=\"12\">gone</text></svg>\n",
		      x, x + 18, x + 56, x + 74);
}

static void put_side(struct strbuf *text, const struct diff *diff, const char *which,
		     const char *title, uint64_t value)
{
	strbuf_printf(text, "%s ", which);
	text_put(text, title, strlen(title));
	strbuf_puts(text, *title ? " " : "");
	text_put_value(text, value, diff->unit);
}

static void put_head(struct drawing *drawing, size_t height)
{
	const struct diff *diff = drawing->diff;
	_cleanup_(strbuf_deinit) struct strbuf text = {0};

	strbuf_printf(&drawing->out,
		      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%zu\" "
		      "viewBox=\"0 0 %u %zu\">\n<title>difference</title>\n<style>\n%s</style>\n"
		      "<rect class=\"p\" width=\"100%%\" height=\"100%%\"/>\n",
		      drawing->px, height, drawing->px, height, style);
	strbuf_puts(&text, "What changed");
	put_line(drawing, 20, "h", &text);
	strbuf_clear(&text);
	put_side(&text, diff, "before:", diff->before_title, diff->all.before);
	put_side(&text, diff, " · after:", diff->after_title, diff->all.after);
	put_line(drawing, 40, "s", &text);
	strbuf_clear(&text);
	strbuf_printf(&text, "compared by %s, the before taken %.4g times; boxes as wide as %s",
		      diff->scale == DIFF_SECOND  ? "second"
		      : diff->scale == DIFF_SHARE ? "share"
						  : "value",
		      diff->factor,
		      drawing->width == DIFF_WIDTH_SUM     ? "both together"
		      : drawing->width == DIFF_WIDTH_AFTER ? "the after"
							   : "the before");
	put_line(drawing, 56, "s", &text);
	put_legend(drawing);
}

static void put_foot(struct drawing *drawing, size_t y)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};

	if (drawing->thin) {
		text_put_count(&text, drawing->thin);
		strbuf_puts(&text, " boxes too thin to see");
	}
	if (drawing->gone) {
		strbuf_puts(&text, text.length ? " · " : "");
		text_put_count(&text, drawing->gone);
		strbuf_puts(&text, " boxes without a width in this view, together ");
		text_put_value(&text, (uint64_t)(drawing->gone_value + 0.5), drawing->diff->unit);
	}
	if (text.length)
		put_line(drawing, y, "s", &text);
}

static void draw(struct drawing *drawing, FILE *out)
{
	size_t boxes = ((size_t)drawing->depth + 1) * ROW, height = HEAD + boxes + FOOT;

	put_head(drawing, height);
	strbuf_printf(&drawing->out, "<svg x=\"1%%\" y=\"%d\" width=\"98%%\" height=\"%zu\">\n",
		      HEAD, boxes);
	for (uint32_t i = 0; i < drawing->tree.nodes.count; i++) {
		if (is_drawn(drawing, &drawing->boxes[i]))
			put_box(drawing, i);
		if (drawing->out.length > 65536) {
			fwrite(drawing->out.data, 1, drawing->out.length, out);
			strbuf_clear(&drawing->out);
		}
	}
	strbuf_puts(&drawing->out, "</svg>\n");
	put_foot(drawing, HEAD + boxes + FOOT / 2);
	strbuf_printf(&drawing->out, "<script><![CDATA[\n%s]]></script>\n</svg>\n", script);
	fwrite(strbuf_text(&drawing->out), 1, drawing->out.length, out);
}

int diff_svg_write(const struct diff *diff, const struct diff_options *options, FILE *out)
{
	struct hashmap leaves = {0};
	struct tree_options tree_options = {.value_type = DIFF_SUM, .leaves = &leaves};
	struct drawing drawing = {
		.diff = diff,
		.width = options->width,
		.px = options->width_px ? options->width_px : WIDTH_DEFAULT,
	};
	int r = tree_init(&drawing.tree, diff->joined, &tree_options);

	if (!r) {
		r = fill_boxes(&drawing, &leaves);
		if (!r) {
			place_boxes(&drawing);
			draw(&drawing, out);
			r = strbuf_error(&drawing.out);
		}
		tree_deinit(&drawing.tree);
	}
	hashmap_deinit(&leaves);
	free(drawing.boxes);
	strbuf_deinit(&drawing.out);
	return r;
}
