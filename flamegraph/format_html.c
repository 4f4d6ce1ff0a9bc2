/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "html": a report in one file that opens from anywhere and asks the network for
 * nothing, which its own policy forbids: flame graph on a canvas, table of functions
 * with callers and callees, time line and heat map to select from, one search for all,
 * downloads. It carries the picture's text (picture.h) and its times
 * (picture_time.h); everything else is made of these by the scripts.
 *
 * Nothing is left out for being thin, unless there are more than PICTURE_BOXES_MAX boxes. All
 * text goes through text_put_xml(): names are foreign bytes.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/picture.h"
#include "flamegraph/picture_time.h"
#include "flamegraph/summary.h"
#include "flamegraph/text.h"

#include "html_script.embed.h"
#include "html_style.embed.h"

static void put_element(struct strbuf *out, const char *open, const struct strbuf *text,
			const char *close)
{
	strbuf_puts(out, open);
	text_put_xml(out, strbuf_text(text), text->length);
	strbuf_puts(out, close);
	out->failed |= text->failed;
}

static void put_head(struct strbuf *out, const struct format_job *job)
{
	strbuf_puts(
		out,
		"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:\">\n"
		"<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
	text_put_xml(out, job->title, strlen(job->title));
	strbuf_puts(out, "</title>\n<style>\n");
	strbuf_append(out, html_style, sizeof(html_style) - 1);
	palette_put_css(out, NULL);
	strbuf_puts(out, "</style>\n</head>\n");
}

static void put_legend(struct strbuf *out, const struct picture *picture)
{
	struct picture_legend legend[PALETTE_GROUPS_MAX];
	size_t count = picture_legend(picture, legend);

	strbuf_puts(out, "<p id=\"legend\">\n");
	for (size_t i = 0; i < count; i++) {
		strbuf_printf(
			out,
			"<span><svg width=\"11\" height=\"11\"><rect class=\"c%u\" width=\"11\" "
			"height=\"11\" rx=\"2\"/></svg> ",
			legend[i].colour);
		text_put_xml_fit(out, legend[i].text, strlen(legend[i].text), 40);
		strbuf_puts(out, "</span>\n");
	}
	strbuf_puts(out, "</p>\n");
}

static void put_body(struct strbuf *out, const struct picture *picture)
{
	const struct format_job *job = picture->job;
	_cleanup_(strbuf_deinit) struct strbuf text = {0};

	strbuf_puts(&text, job->title);
	put_element(out, "<body>\n<header>\n<h1>", &text, "</h1>\n");
	strbuf_clear(&text);
	summary_put_origin(&text, job);
	put_element(out, "<p id=\"origin\">", &text, "</p>\n");
	strbuf_clear(&text);
	summary_put_amount(&text, job);
	put_element(out, "<p id=\"amount\">", &text, "</p>\n");
	put_legend(out, picture);
	strbuf_puts(out, "<noscript>This report is drawn by its own script, which does not run "
			 "here.</noscript>\n</header>\n<main></main>\n");
}

static void put_foot(struct strbuf *out, const struct picture *picture)
{
	const struct profile *profile = picture->job->profile;
	_cleanup_(strbuf_deinit) struct strbuf text = {0};

	strbuf_puts(out, "<footer id=\"foot\">\n");
	for (size_t i = 0; i < profile->counts.count; i++) {
		strbuf_clear(&text);
		summary_put_count(&text, profile, &profile->counts.items[i]);
		put_element(out, "<p>", &text, "</p>\n");
	}
	strbuf_clear(&text);
	picture_put_thin(&text, picture);
	if (text.length)
		put_element(out, "<p>", &text, "</p>\n");
	strbuf_puts(out, "</footer>\n");
}

static int put_report(struct strbuf *out, const struct picture *picture,
		      const struct hashmap *leaves)
{
	int r;

	put_head(out, picture->job);
	put_body(out, picture);
	put_foot(out, picture);
	strbuf_puts(out, "<pre id=\"flame\" hidden>\n");
	picture_put_text(out, picture);
	strbuf_puts(out, "</pre>\n<pre id=\"times\" hidden>\n");
	r = picture_put_times(out, picture, leaves);
	strbuf_puts(out, "</pre>\n<script>\n");
	strbuf_append(out, html_script, sizeof(html_script) - 1);
	strbuf_puts(out, "</script>\n</body>\n</html>\n");
	return r ? r : strbuf_error(out);
}

int format_html_write(const struct format_job *job, FILE *out)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};
	struct hashmap leaves = {0};
	struct picture picture;
	int r = picture_init(&picture, job, 0, PICTURE_BOXES_MAX, &leaves);

	if (!r) {
		r = put_report(&text, &picture, &leaves);
		picture_deinit(&picture);
	}
	if (!r)
		fwrite(text.data, 1, text.length, out);
	hashmap_deinit(&leaves);
	return r;
}
