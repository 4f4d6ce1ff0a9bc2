/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "csv": the table of functions for a spreadsheet (RFC 4180, but lines end as they do
 * here): function, module, kind, self and total in the value's unit, and both in
 * percent. Text that a spreadsheet would take for a formula gets a ' before it.
 */
#include "flamegraph/format.h"

#include <string.h>

#include "daemon/base/strbuf.h"
#include "flamegraph/report.h"
#include "flamegraph/text.h"

static void put_field(struct strbuf *out, struct strbuf *scratch, const char *bytes, size_t n)
{
	strbuf_clear(scratch);
	text_put(scratch, bytes, n);
	strbuf_putc(out, '"');
	if (scratch->length && strchr("=+-@", scratch->data[0]))
		strbuf_putc(out, '\'');
	for (size_t i = 0; i < scratch->length; i++) {
		if (scratch->data[i] == '"')
			strbuf_putc(out, '"');
		strbuf_putc(out, scratch->data[i]);
	}
	strbuf_puts(out, "\",");
}

int format_csv_write(const struct format_job *job, FILE *out)
{
	const struct profile *profile = job->profile;
	struct strbuf text = {0}, scratch = {0};
	struct report report;
	int r = report_compute(profile, job->value_type, job->top, &report);

	if (r)
		return r;
	strbuf_puts(&text, "function,module,kind,self,total,self_percent,total_percent\n");
	for (size_t i = 0; i < report.rows.count; i++) {
		const struct report_row *row = &report.rows.items[i];
		const struct label *label = &report.labels.items.items[row->label];
		size_t n;
		const char *name = label_text(&report.labels, row->label, &n);

		put_field(&text, &scratch, name, n);
		put_field(&text, &scratch, profile_text(profile, label->module),
			  strtab_length(&profile->strings, label->module));
		strbuf_puts(&text, report_kind_name(label->kind));
		strbuf_putc(&text, ',');
		strbuf_put_u64(&text, row->self);
		strbuf_putc(&text, ',');
		strbuf_put_u64(&text, row->total);
		strbuf_printf(&text, ",%.6f,%.6f\n", 100.0 * (double)row->self / (double)job->total,
			      100.0 * (double)row->total / (double)job->total);
	}
	fwrite(strbuf_text(&text), 1, text.length, out);
	r = strbuf_error(&text) | strbuf_error(&scratch);
	strbuf_deinit(&text);
	strbuf_deinit(&scratch);
	report_deinit(&report);
	return r;
}
