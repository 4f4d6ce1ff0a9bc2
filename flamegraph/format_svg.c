/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "svg": an interactive flame graph in one file (svg.h). Below the title are origin
 * and amount (summary.h); the foot has everything that was counted, and how many boxes
 * were too thin to be drawn.
 */
#include "flamegraph/format.h"

#include "daemon/base/cleanup.h"
#include "flamegraph/summary.h"
#include "flamegraph/svg.h"

static void put_foot(struct strbuf *foot, const struct picture *picture)
{
	const struct profile *profile = picture->job->profile;

	for (size_t i = 0; i < profile->counts.count; i++) {
		summary_put_count(foot, profile, &profile->counts.items[i]);
		strbuf_putc(foot, '\n');
	}
	picture_put_thin(foot, picture);
	strbuf_puts(foot, picture->thin ? "\n" : "");
}

static int write_page(const struct picture *picture, FILE *out)
{
	_cleanup_(strbuf_deinit) struct strbuf origin = {0};
	_cleanup_(strbuf_deinit) struct strbuf amount = {0};
	_cleanup_(strbuf_deinit) struct strbuf foot = {0};
	struct picture_legend legend[PALETTE_GROUPS_MAX];
	struct svg_page page = {.picture = picture, .legend = legend, .style = ""};

	page.legend_count = picture_legend(picture, legend);
	summary_put_origin(&origin, picture->job);
	summary_put_amount(&amount, picture->job);
	put_foot(&foot, picture);
	if (origin.failed || amount.failed || foot.failed)
		return -ENOMEM;
	page.origin = strbuf_text(&origin);
	page.amount = strbuf_text(&amount);
	page.foot = strbuf_text(&foot);
	return svg_write(&page, out);
}

int format_svg_write(const struct format_job *job, FILE *out)
{
	struct picture picture;
	int r = picture_init(&picture, job, SVG_LEAST_PX / job->width, SVG_BOXES_MAX, NULL);

	if (r)
		return r;
	r = write_page(&picture, out);
	picture_deinit(&picture);
	return r;
}
