/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/summary.h"

#include <string.h>

#include "flamegraph/report.h"
#include "flamegraph/text.h"

static void put_dot(struct strbuf *out, size_t began)
{
	if (out->length > began)
		strbuf_puts(out, " · ");
}

static void put_string(struct strbuf *out, const struct profile *profile, uint32_t string)
{
	text_put(out, profile_text(profile, string), strtab_length(&profile->strings, string));
}

void summary_put_origin(struct strbuf *out, const struct format_job *job)
{
	const struct profile *profile = job->profile;
	size_t began = out->length;

	if (profile->host)
		put_string(out, profile, profile->host);
	if (profile->start_ns) {
		put_dot(out, began);
		text_put_time(out, profile->start_ns);
	}
	if (profile->duration_ns) {
		put_dot(out, began);
		text_put_value(out, profile->duration_ns, "nanoseconds");
	}
	if (profile->event || profile->frequency_hz) {
		put_dot(out, began);
		put_string(out, profile, profile->event);
		if (profile->frequency_hz)
			strbuf_printf(out, "%s%u Hz", profile->event ? " at " : "",
				      profile->frequency_hz);
	}
}

void summary_put_amount(struct strbuf *out, const struct format_job *job)
{
	const struct profile *profile = job->profile;
	uint64_t samples = report_samples(profile),
		 truncated = profile_count_of(profile, "truncated");

	text_put_count(out, samples);
	strbuf_puts(out, samples == 1 ? " sample" : " samples");
	if (strcmp(job->value_name, "samples")) {
		strbuf_puts(out, " · ");
		text_put(out, job->value_name, strlen(job->value_name));
		strbuf_putc(out, ' ');
		text_put_value(out, job->total, job->value_unit);
	}
	if (profile->processes.count) {
		strbuf_puts(out, " · ");
		text_put_count(out, profile->processes.count);
		strbuf_puts(out, profile->processes.count == 1 ? " process" : " processes");
	}
	strbuf_puts(out, " · ");
	text_put_count(out, report_lost(profile));
	strbuf_puts(out, " lost");
	if (truncated) {
		strbuf_puts(out, " · ");
		text_put_count(out, truncated);
		strbuf_puts(out, " truncated");
	}
}

void summary_put_count(struct strbuf *out, const struct profile *profile,
		       const struct profile_count *count)
{
	put_string(out, profile, count->key);
	strbuf_puts(out, count->is_loss ? " (lost): " : ": ");
	text_put_count(out, count->count);
	if (count->text) {
		strbuf_puts(out, " - ");
		put_string(out, profile, count->text);
	}
}

void summary_put_head(struct strbuf *out, const struct format_job *job)
{
	size_t began;

	text_put(out, job->title, strlen(job->title));
	strbuf_putc(out, '\n');
	began = out->length;
	summary_put_origin(out, job);
	if (out->length > began)
		strbuf_putc(out, '\n');
	summary_put_amount(out, job);
	strbuf_puts(out, "\n\n");
}

void summary_put_counts(struct strbuf *out, const struct profile *profile)
{
	if (profile->counts.count)
		strbuf_putc(out, '\n');
	for (size_t i = 0; i < profile->counts.count; i++) {
		summary_put_count(out, profile, &profile->counts.items[i]);
		strbuf_putc(out, '\n');
	}
}
