/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "report": the table of functions as text. Functions and modules stand last in a
 * line, because their width cannot be known; nothing of them is cut.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/report.h"
#include "flamegraph/summary.h"
#include "flamegraph/text.h"

/* Right-aligned by characters: µ is two bytes. */
static void put_cell(struct strbuf *out, const struct strbuf *text, size_t width)
{
	size_t cells = 0, n;

	for (size_t i = 0; i < text->length; i += n)
		cells += text_cells(text_next(text->data + i, text->length - i, &n));
	for (; cells < width; cells++)
		strbuf_putc(out, ' ');
	strbuf_append(out, text->data, text->length);
}

/* "33.33 %   1.23 s"; two decimals throughout, so that a column can be read. */
static void put_amount(struct strbuf *out, const struct format_job *job, uint64_t value)
{
	_cleanup_(strbuf_deinit) struct strbuf cell = {0};
	double percent = 100.0 * (double)value / (double)job->total;

	if (!value) {
		strbuf_puts(out, "       -          -  ");
		return;
	}
	if (percent < 0.01)
		strbuf_puts(out, "< 0.01 %");
	else
		strbuf_printf(out, "%6.2f %%", percent);
	text_put_value(&cell, value, job->value_unit);
	put_cell(out, &cell, 11);
	strbuf_puts(out, "  ");
}

/* "30.21..34.80 %": whose middle is the share, nearly. */
static void put_interval(struct strbuf *out, const struct report *report,
			 struct confidence interval, uint64_t value)
{
	if (!value || report->squares <= 0)
		strbuf_puts(out, "                ");
	else
		strbuf_printf(out, "%6.2f..%-6.2f  ", 100 * interval.low, 100 * interval.high);
}

static const char *kind_mark(uint32_t kind)
{
	static const char *const marks[FRAME_KIND_COUNT] = {
		[FRAME_KERNEL] = "kernel",
		[FRAME_INLINE] = "inlined",
		[FRAME_JIT] = "jit",
		[FRAME_INTERPRETED] = "interpreted",
		[FRAME_SPECIAL] = "a reason, not a function",
	};

	return kind < FRAME_KIND_COUNT ? marks[kind] : NULL;
}

static void put_row(struct strbuf *out, const struct format_job *job, const struct report *report,
		    const struct report_row *row)
{
	const struct label *label = &report->labels.items.items[row->label];
	const char *module = profile_text(job->profile, label->module);
	const char *mark = kind_mark(label->kind);
	size_t length;
	const char *text = label_text(&report->labels, row->label, &length);

	put_amount(out, job, row->self);
	if (job->confidence)
		put_interval(out, report, report_self_share(report, row), row->self);
	put_amount(out, job, row->total);
	if (job->confidence)
		put_interval(out, report, report_total_share(report, row), row->total);
	text_put(out, text, length);
	if (*module) {
		strbuf_puts(out, "  ");
		text_put(out, module, strtab_length(&job->profile->strings, label->module));
	}
	if (mark && strcmp(mark, module))
		strbuf_printf(out, "  (%s)", mark);
	strbuf_putc(out, '\n');
}

static void put_figure(struct strbuf *out, const struct format_job *job, const char *name,
		       uint64_t value)
{
	strbuf_puts(out, name);
	text_put_value(out, value, job->value_unit);
}

/* What the value was in each window of time, where the profile has time. */
static void put_windows(struct strbuf *out, const struct format_job *job)
{
	struct report_windows windows;

	if (report_windows(job->profile, job->value_type, job->window_ns, &windows) ||
	    windows.count < 2)
		return;
	strbuf_puts(out, "\nin ");
	text_put_count(out, windows.count);
	strbuf_puts(out, " windows of ");
	text_put_value(out, windows.width_ns, "nanoseconds");
	put_figure(out, job, ": min ", windows.min);
	put_figure(out, job, " · mean ", windows.mean);
	put_figure(out, job, " · p50 ", windows.p50);
	put_figure(out, job, " · p90 ", windows.p90);
	put_figure(out, job, " · p99 ", windows.p99);
	put_figure(out, job, " · max ", windows.max);
	strbuf_putc(out, '\n');
}

int format_report_write(const struct format_job *job, FILE *out)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};
	struct report report;
	int r = report_compute(job->profile, job->value_type, job->top, &report);

	if (r)
		return r;
	summary_put_head(&text, job);
	if (!job->confidence)
		strbuf_puts(&text, "    self                 total             function  module\n");
	else if (report.squares > 0)
		strbuf_puts(&text, "    self                 95 % between    total                 "
				   "95 % between    function  module\n");
	else
		strbuf_puts(&text,
			    "no intervals: the profile does not say how many samples there "
			    "were\n    self                                 total            "
			    "                 function  module\n");
	for (size_t i = 0; i < report.rows.count; i++)
		put_row(&text, job, &report, &report.rows.items[i]);
	if (report.rows_all > report.rows.count) {
		strbuf_puts(&text, "... and ");
		text_put_count(&text, report.rows_all - report.rows.count);
		strbuf_puts(&text, " more functions\n");
	}
	put_windows(&text, job);
	summary_put_counts(&text, job->profile);
	report_deinit(&report);
	fwrite(text.data, 1, text.length, out);
	return strbuf_error(&text);
}
