/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A look at a profile of allocations as text. What follows ± is one standard error, but in
 * slopes, where it is the interval of 95 %.
 */
#include <math.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/heap_report.h"
#include "flamegraph/profile_internal.h"
#include "flamegraph/summary.h"
#include "flamegraph/text.h"

#define SPARK_FIRST_SIZE 3u /* 8 bytes */
#define SPARK_LAST_SIZE 20u /* 1 MiB and more */
#define SPARK_FIRST_LIFE 9u /* 0.5 us */
#define SPARK_LAST_LIFE 36u /* 69 s and more */

static void put_padded(struct strbuf *out, struct strbuf *cell, size_t width)
{
	size_t cells = 0, n;

	for (size_t i = 0; i < cell->length; i += n)
		cells += text_cells(text_next(cell->data + i, cell->length - i, &n));
	for (; cells < width; cells++)
		strbuf_putc(out, ' ');
	strbuf_append(out, strbuf_text(cell), cell->length);
	out->failed |= cell->failed;
	strbuf_clear(cell);
}

/* Value and error in one unit: "41.2 ± 1.1 MiB". */
static void put_scaled(struct strbuf *out, double value, double error, double base,
		       const char *const *units, unsigned int count)
{
	double scale = 1, largest = fmax(fabs(value), error);
	unsigned int unit = 0;
	int digits;

	for (; unit + 1 < count && largest / scale >= base; unit++)
		scale *= base;
	digits = !unit || largest / scale >= 100 ? 0 : largest / scale >= 10 ? 1 : 2;
	strbuf_printf(out, "%.*f", digits, value / scale);
	if (error > 0)
		strbuf_printf(out, " ± %.*f", digits, error / scale);
	strbuf_puts(out, units[unit]);
}

static void put_bytes(struct strbuf *out, double bytes, double error)
{
	static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB"};

	put_scaled(out, bytes, error, 1024, units, 5);
}

static void put_count(struct strbuf *out, double count, double error)
{
	static const char *const units[] = {"", " k", " M", " G"};

	put_scaled(out, count, error, 1000, units, 4);
}

void heap_put_stack(struct strbuf *out, const struct profile *profile, uint32_t stack)
{
	size_t count;
	const uint32_t *frames = profile_stack_frames(profile, stack, &count);

	for (size_t i = 0; i < count; i++) {
		uint32_t name = profile->frames.items[frames[i]].name;

		strbuf_puts(out, i ? " > " : "");
		text_put(out, profile_text(profile, name), strtab_length(&profile->strings, name));
	}
	if (!count)
		strbuf_puts(out, "[no stack]");
}

static void put_name(struct strbuf *out, const struct profile *profile, uint32_t frame)
{
	const struct profile_frame *at;
	const char *module, *slash;

	if (frame == PROFILE_NONE) {
		strbuf_puts(out, "[no stack]");
		return;
	}
	at = &profile->frames.items[frame];
	text_put(out, profile_text(profile, at->name), strtab_length(&profile->strings, at->name));
	module = profile_text(profile, at->module);
	slash = strrchr(module, '/');
	if (!*module)
		return;
	strbuf_puts(out, "  ");
	text_put(out, slash ? slash + 1 : module, strlen(slash ? slash + 1 : module));
}

static void put_sum(struct strbuf *out, const char *title, const struct heap_sum *sum)
{
	strbuf_printf(out, "%-20s", title);
	put_bytes(out, (double)sum->bytes, heap_sum_bytes_error(sum));
	strbuf_puts(out, " in ");
	put_count(out, heap_sum_count(sum), heap_sum_count_error(sum));
	strbuf_puts(out, " objects");
	if (sum->n)
		strbuf_printf(out, " (%llu sampled)", (unsigned long long)sum->n);
}

/* How much of the time was looked at, and what that leaves unknown. */
static void put_unknown(struct strbuf *out, const struct heap_report *report)
{
	const struct heap_data *data = report->data;
	const struct heap_site *total = &report->rows.total;
	double share = (double)total->unknown.bytes / fmax((double)total->alloc.bytes, 1);

	if (data->wanted_ns)
		strbuf_printf(out,
			      "%-20s%.1f %% of the time (probes on the allocator, within "
			      "memory.heap_budget)\n",
			      "observed",
			      100.0 * (double)data->observed_ns / (double)data->wanted_ns);
	if (data->frees && data->breaks)
		strbuf_printf(
			out,
			"frees were looked at with %u break%s: in use, the peak and leaked are "
			"of what was allocated since %.1f s; temporary is of all the time\n",
			data->breaks, data->breaks == 1 ? "" : "s", (double)data->since_ns / 1e9);
	if (data->frees && total->unknown.bytes) {
		put_sum(out, "of unknown fate", &total->unknown);
		strbuf_printf(out, ": %.1f %% of what was allocated\n", 100 * share);
	}
}

static void put_totals(struct strbuf *out, const struct heap_report *report)
{
	struct error ignored;

	for (enum heap_view view = HEAP_INUSE; view < HEAP_VIEWS; view++) {
		struct heap_sum sum = heap_view_sum(&report->rows.total, view);

		if (heap_view_check(report->profile, report->data, view, &ignored))
			continue;
		put_sum(out, heap_view_title(view), &sum);
		if (view == HEAP_PEAK)
			strbuf_printf(out, ", at %.1f s", (double)report->data->peak_ns / 1e9);
		strbuf_putc(out, '\n');
	}
	if (!report->data->frees)
		strbuf_puts(out, "frees were not followed: what is in use, how long it lives, the "
				 "peak, what is leaked or temporary is not known (--heap, by "
				 "libperfd-heap.so, tells)\n");
	put_unknown(out, report);
}

static void put_advice(struct strbuf *out, const struct heap_report *report)
{
	const struct heap_advice *advice = &report->advice;

	strbuf_printf(out, "\npattern: %s", advice->sizes);
	if (strcmp(advice->trend, "unknown") != 0)
		strbuf_printf(out, ", %s", advice->trend);
	if (!strcmp(advice->rhythm, "bursts"))
		strbuf_puts(out, ", in bursts");
	strbuf_puts(out, ": ");
	strbuf_append(out, strbuf_text(&advice->facts), advice->facts.length);
	strbuf_putc(out, '\n');
	for (size_t i = 0; i < advice->sentences.count; i++) {
		const struct heap_sentence *sentence = &advice->sentences.items[i];

		strbuf_printf(out, "%s%s\n", strcmp(sentence->key, "leak") ? "* " : "LEAK: ",
			      strbuf_text(&sentence->text));
		if (sentence->stack == PROFILE_NONE || strcmp(sentence->key, "leak") != 0)
			continue;
		strbuf_puts(out, "      ");
		heap_put_stack(out, report->profile, sentence->stack);
		strbuf_putc(out, '\n');
	}
}

static void put_sparks(struct strbuf *out, const uint64_t *buckets, unsigned int first,
		       unsigned int last)
{
	static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
	double cells[HEAP_BUCKETS] = {0}, most = 0;

	for (unsigned int i = 0; i < HEAP_BUCKETS; i++) {
		unsigned int at = i < first ? first : i > last ? last : i;

		cells[at] += (double)buckets[i];
		most = fmax(most, cells[at]);
	}
	strbuf_putc(out, '[');
	for (unsigned int i = first; i <= last; i++) {
		unsigned int height = most > 0 ? (unsigned int)(cells[i] / most * 8 + 0.5) : 0;

		strbuf_puts(out, bars[!height && cells[i] > 0 ? 1 : height]);
	}
	strbuf_putc(out, ']');
}

static void put_life(struct strbuf *out, const uint64_t *lives, double share)
{
	double life = heap_quantile(lives, share);

	if (life > 0)
		text_put_value(out, (uint64_t)life, "nanoseconds");
	else
		strbuf_putc(out, '-');
}

static void put_row(struct strbuf *out, const struct heap_report *report,
		    const struct heap_row *row)
{
	struct heap_sum sum = heap_view_sum(&row->sum, report->rows.view);
	struct heap_sum all = heap_view_sum(&report->rows.total, report->rows.view);
	_cleanup_(strbuf_deinit) struct strbuf cell = {0};
	double size = heap_quantile(row->sum.sizes, 0.5);

	strbuf_printf(out, "%6.2f %%", 100.0 * (double)sum.bytes / fmax((double)all.bytes, 1));
	put_bytes(&cell, (double)sum.bytes, heap_sum_bytes_error(&sum));
	put_padded(out, &cell, 20);
	put_count(&cell, heap_sum_count(&sum), heap_sum_count_error(&sum));
	put_padded(out, &cell, 18);
	if (size > 0)
		text_put_value(&cell, (uint64_t)size, "bytes");
	else
		strbuf_putc(&cell, '-');
	put_padded(out, &cell, 10);
	put_life(&cell, row->sum.lives, 0.5);
	put_padded(out, &cell, 10);
	heap_growth_put_slope(&cell, &row->growth);
	put_padded(out, &cell, 22);
	strbuf_puts(out, "  ");
	put_name(out, report->profile, row->frame);
	strbuf_putc(out, '\n');
	if (report->by != HEAP_BY_SITE)
		return;
	strbuf_puts(out, "         ");
	heap_put_stack(out, report->profile, row->sum.stack);
	strbuf_puts(out, "\n         sizes 8 B..1 MiB ");
	put_sparks(out, row->sum.sizes, SPARK_FIRST_SIZE, SPARK_LAST_SIZE);
	if (heap_histogram_total(row->sum.lives)) {
		strbuf_puts(out, "  lives 0.5 µs..1 min ");
		put_sparks(out, row->sum.lives, SPARK_FIRST_LIFE, SPARK_LAST_LIFE);
		strbuf_puts(out, " p99 ");
		put_life(out, row->sum.lives, 0.99);
	}
	strbuf_putc(out, '\n');
}

static void put_head(struct strbuf *out, const struct profile *profile)
{
	struct format_job job = {.profile = profile};

	job.title = profile_text(profile, profile->title);
	if (!*job.title)
		job.title = "perfd profile";
	strbuf_puts(out, "heap of ");
	text_put(out, job.title, strlen(job.title));
	strbuf_putc(out, '\n');
	summary_put_origin(out, &job);
	strbuf_puts(out, "\n\n");
}

static int write_out(struct strbuf *text, FILE *out)
{
	fwrite(strbuf_text(text), 1, text->length, out);
	return strbuf_error(text);
}

int heap_report_text(const struct heap_report *report, FILE *out)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};
	size_t rows = report->rows.rows.count;
	size_t shown = report->top && report->top < rows ? report->top : rows;

	put_head(&text, report->profile);
	put_totals(&text, report);
	put_advice(&text, report);
	strbuf_printf(&text,
		      "\n%s, by %s (± one standard error of sampling; of growth 95 %%)\n"
		      "   share               bytes           objects  size p50  life p50"
		      "                growth  function  module\n",
		      heap_view_title(report->rows.view),
		      report->by == HEAP_BY_SITE ? "site" : "function");
	for (size_t i = 0; i < shown; i++)
		put_row(&text, report, &report->rows.rows.items[i]);
	if (!rows)
		strbuf_puts(&text, "nothing\n");
	if (shown < rows)
		strbuf_printf(&text, "... and %zu more\n", rows - shown);
	summary_put_counts(&text, report->profile);
	return write_out(&text, out);
}

int heap_diff_text(const struct heap_diff *diff, FILE *out)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0}, cell = {0};
	size_t shown = diff->top && diff->top < diff->rows.count ? diff->top : diff->rows.count;

	put_head(&text, diff->profile);
	strbuf_printf(&text, "in use at %.1f s and at %.1f s, by %s (± one standard error)\n",
		      (double)heap_view_moment(diff->data, diff->before) / 1e9,
		      (double)heap_view_moment(diff->data, diff->after) / 1e9,
		      diff->by == HEAP_BY_SITE ? "site" : "function");
	strbuf_puts(&text, "       before        after                change         objects  "
			   "function  module\n");
	for (size_t i = 0; i <= shown; i++) {
		const struct heap_change *row = i ? &diff->rows.items[i - 1] : &diff->all;

		put_bytes(&cell, (double)row->before.live.bytes, 0);
		put_padded(&text, &cell, 13);
		put_bytes(&cell, (double)row->after.live.bytes, 0);
		put_padded(&text, &cell, 13);
		strbuf_puts(&cell, row->bytes > 0 ? "+" : "");
		put_bytes(&cell, row->bytes, row->error);
		put_padded(&text, &cell, 22);
		strbuf_puts(&cell, row->count > 0 ? "+" : "");
		put_count(&cell, row->count, 0);
		put_padded(&text, &cell, 16);
		strbuf_puts(&text, "  ");
		if (i)
			put_name(&text, diff->profile, row->frame);
		else
			strbuf_puts(&text, "all");
		strbuf_putc(&text, '\n');
		if (!i || diff->by != HEAP_BY_SITE)
			continue;
		strbuf_puts(&text, "         ");
		heap_put_stack(&text, diff->profile, row->stack);
		strbuf_putc(&text, '\n');
	}
	if (shown < diff->rows.count)
		strbuf_printf(&text, "... and %zu more\n", diff->rows.count - shown);
	return write_out(&text, out);
}
