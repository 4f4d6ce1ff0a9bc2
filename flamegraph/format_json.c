/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * "json": the report for programs, schema "perfd.report/1".
 *
 *	title, host, event   strings
 *	start_ns, duration_ns, frequency_hz   integers (start: CLOCK_REALTIME)
 *	value, unit, total   what self, total and weight below are measured in
 *	values     [{name, unit, total}]: all that the profile has
 *	samples, lost        numbers of samples
 *	functions  [{name, module, kind, self, total, self_percent, total_percent,
 *	           source}], source: {file, first_line, last_line} of what was seen, lines
 *	           0 if unknown; null: the file is not known either
 *	           With confidence: self_low, self_high, total_low, total_high, in percent,
 *	           the interval at 95 %; null: the profile does not say how many samples
 *	functions_total      how many there are, before a limit cut the list
 *	processes  [{pid, ppid, comm, cgroup, start_ns, end_ns, samples, weight}]
 *	counts     [{key, text, count, loss}]
 *	marks      [{at_ns, key, text, value}]: what happened, by time
 *	series     [{name, group, unit, kind, pid, step_ns, values, low, high}]: quantities
 *	           over time; kind: level or amount; pid null: of all; null in values:
 *	           not known; low and high are null where the values are exact
 *	windows    {width_ns, count, min, mean, max, p50, p90, p99} of the value in each
 *	           window of time; null: the profile has no time axis
 *
 * Times of processes are since start_ns; null: before it, or still alive. Fields
 * may be added within a schema version, never changed.
 */
#include "flamegraph/format.h"

#include <jansson.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/report.h"
#include "flamegraph/text.h"

/* Setting a NULL fails and jansson then frees nothing of ours: one flag for all. */
struct writer {
	const struct format_job *job;
	bool failed;
};

static void set(struct writer *writer, json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value))
		writer->failed = true;
}

static void append(struct writer *writer, json_t *array, json_t *value)
{
	if (json_array_append_new(array, value))
		writer->failed = true;
}

static void set_text(struct writer *writer, json_t *object, const char *key, const char *bytes,
		     size_t n)
{
	_cleanup_(strbuf_deinit) struct strbuf clean = {0};

	text_put(&clean, bytes, n);
	set(writer, object, key, json_stringn(strbuf_text(&clean), clean.length));
}

static void set_string(struct writer *writer, json_t *object, const char *key, uint32_t string)
{
	const struct profile *profile = writer->job->profile;

	set_text(writer, object, key, profile_text(profile, string),
		 strtab_length(&profile->strings, string));
}

/* JSON integers are signed here. */
static void set_number(struct writer *writer, json_t *object, const char *key, uint64_t value)
{
	set(writer, object, key, json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
}

static void set_percent(struct writer *writer, json_t *object, const char *key, uint64_t part)
{
	set(writer, object, key, json_real(100.0 * (double)part / (double)writer->job->total));
}

static json_t *value_types(struct writer *writer)
{
	const struct profile *profile = writer->job->profile;
	json_t *array = json_array();

	for (uint32_t i = 0; i < profile->value_type_count; i++) {
		json_t *object = json_object();

		set_string(writer, object, "name", profile->value_types[i].name);
		set_string(writer, object, "unit", profile->value_types[i].unit);
		set_number(writer, object, "total", profile_total(profile, i));
		append(writer, array, object);
	}
	return array;
}

static json_t *source_of(struct writer *writer, const struct label *label)
{
	json_t *object;

	if (!label->file)
		return json_null();
	object = json_object();
	set_string(writer, object, "file", label->file);
	set_number(writer, object, "first_line", label->first_line);
	set_number(writer, object, "last_line", label->last_line);
	return object;
}

static void set_interval(struct writer *writer, json_t *object, const char *low, const char *high,
			 const struct report *report, struct confidence interval)
{
	bool known = report->squares > 0;

	set(writer, object, low, known ? json_real(100 * interval.low) : json_null());
	set(writer, object, high, known ? json_real(100 * interval.high) : json_null());
}

static json_t *functions(struct writer *writer, const struct report *report)
{
	json_t *array = json_array();

	for (size_t i = 0; i < report->rows.count; i++) {
		const struct report_row *row = &report->rows.items[i];
		const struct label *label = &report->labels.items.items[row->label];
		json_t *object = json_object();
		size_t length;
		const char *text = label_text(&report->labels, row->label, &length);

		set_text(writer, object, "name", text, length);
		set_string(writer, object, "module", label->module);
		set(writer, object, "kind", json_string(report_kind_name(label->kind)));
		set_number(writer, object, "self", row->self);
		set_number(writer, object, "total", row->total);
		set_percent(writer, object, "self_percent", row->self);
		set_percent(writer, object, "total_percent", row->total);
		if (writer->job->confidence) {
			set_interval(writer, object, "self_low", "self_high", report,
				     report_self_share(report, row));
			set_interval(writer, object, "total_low", "total_high", report,
				     report_total_share(report, row));
		}
		set(writer, object, "source", source_of(writer, label));
		append(writer, array, object);
	}
	return array;
}

struct process_sum {
	uint64_t samples;
	uint64_t weight;
};

static struct process_sum *sum_processes(const struct format_job *job)
{
	const struct profile *profile = job->profile;
	uint32_t count_type = profile_find_value_type(profile, "samples", "count");
	struct process_sum *sums = calloc(profile->processes.count + 1, sizeof(*sums));

	for (size_t i = 0; sums && i < profile->samples.count; i++) {
		const uint64_t *values = profile->values.items + i * profile->value_type_count;
		uint32_t process = profile->samples.items[i].process;
		struct process_sum *sum;

		if (process == PROFILE_NONE)
			continue;
		sum = &sums[process];
		sum->samples = profile_sum(sum->samples,
					   count_type == PROFILE_NONE ? 1 : values[count_type]);
		sum->weight = profile_sum(sum->weight, values[job->value_type]);
	}
	return sums;
}

static void set_time(struct writer *writer, json_t *object, const char *key, uint64_t time_ns)
{
	if (time_ns)
		set_number(writer, object, key, time_ns);
	else
		set(writer, object, key, json_null());
}

static json_t *processes(struct writer *writer)
{
	const struct profile *profile = writer->job->profile;
	_cleanup_free_ struct process_sum *sums = sum_processes(writer->job);
	json_t *array = json_array();

	for (size_t i = 0; sums && i < profile->processes.count; i++) {
		const struct profile_process *process = &profile->processes.items[i];
		json_t *object = json_object();

		set_number(writer, object, "pid", process->pid);
		set_number(writer, object, "ppid", process->ppid);
		set_string(writer, object, "comm", process->comm);
		set_string(writer, object, "cgroup", process->cgroup);
		set_time(writer, object, "start_ns", process->start_ns);
		set_time(writer, object, "end_ns", process->end_ns);
		set_number(writer, object, "samples", sums[i].samples);
		set_number(writer, object, "weight", sums[i].weight);
		append(writer, array, object);
	}
	writer->failed |= !sums;
	return array;
}

static json_t *counts(struct writer *writer)
{
	const struct profile *profile = writer->job->profile;
	json_t *array = json_array();

	for (size_t i = 0; i < profile->counts.count; i++) {
		const struct profile_count *count = &profile->counts.items[i];
		json_t *object = json_object();

		set_string(writer, object, "key", count->key);
		set_string(writer, object, "text", count->text);
		set_number(writer, object, "count", count->count);
		set(writer, object, "loss", json_boolean(count->is_loss));
		append(writer, array, object);
	}
	return array;
}

static int compare_marks(const void *left, const void *right)
{
	const struct profile_mark *a = left, *b = right;

	return (a->at_ns > b->at_ns) - (a->at_ns < b->at_ns);
}

static json_t *marks(struct writer *writer)
{
	const struct profile *profile = writer->job->profile;
	size_t count = profile->marks.count;
	_cleanup_free_ struct profile_mark *sorted = calloc(count + 1, sizeof(*sorted));
	json_t *array = json_array();

	writer->failed |= !sorted;
	if (!sorted || !count)
		return array;
	memcpy(sorted, profile->marks.items, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_marks);
	for (size_t i = 0; i < count; i++) {
		json_t *object = json_object();

		set_number(writer, object, "at_ns", sorted[i].at_ns);
		set_string(writer, object, "key", sorted[i].key);
		set_string(writer, object, "text", sorted[i].text);
		set_number(writer, object, "value", sorted[i].value);
		append(writer, array, object);
	}
	return array;
}

/* One of the three numbers of each point, by its offset. */
static json_t *points(struct writer *writer, const struct series *series, size_t offset)
{
	json_t *array = json_array();

	for (size_t i = 0; i < series->points.count; i++) {
		const struct series_point *point = &series->points.items[i];
		uint64_t value = *(const uint64_t *)((const char *)point + offset);

		append(writer, array,
		       point->value == SERIES_UNKNOWN
			       ? json_null()
			       : json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value));
	}
	return array;
}

static json_t *series(struct writer *writer)
{
	const struct profile *profile = writer->job->profile;
	json_t *array = json_array();

	for (size_t i = 0; i < profile->series.count; i++) {
		const struct series *series = &profile->series.items[i];
		bool band = series_has_band(series);
		json_t *object = json_object();

		set_string(writer, object, "name", series->name);
		set_string(writer, object, "group", series->group);
		set_string(writer, object, "unit", series->unit);
		set(writer, object, "kind",
		    json_string(series->kind == SERIES_LEVEL ? "level" : "amount"));
		set(writer, object, "pid",
		    series->process == PROFILE_NONE
			    ? json_null()
			    : json_integer(profile->processes.items[series->process].pid));
		set_number(writer, object, "step_ns", series->step_ns);
		set(writer, object, "values",
		    points(writer, series, offsetof(struct series_point, value)));
		set(writer, object, "low",
		    band ? points(writer, series, offsetof(struct series_point, low))
			 : json_null());
		set(writer, object, "high",
		    band ? points(writer, series, offsetof(struct series_point, high))
			 : json_null());
		append(writer, array, object);
	}
	return array;
}

static json_t *windows(struct writer *writer)
{
	const struct format_job *job = writer->job;
	struct report_windows windows;
	json_t *object;

	if (report_windows(job->profile, job->value_type, job->window_ns, &windows) ||
	    !windows.count)
		return json_null();
	object = json_object();
	set_number(writer, object, "width_ns", windows.width_ns);
	set_number(writer, object, "count", windows.count);
	set_number(writer, object, "min", windows.min);
	set_number(writer, object, "mean", windows.mean);
	set_number(writer, object, "max", windows.max);
	set_number(writer, object, "p50", windows.p50);
	set_number(writer, object, "p90", windows.p90);
	set_number(writer, object, "p99", windows.p99);
	return object;
}

static void set_head(struct writer *writer, json_t *root)
{
	const struct format_job *job = writer->job;
	const struct profile *profile = job->profile;

	set(writer, root, "schema", json_string("perfd.report/1"));
	set_text(writer, root, "title", job->title, strlen(job->title));
	set_string(writer, root, "host", profile->host);
	set_string(writer, root, "event", profile->event);
	set_number(writer, root, "start_ns", profile->start_ns);
	set_number(writer, root, "duration_ns", profile->duration_ns);
	set_number(writer, root, "frequency_hz", profile->frequency_hz);
	set_text(writer, root, "value", job->value_name, strlen(job->value_name));
	set_text(writer, root, "unit", job->value_unit, strlen(job->value_unit));
	set_number(writer, root, "total", job->total);
	set(writer, root, "values", value_types(writer));
}

int format_json_write(const struct format_job *job, FILE *out)
{
	struct writer writer = {.job = job};
	struct report report;
	json_t *root;
	int r = report_compute(job->profile, job->value_type, job->top, &report);

	if (r)
		return r;
	root = json_object();
	set_head(&writer, root);
	set_number(&writer, root, "samples", report.samples);
	set_number(&writer, root, "lost", report.lost);
	set(&writer, root, "functions", functions(&writer, &report));
	set_number(&writer, root, "functions_total", report.rows_all);
	set(&writer, root, "processes", processes(&writer));
	set(&writer, root, "counts", counts(&writer));
	set(&writer, root, "marks", marks(&writer));
	set(&writer, root, "series", series(&writer));
	set(&writer, root, "windows", windows(&writer));
	report_deinit(&report);
	errno = 0;
	if (writer.failed)
		r = -ENOMEM;
	else if (json_dumpf(root, out, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) ||
		 fputc('\n', out) == EOF)
		r = errno ? -errno : -EIO;
	json_decref(root);
	return r;
}
