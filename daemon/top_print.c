/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/top_print.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "flamegraph/text.h"

#define SCHEMA "perfd.top/1"

void top_put_bytes(struct strbuf *out, uint64_t bytes, bool known, int width)
{
	static const char units[] = "BKMGTP";
	double value = (double)bytes;
	char text[32];
	size_t unit = 0;

	for (; value >= 1000 && unit + 2 < sizeof(units); unit++)
		value /= 1024;
	if (!known)
		snprintf(text, sizeof(text), "-");
	else if (!unit)
		snprintf(text, sizeof(text), "%.0f", value);
	else
		snprintf(text, sizeof(text), "%.*f%c", value < 10 ? 1 : 0, value, units[unit]);
	strbuf_printf(out, "%*s", width, text);
}

void top_put_percent(struct strbuf *out, double share, int width)
{
	if (share <= 0)
		strbuf_printf(out, "%*s", width, "-");
	else
		strbuf_printf(out, "%*.1f", width, share * 100);
}

void top_put_rate(struct strbuf *out, double rate, int width)
{
	if (rate <= 0)
		strbuf_printf(out, "%*s", width, "-");
	else if (rate < 1e5)
		strbuf_printf(out, "%*.0f", width, rate);
	else
		strbuf_printf(out, "%*.0fk", width - 1, rate / 1e3);
}

const char *top_kind_mark(uint32_t kind)
{
	switch (kind) {
	case FRAME_KERNEL:
		return "kernel";
	case FRAME_INLINE:
		return "inlined";
	case FRAME_JIT:
		return "jit";
	case FRAME_INTERPRETED:
		return "interpreted";
	case FRAME_SPECIAL:
		return "no function";
	case LABEL_COMM:
		return "thread";
	default:
		return NULL;
	}
}

static uint64_t newest_lost(const struct top_model *model)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < model->losses.count; i++)
		sum += model->losses.items[i].newest;
	return sum;
}

static double busy(const struct top_interval *newest, uint32_t cpus)
{
	return (double)newest->cpu_ns / (double)newest->duration_ns / cpus;
}

void top_print_head(const struct top_model *model, const struct top_print *how, struct strbuf *out)
{
	const struct top_interval *newest = top_model_newest(model);
	time_t now = time(NULL);
	char clock[16] = "";
	struct tm local;

	if (localtime_r(&now, &local))
		strftime(clock, sizeof(clock), "%H:%M:%S", &local);
	text_put(out, how->host, strlen(how->host));
	strbuf_printf(out, "  %s  %.2f s  %u CPU%s %.1f%% busy  %u Hz  %llu samples  lost %llu",
		      clock, (double)newest->duration_ns / 1e9, how->cpus,
		      how->cpus == 1 ? "" : "s", busy(newest, how->cpus) * 100, how->frequency_hz,
		      (unsigned long long)newest->samples, (unsigned long long)newest_lost(model));
}

static int rows_of(const struct top_model *model, const struct top_print *how, enum top_level level,
		   struct top_rows *rows)
{
	const struct top_query query = {.level = level,
					.sort = how->sort,
					.reversed = how->reversed,
					.newest = true,
					.filter = how->filter};

	return top_rows_init(rows, model, &query);
}

static size_t shown(const struct top_rows *rows, const struct top_print *how)
{
	return how->lines && how->lines < rows->items.count ? how->lines : rows->items.count;
}

static void put_text(struct strbuf *out, const struct top_rows *rows, uint32_t id)
{
	text_put(out, top_rows_text(rows, id), strtab_length(&rows->names, id));
}

static void put_process(struct strbuf *out, const struct top_rows *rows, const struct top_row *row)
{
	strbuf_printf(out, "%8u ", row->pid);
	top_put_percent(out, row->cpu, 7);
	top_put_bytes(out, row->rss_bytes, row->rss_known, 8);
	top_put_rate(out, row->faults, 10);
	strbuf_puts(out, "  ");
	put_text(out, rows, row->text);
	strbuf_putc(out, '\n');
}

static void put_function(struct strbuf *out, const struct top_rows *rows, const struct top_row *row)
{
	const char *mark = top_kind_mark(row->kind);

	top_put_percent(out, row->self, 8);
	top_put_percent(out, row->total, 9);
	strbuf_puts(out, "  ");
	put_text(out, rows, row->text);
	if (strtab_length(&rows->names, row->module)) {
		strbuf_puts(out, "  ");
		put_text(out, rows, row->module);
	}
	if (mark)
		strbuf_printf(out, "  (%s)", mark);
	strbuf_putc(out, '\n');
}

static int put_table(const struct top_model *model, const struct top_print *how,
		     enum top_level level, struct strbuf *out)
{
	struct top_rows rows;
	int r = rows_of(model, how, level, &rows);

	if (r)
		return r;
	strbuf_puts(out, level == TOP_PROCESSES ? "\n     PID    CPU%     RSS  FAULTS/S  COMMAND\n"
						: "\n   SELF%   TOTAL%  FUNCTION  MODULE\n");
	for (size_t i = 0; i < shown(&rows, how); i++) {
		if (level == TOP_PROCESSES)
			put_process(out, &rows, &rows.items.items[i]);
		else
			put_function(out, &rows, &rows.items.items[i]);
	}
	if (shown(&rows, how) < rows.items.count)
		strbuf_printf(out, "... and %zu more\n", rows.items.count - shown(&rows, how));
	top_rows_deinit(&rows);
	return 0;
}

int top_print_table(const struct top_model *model, const struct top_print *how, struct strbuf *out)
{
	int r;

	top_print_head(model, how, out);
	strbuf_putc(out, '\n');
	r = put_table(model, how, TOP_PROCESSES, out);
	if (!r)
		r = put_table(model, how, TOP_FUNCTIONS, out);
	for (size_t i = 0; i < model->losses.count; i++) {
		const struct top_loss *loss = &model->losses.items[i];

		if (loss->newest)
			strbuf_printf(out, "lost: %llu %s\n", (unsigned long long)loss->newest,
				      strtab_get(&model->names, loss->text));
	}
	return r ? r : strbuf_error(out);
}

/* ---- JSON ---- */

static json_t *text_json(const char *bytes, size_t n)
{
	_cleanup_(strbuf_deinit) struct strbuf clean = {0};

	text_put(&clean, bytes, n);
	return json_stringn(strbuf_text(&clean), clean.length);
}

static json_t *row_text(const struct top_rows *rows, uint32_t id)
{
	return text_json(top_rows_text(rows, id), strtab_length(&rows->names, id));
}

static json_t *process_json(const struct top_rows *rows, const struct top_row *row)
{
	json_t *rss = row->rss_known ? json_integer((json_int_t)row->rss_bytes) : json_null();

	return json_pack("{s:I, s:o, s:f, s:I, s:I, s:o, s:f}", "pid", (json_int_t)row->pid, "comm",
			 row_text(rows, row->text), "cpu_percent", row->cpu * 100, "cpu_ns",
			 (json_int_t)row->cpu_ns, "samples", (json_int_t)row->samples, "rss_bytes",
			 rss, "faults_per_second", row->faults);
}

static json_t *function_json(const struct top_rows *rows, const struct top_row *row)
{
	static const char *const kinds[] = {[FRAME_USER] = "user",
					    [FRAME_KERNEL] = "kernel",
					    [FRAME_INLINE] = "inline",
					    [FRAME_JIT] = "jit",
					    [FRAME_INTERPRETED] = "interpreted",
					    [FRAME_SPECIAL] = "special"};

	return json_pack("{s:o, s:o, s:s, s:I, s:I, s:f, s:f}", "name", row_text(rows, row->text),
			 "module", row_text(rows, row->module), "kind",
			 row->kind < FRAME_KIND_COUNT ? kinds[row->kind] : "thread", "self_ns",
			 (json_int_t)row->self_ns, "total_ns", (json_int_t)row->total_ns,
			 "self_percent", row->self * 100, "total_percent", row->total * 100);
}

static json_t *list_json(const struct top_model *model, const struct top_print *how,
			 enum top_level level, size_t *ret_total)
{
	json_t *list = json_array();
	struct top_rows rows;

	if (rows_of(model, how, level, &rows)) {
		json_decref(list);
		return NULL;
	}
	*ret_total = rows.items.count;
	for (size_t i = 0; list && i < shown(&rows, how); i++) {
		const struct top_row *row = &rows.items.items[i];
		json_t *item = level == TOP_PROCESSES ? process_json(&rows, row)
						      : function_json(&rows, row);

		if (json_array_append_new(list, item)) {
			json_decref(list);
			list = NULL;
		}
	}
	top_rows_deinit(&rows);
	return list;
}

static json_t *losses_json(const struct top_model *model)
{
	json_t *lost = json_object();

	for (size_t i = 0; i < model->losses.count; i++)
		json_object_set_new(lost, strtab_get(&model->names, model->losses.items[i].key),
				    json_integer((json_int_t)model->losses.items[i].newest));
	return lost;
}

int top_print_json(const struct top_model *model, const struct top_print *how, struct strbuf *out)
{
	const struct top_interval *newest = top_model_newest(model);
	size_t processes_total = 0, functions_total = 0;
	json_t *processes = list_json(model, how, TOP_PROCESSES, &processes_total);
	json_t *functions = list_json(model, how, TOP_FUNCTIONS, &functions_total);
	json_t *object = json_pack(
		"{s:s, s:o, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:o, s:I, s:o, s:I, s:o}",
		"schema", SCHEMA, "host", text_json(how->host, strlen(how->host)), "end_ns",
		(json_int_t)clock_real_ns(), "interval_ns", (json_int_t)newest->duration_ns, "cpus",
		(json_int_t)how->cpus, "frequency_hz", (json_int_t)how->frequency_hz,
		"busy_percent", busy(newest, how->cpus) * 100, "cpu_ns", (json_int_t)newest->cpu_ns,
		"samples", (json_int_t)newest->samples, "lost_total",
		(json_int_t)newest_lost(model), "lost", losses_json(model), "processes_total",
		(json_int_t)processes_total, "processes", processes, "functions_total",
		(json_int_t)functions_total, "functions", functions);
	_cleanup_free_ char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	if (!text)
		return -ENOMEM;
	strbuf_puts(out, text);
	strbuf_putc(out, '\n');
	return strbuf_error(out);
}
