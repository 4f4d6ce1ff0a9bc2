/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/heap_advice.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "flamegraph/profile_internal.h"
#include "flamegraph/report.h"
#include "flamegraph/text.h"

struct work {
	struct heap_advice *advice;
	const struct profile *profile;
	const struct heap_data *data;
	double seconds;
	int r;
};

static void put_bytes(struct strbuf *out, double bytes)
{
	text_put_value(out, (uint64_t)llround(fmax(bytes, 0)), "bytes");
}

/* 2.1 M, 812 k, 12. */
static void put_number(struct strbuf *out, double number)
{
	if (number >= 1e6)
		strbuf_printf(out, "%.1f M", number / 1e6);
	else if (number >= 1e4)
		strbuf_printf(out, "%.0f k", number / 1e3);
	else
		strbuf_printf(out, number >= 100 ? "%.0f" : "%.3g", number);
}

static void put_function(struct strbuf *out, const struct work *work, uint32_t frame)
{
	const struct profile *profile = work->profile;
	uint32_t name = frame == PROFILE_NONE ? 0 : profile->frames.items[frame].name;

	if (!name)
		strbuf_puts(out, "[no stack]");
	text_put(out, profile_text(profile, name), strtab_length(&profile->strings, name));
}

/* Where a sentence goes; NULL without memory. */
static struct strbuf *begin(struct work *work, const char *key, uint32_t stack)
{
	struct heap_sentence sentence = {.stack = stack};

	strncpy(sentence.key, key, sizeof(sentence.key) - 1);
	if (vec_push(&work->advice->sentences, sentence)) {
		work->r = -ENOMEM;
		return NULL;
	}
	return &work->advice->sentences.items[work->advice->sentences.count - 1].text;
}

static double mean_size(const struct heap_sum *sum)
{
	double count = heap_sum_count(sum);

	return count > 0 ? (double)sum->bytes / count : 0;
}

/* ---- rules ---- */

static void leak(struct work *work, const struct heap_row *row)
{
	struct strbuf *out;

	if (row->worst.verdict != HEAP_LEAKS)
		return;
	out = begin(work, "leak", row->worst_stack);
	if (!out)
		return;
	put_function(out, work, row->frame);
	strbuf_puts(out, " leaks: it ");
	heap_growth_put(out, &row->worst);
}

static void churn(struct work *work, const struct heap_row *row)
{
	double all = heap_sum_count(&row->sum.alloc);
	double brief = heap_sum_count(&row->sum.temporary);
	struct strbuf *out;

	if (brief < HEAP_CHURN_RATE * work->seconds || brief < HEAP_CHURN_SHARE * all)
		return;
	out = begin(work, "churn", row->sum.stack);
	if (!out)
		return;
	put_function(out, work, row->frame);
	strbuf_puts(out, " makes ");
	put_number(out, brief / work->seconds);
	strbuf_puts(out, " allocations/s of ");
	put_bytes(out, mean_size(&row->sum.temporary));
	strbuf_printf(out, " that live < 1 ms (%.0f %% of all it makes): reuse or pool them",
		      100 * fmin(brief / all, 1));
}

static void small(struct work *work, const struct heap_row *row)
{
	struct heap_sum inuse = heap_view_sum(&row->sum, HEAP_INUSE);
	double count = heap_sum_count(&inuse), size = mean_size(&inuse);
	struct strbuf *out;

	if (count < HEAP_SMALL_OBJECTS || size > HEAP_SMALL_BYTES)
		return;
	out = begin(work, "small", row->sum.stack);
	if (!out)
		return;
	put_function(out, work, row->frame);
	strbuf_puts(out, " has ");
	put_number(out, count);
	strbuf_puts(out, " objects of ");
	put_bytes(out, size);
	strbuf_puts(out,
		    " in use: an allocator adds 8 to 16 bytes to each; keep many in one piece");
}

static void large(struct work *work, const struct heap_row *row)
{
	double rate = heap_sum_count(&row->sum.alloc) / work->seconds;
	double size = mean_size(&row->sum.alloc);
	struct strbuf *out;

	if (size < HEAP_LARGE_BYTES || rate < HEAP_LARGE_RATE ||
	    !heap_histogram_total(row->sum.lives) ||
	    heap_quantile(row->sum.lives, 0.5) > HEAP_LARGE_LIFE_NS)
		return;
	out = begin(work, "large", row->sum.stack);
	if (!out)
		return;
	put_function(out, work, row->frame);
	strbuf_puts(out, " makes ");
	put_number(out, rate);
	strbuf_puts(out, " allocations/s of ");
	put_bytes(out, size);
	strbuf_puts(out, ", half of which live less than ");
	text_put_value(out, (uint64_t)heap_quantile(row->sum.lives, 0.5), "nanoseconds");
	strbuf_puts(out, ": such large ones are mapped and faulted in anew each time; keep the "
			 "buffer");
}

static void peak(struct work *work, const struct heap_rows *rows)
{
	const struct heap_site *all = &rows->total;
	uint64_t now = profile_sum(all->live.bytes, all->leaked.bytes);
	const struct heap_row *most = NULL;
	struct strbuf *out;

	if (work->data->breaks || all->peak.bytes < HEAP_PEAK_BYTES ||
	    (double)all->peak.bytes < HEAP_PEAK_TIMES * (double)now)
		return;
	for (size_t i = 0; i < rows->rows.count; i++)
		if (!most || rows->rows.items[i].sum.peak.bytes > most->sum.peak.bytes)
			most = &rows->rows.items[i];
	out = most ? begin(work, "peak", most->sum.stack) : NULL;
	if (!out)
		return;
	strbuf_puts(out, "the peak of ");
	put_bytes(out, (double)all->peak.bytes);
	strbuf_printf(out, " at %.1f s is ", (double)work->data->peak_ns / 1e9);
	if (now)
		strbuf_printf(out, "%.3g times what is in use at the end; ",
			      (double)all->peak.bytes / (double)now);
	else
		strbuf_puts(out, "all gone at the end; ");
	put_function(out, work, most->frame);
	strbuf_puts(out, " had ");
	text_put_percent(out, most->sum.peak.bytes, all->peak.bytes);
	strbuf_puts(out, " of it: work in smaller parts there");
}

/* The last value of a series, of all processes together. */
static uint64_t last_of(const struct profile *profile, const char *group, const char *name)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < profile->series.count; i++) {
		const struct series *series = &profile->series.items[i];

		if (strcmp(profile_text(profile, series->group), group) != 0 ||
		    strcmp(profile_text(profile, series->name), name) != 0)
			continue;
		for (size_t k = series->points.count; k-- > 0;) {
			if (series->points.items[k].value == SERIES_UNKNOWN)
				continue;
			sum = profile_sum(sum, series->points.items[k].value);
			break;
		}
	}
	return sum;
}

static void gap(struct work *work)
{
	const struct profile *profile = work->profile;
	uint64_t other = last_of(profile, "heap", "other anonymous");
	uint64_t live = last_of(profile, "heap", "live heap");
	struct strbuf *out;

	work->advice->anon_bytes = other ? profile_sum(other, live) : 0;
	work->advice->live_bytes = live;
	if (other < HEAP_GAP_BYTES || (double)other < HEAP_GAP_SHARE * (double)(other + live))
		return;
	out = begin(work, "gap", PROFILE_NONE);
	if (!out)
		return;
	strbuf_puts(out, "of ");
	put_bytes(out, (double)(other + live));
	strbuf_puts(out, " anonymous memory only ");
	put_bytes(out, (double)live);
	strbuf_puts(out,
		    " is live heap: the rest is what was allocated before, is not allocated by "
		    "malloc, or was freed and is kept by the allocator (fragmentation); of the "
		    "latter a trim, fewer arenas or another allocator give some back");
}

/* ---- the pattern ---- */

static double large_share(const struct heap_site *site)
{
	double large_bytes = 0, all = 0;

	for (unsigned int i = 0; i < HEAP_BUCKETS; i++) {
		double bytes = (double)site->sizes[i] * ldexp(1.5, (int)i);

		all += bytes;
		if (ldexp(1, (int)i) >= HEAP_LARGE_BYTES)
			large_bytes += bytes;
	}
	return all > 0 ? large_bytes / all : 0;
}

static const char *rhythm(const struct work *work, const struct heap_site *all,
			  struct report_windows *windows)
{
	uint32_t space = profile_find_value_type(work->profile, "alloc_space", "bytes");
	struct report_windows found = {0};

	if (space == PROFILE_NONE || report_windows(work->profile, space, 0, &found) ||
	    found.count < 10 || (double)all->alloc.n / (double)found.count < HEAP_BURST_SAMPLES)
		return "unknown";
	*windows = found;
	return (double)found.mean > HEAP_BURST_TIMES * (double)found.p50 ? "bursts" : "even";
}

static void describe(struct work *work, const struct heap_rows *rows)
{
	static const char *const trends[] = {
		[HEAP_UNKNOWN] = "unknown", [HEAP_STEADY] = "steady", [HEAP_SHRINKS] = "shrinking",
		[HEAP_SETTLED] = "settled", [HEAP_GROWS] = "growing", [HEAP_LEAKS] = "growing",
	};
	struct heap_advice *advice = work->advice;
	const struct heap_site *all = &rows->total;
	struct report_windows windows = {0};

	advice->rate = heap_sum_count(&all->alloc) / work->seconds;
	advice->byte_rate = (double)all->alloc.bytes / work->seconds;
	advice->size_p50 = heap_quantile(all->sizes, 0.5);
	advice->large_share = large_share(all);
	advice->sizes = advice->large_share >= HEAP_PATTERN_LARGE_SHARE ? "few large"
			: advice->size_p50 <= HEAP_PATTERN_SMALL        ? "many small"
									: "mixed";
	advice->trend = trends[rows->growth.verdict];
	advice->rhythm = rhythm(work, all, &windows);
	put_number(&advice->facts, advice->rate);
	strbuf_puts(&advice->facts, " allocations/s, ");
	put_bytes(&advice->facts, advice->byte_rate);
	strbuf_puts(&advice->facts, "/s");
	if (advice->size_p50 > 0) {
		strbuf_puts(&advice->facts, "; half are below ");
		put_bytes(&advice->facts, advice->size_p50);
		strbuf_printf(&advice->facts,
			      ", %.0f %% of the bytes in pieces of 128 KiB and more",
			      100 * advice->large_share);
	}
	if (rows->growth.verdict != HEAP_UNKNOWN) {
		strbuf_puts(&advice->facts, "; live heap ");
		heap_growth_put_slope(&advice->facts, &rows->growth);
	}
	if (windows.count) {
		strbuf_puts(&advice->facts, "; a second has ");
		put_bytes(&advice->facts, (double)windows.p50);
		strbuf_puts(&advice->facts, " at the median, ");
		put_bytes(&advice->facts, (double)windows.mean);
		strbuf_puts(&advice->facts, " on average");
	}
}

int heap_advice_init(struct heap_advice *advice, const struct profile *profile,
		     const struct heap_data *data, const struct heap_rows *rows)
{
	static void (*const rules[])(struct work *, const struct heap_row *) = {leak, churn, large,
										small};
	struct work work = {.advice = advice,
			    .profile = profile,
			    .data = data,
			    .seconds = fmax((double)profile->duration_ns / 1e9, 1e-3)};

	*advice = (struct heap_advice){.sizes = "", .trend = "", .rhythm = ""};
	describe(&work, rows);
	for (size_t rule = 0; rule < sizeof(rules) / sizeof(*rules); rule++)
		for (size_t i = 0; i < rows->rows.count; i++)
			rules[rule](&work, &rows->rows.items[i]);
	peak(&work, rows);
	gap(&work);
	for (size_t i = 0; i < advice->sentences.count; i++)
		if (strbuf_error(&advice->sentences.items[i].text))
			work.r = -ENOMEM;
	if (work.r)
		heap_advice_deinit(advice);
	return work.r;
}

void heap_advice_deinit(struct heap_advice *advice)
{
	for (size_t i = 0; i < advice->sentences.count; i++)
		strbuf_deinit(&advice->sentences.items[i].text);
	vec_free(&advice->sentences);
	strbuf_deinit(&advice->facts);
}
