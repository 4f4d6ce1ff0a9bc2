/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A look at a profile of allocations as JSON: schema "perfd.heap/1", of a difference
 * "perfd.heap-diff/1" (docs/schemas).
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/heap_report.h"
#include "flamegraph/text.h"

static json_t *number(uint64_t value)
{
	return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* Foreign bytes, cleaned as in every output. */
static json_t *clean(const char *bytes, size_t n)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};

	text_put(&text, bytes, n);
	return json_stringn(strbuf_text(&text), text.length);
}

static json_t *string_of(const struct profile *profile, uint32_t string)
{
	return clean(profile_text(profile, string), strtab_length(&profile->strings, string));
}

/* Errors are null where nothing is known of them: a file that had only sums. */
static json_t *sum_of(const struct heap_sum *sum)
{
	bool known = sum->n || !sum->bytes;

	return json_pack("{s:o, s:o, s:o, s:o, s:o}", "bytes", number(sum->bytes), "bytes_error",
			 known ? json_real(heap_sum_bytes_error(sum)) : json_null(), "objects",
			 json_real(heap_sum_count(sum)), "objects_error",
			 known ? json_real(heap_sum_count_error(sum)) : json_null(), "sampled",
			 number(sum->n));
}

static json_t *histogram(const uint64_t *buckets)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < HEAP_BUCKETS; i++)
		if (buckets[i])
			json_array_append_new(
				list,
				json_pack("{s:o, s:o, s:o}", "from", number(i ? 1ULL << i : 0),
					  "below",
					  i + 1 < HEAP_BUCKETS ? number(2ULL << i) : json_null(),
					  "objects",
					  json_real((double)buckets[i] / HEAP_COUNT_SCALE)));
	return list;
}

static json_t *growth_of(const struct heap_growth *growth)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};
	json_t *parts = json_array();

	heap_growth_put(&text, growth);
	for (unsigned int part = 0; part < HEAP_PARTS; part++)
		json_array_append_new(parts, json_pack("{s:f, s:f}", "bytes_per_second",
						       growth->parts[part], "error",
						       growth->part_errors[part]));
	return json_pack("{s:s, s:s, s:f, s:f, s:o, s:o, s:o, s:o, s:o}", "verdict",
			 heap_verdict_name(growth->verdict), "text", strbuf_text(&text),
			 "bytes_per_second", growth->slope, "error", growth->error, "parts", parts,
			 "from_ns", number(growth->from_ns), "until_ns", number(growth->until_ns),
			 "old", number(growth->old), "old_freed", number(growth->old_freed));
}

static json_t *stack_of(const struct profile *profile, uint32_t stack)
{
	json_t *list = json_array();
	size_t count;
	const uint32_t *frames = profile_stack_frames(profile, stack, &count);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(list,
				      string_of(profile, profile->frames.items[frames[i]].name));
	return list;
}

static json_t *frame_name(const struct profile *profile, uint32_t frame)
{
	return frame == PROFILE_NONE ? json_string("")
				     : string_of(profile, profile->frames.items[frame].name);
}

static json_t *frame_module(const struct profile *profile, uint32_t frame)
{
	return frame == PROFILE_NONE ? json_string("")
				     : string_of(profile, profile->frames.items[frame].module);
}

/* Each view that can be had; null: it cannot. */
static json_t *views_of(const struct heap_report *report, const struct heap_site *site)
{
	json_t *views = json_object();
	struct error ignored;

	for (enum heap_view view = HEAP_INUSE; view < HEAP_VIEWS; view++) {
		struct heap_sum sum = heap_view_sum(site, view);

		json_object_set_new(views, heap_view_name(view),
				    heap_view_check(report->profile, report->data, view, &ignored)
					    ? json_null()
					    : sum_of(&sum));
	}
	return views;
}

static json_t *pid_of(const struct heap_report *report, const struct heap_row *row)
{
	uint32_t process = row->sum.process;

	return report->by == HEAP_BY_SITE && process != PROFILE_NONE
		       ? json_integer((json_int_t)report->profile->processes.items[process].pid)
		       : json_null();
}

static json_t *row_of(const struct heap_report *report, const struct heap_row *row)
{
	const struct profile *profile = report->profile;

	return json_pack("{s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "function",
			 frame_name(profile, row->frame), "module",
			 frame_module(profile, row->frame), "stack",
			 stack_of(profile, row->sum.stack), "pid", pid_of(report, row), "sites",
			 (int)row->sites, "views", views_of(report, &row->sum), "sizes",
			 histogram(row->sum.sizes), "lives_ns", histogram(row->sum.lives),
			 "ages_ns", histogram(row->sum.ages), "growth", growth_of(&row->growth),
			 "worst", growth_of(&row->worst));
}

static json_t *advice_of(const struct heap_report *report)
{
	json_t *list = json_array();

	for (size_t i = 0; i < report->advice.sentences.count; i++) {
		const struct heap_sentence *sentence = &report->advice.sentences.items[i];

		json_array_append_new(
			list, json_pack("{s:s, s:o, s:o}", "key", sentence->key, "text",
					clean(strbuf_text(&sentence->text), sentence->text.length),
					"stack",
					sentence->stack == PROFILE_NONE
						? json_null()
						: stack_of(report->profile, sentence->stack)));
	}
	return list;
}

static json_t *pattern_of(const struct heap_report *report)
{
	const struct heap_advice *advice = &report->advice;

	return json_pack("{s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f}", "sizes", advice->sizes,
			 "trend", advice->trend, "rhythm", advice->rhythm, "facts",
			 strbuf_text(&advice->facts), "allocations_per_second", advice->rate,
			 "bytes_per_second", advice->byte_rate, "size_p50", advice->size_p50,
			 "large_share", advice->large_share);
}

static json_t *snapshots_of(const struct heap_report *report)
{
	const struct heap_data *data = report->data;
	json_t *list = json_array();

	for (size_t i = 0; i < data->snapshots.count; i++) {
		struct heap_level level = heap_site_level(&report->rows.total, i);

		json_array_append_new(list, json_pack("{s:o, s:o}", "at_ns",
						      number(data->snapshots.items[i]), "inuse",
						      sum_of(&level.live)));
	}
	return list;
}

static json_t *counts_of(const struct profile *profile)
{
	json_t *list = json_array();

	for (size_t i = 0; i < profile->counts.count; i++) {
		const struct profile_count *count = &profile->counts.items[i];

		json_array_append_new(list,
				      json_pack("{s:o, s:o, s:o, s:b}", "key",
						string_of(profile, count->key), "text",
						string_of(profile, count->text), "count",
						number(count->count), "loss", count->is_loss));
	}
	return list;
}

/* Of the time; null: not by probes on functions. */
static json_t *observed_of(const struct heap_data *data)
{
	return data->wanted_ns ? json_real((double)data->observed_ns / (double)data->wanted_ns)
			       : json_null();
}

/* Takes the object over. */
static int write_json(json_t *object, FILE *out)
{
	int r = object ? json_dumpf(object, out, JSON_INDENT(1)) : -1;

	json_decref(object);
	if (r)
		return -ENOMEM;
	fputc('\n', out);
	return 0;
}

int heap_report_json(const struct heap_report *report, FILE *out)
{
	const struct profile *profile = report->profile;
	size_t count = report->rows.rows.count;
	json_t *rows = json_array();

	for (size_t i = 0; i < count && (!report->top || i < report->top); i++)
		json_array_append_new(rows, row_of(report, &report->rows.rows.items[i]));
	return write_json(
		json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:s, s:b, s:o, s:o, s:i, s:o, s:o, s:o, "
			  "s:o, s:o, s:o, s:o, s:i, s:o, s:o}",
			  "schema", "perfd.heap/1", "title", string_of(profile, profile->title),
			  "host", string_of(profile, profile->host), "start_ns",
			  number(profile->start_ns), "duration_ns", number(profile->duration_ns),
			  "view", heap_view_name(report->rows.view), "by",
			  report->by == HEAP_BY_SITE ? "site" : "function", "frees",
			  report->data->frees, "peak_ns",
			  report->data->peak_ns ? number(report->data->peak_ns) : json_null(),
			  "since_ns", number(report->data->since_ns), "breaks",
			  (int)report->data->breaks, "observed", observed_of(report->data),
			  "unknown", sum_of(&report->rows.total.unknown), "totals",
			  views_of(report, &report->rows.total), "growth",
			  growth_of(&report->rows.growth), "pattern", pattern_of(report), "advice",
			  advice_of(report), "rows", rows, "rows_total", (int)count, "snapshots",
			  snapshots_of(report), "counts", counts_of(profile)),
		out);
}

static json_t *change_of(const struct heap_diff *diff, const struct heap_change *row)
{
	return json_pack("{s:o, s:o, s:o, s:i, s:o, s:o, s:f, s:f, s:f}", "function",
			 frame_name(diff->profile, row->frame), "module",
			 frame_module(diff->profile, row->frame), "stack",
			 stack_of(diff->profile, row->stack), "sites", (int)row->sites, "before",
			 sum_of(&row->before.live), "after", sum_of(&row->after.live), "bytes",
			 row->bytes, "bytes_error", row->error, "objects", row->count);
}

int heap_diff_json(const struct heap_diff *diff, FILE *out)
{
	const struct heap_data *data = diff->data;
	json_t *rows = json_array();

	for (size_t i = 0; i < diff->rows.count && (!diff->top || i < diff->top); i++)
		json_array_append_new(rows, change_of(diff, &diff->rows.items[i]));
	return write_json(json_pack("{s:s, s:o, s:o, s:o, s:s, s:f, s:f, s:f, s:o, s:i}", "schema",
				    "perfd.heap-diff/1", "title",
				    string_of(diff->profile, diff->profile->title), "before_ns",
				    number(heap_view_moment(data, diff->before)), "after_ns",
				    number(heap_view_moment(data, diff->after)), "by",
				    diff->by == HEAP_BY_SITE ? "site" : "function", "bytes",
				    diff->all.bytes, "bytes_error", diff->all.error, "objects",
				    diff->all.count, "rows", rows, "rows_total",
				    (int)diff->rows.count),
			  out);
}
