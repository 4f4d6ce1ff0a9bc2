/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/report.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/profile_internal.h"

uint64_t report_samples(const struct profile *profile)
{
	uint32_t type = profile_find_value_type(profile, "samples", "count");
	uint64_t sampled = profile_count_of(profile, PROFILE_SAMPLED_KEY);

	if (type != PROFILE_NONE)
		return profile_total(profile, type);
	return sampled ? sampled : profile->samples.count;
}

uint64_t report_lost(const struct profile *profile)
{
	uint64_t lost = 0;

	for (size_t i = 0; i < profile->counts.count; i++) {
		if (profile->counts.items[i].is_loss)
			lost = profile_sum(lost, profile->counts.items[i].count);
	}
	return lost;
}

struct stack_sum {
	uint64_t value;
	double squares;
};

/* Sums by stack first: a stack is sampled many times, and walked once here. */
static struct stack_sum *sum_stacks(const struct profile *profile, uint32_t value_type)
{
	struct stack_sum *sums = calloc(profile->stack_ends.count, sizeof(*sums));
	uint32_t count_type = profile_find_value_type(profile, "samples", "count");

	for (size_t i = 0; sums && i < profile->samples.count; i++) {
		const uint64_t *values = &profile->values.items[i * profile->value_type_count];
		struct stack_sum *sum = &sums[profile->samples.items[i].stack];
		double value = (double)values[value_type];

		sum->value = profile_sum(sum->value, values[value_type]);
		if (count_type != PROFILE_NONE && values[count_type])
			sum->squares += value * value / (double)values[count_type];
	}
	return sums;
}

/* `seen[label]` is the last stack whose value the row got: once a stack. */
static void add_stack(struct report *report, const struct profile *profile, uint32_t stack,
		      const struct stack_sum *sum, uint32_t *seen)
{
	size_t count;
	const uint32_t *frames = profile_stack_frames(profile, stack, &count);

	for (size_t i = 0; i < count; i++) {
		uint32_t label = report->labels.of_frame[frames[i]];
		struct report_row *row = &report->rows.items[label];

		if (seen[label] != stack) {
			row->total = profile_sum(row->total, sum->value);
			row->total_squares += sum->squares;
		}
		seen[label] = stack;
		if (i + 1 == count) {
			row->self = profile_sum(row->self, sum->value);
			row->self_squares += sum->squares;
		}
	}
}

static int compare_rows(const void *left, const void *right, void *context)
{
	const struct report_row *a = left, *b = right;
	const uint32_t *rank = context;

	if (a->self != b->self)
		return a->self > b->self ? -1 : 1;
	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	return rank[a->label] < rank[b->label] ? -1 : 1;
}

static void sort_and_cut(struct report *report, const uint32_t *rank, size_t top)
{
	size_t kept = 0;

	for (size_t i = 0; i < report->rows.count; i++) {
		if (report->rows.items[i].total)
			report->rows.items[kept++] = report->rows.items[i];
	}
	report->rows.count = report->rows_all = kept;
	if (kept)
		qsort_r(report->rows.items, kept, sizeof(*report->rows.items), compare_rows,
			(void *)rank);
	if (top && kept > top)
		report->rows.count = top;
}

static int compute_rows(struct report *report, const struct profile *profile, uint32_t value_type,
			size_t top)
{
	size_t labels = report->labels.items.count;
	_cleanup_free_ struct stack_sum *sums = sum_stacks(profile, value_type);
	_cleanup_free_ uint32_t *seen = calloc(labels + 1, sizeof(*seen));
	_cleanup_free_ uint32_t *rank = labels_rank(&report->labels);

	if (!sums || !seen || !rank || vec_reserve(&report->rows, labels))
		return -ENOMEM;
	for (uint32_t i = 0; i < labels; i++)
		report->rows.items[i] = (struct report_row){.label = i};
	report->rows.count = labels;
	report->squares = sums[0].squares;
	for (uint32_t stack = 1; stack < profile->stack_ends.count; stack++) {
		report->squares += sums[stack].squares;
		if (sums[stack].value)
			add_stack(report, profile, stack, &sums[stack], seen);
	}
	sort_and_cut(report, rank, top);
	return 0;
}

int report_compute(const struct profile *profile, uint32_t value_type, size_t top,
		   struct report *ret)
{
	struct report report = {
		.total = profile_total(profile, value_type),
		.samples = report_samples(profile),
		.lost = report_lost(profile),
	};
	int r;

	if (value_type >= profile->value_type_count)
		return -EINVAL;
	r = labels_init(&report.labels, profile, LABELS_FUNCTION);
	if (r)
		return r;
	r = compute_rows(&report, profile, value_type, top);
	if (r) {
		report_deinit(&report);
		return r;
	}
	*ret = report;
	return 0;
}

static struct confidence share(const struct report *report, uint64_t value, double squares)
{
	const struct confidence_sum part = {.weight = (double)value, .squares = squares};
	const struct confidence_sum all = {.weight = (double)report->total,
					   .squares = report->squares};

	return confidence_of_share(&part, &all);
}

struct confidence report_self_share(const struct report *report, const struct report_row *row)
{
	return share(report, row->self, row->self_squares);
}

struct confidence report_total_share(const struct report *report, const struct report_row *row)
{
	return share(report, row->total, row->total_squares);
}

void report_deinit(struct report *report)
{
	labels_deinit(&report->labels);
	vec_free(&report->rows);
}

static int compare_sums(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

/* The smallest value that at least `percent` of the sorted ones do not exceed. */
static uint64_t percentile(const uint64_t *sums, size_t count, unsigned percent)
{
	size_t rank = (count * percent + 99) / 100;

	return sums[rank ? rank - 1 : 0];
}

/* The duration may end within a window, or before a sample that came late. */
static uint64_t window_count(const struct profile *profile, uint64_t merge)
{
	uint64_t width = profile->bucket_ns * merge;
	uint64_t whole = profile->duration_ns / width;
	uint64_t count = whole + (profile->duration_ns % width > 0);

	for (size_t i = 0; i < profile->samples.count; i++) {
		if (profile->samples.items[i].bucket / merge >= count)
			count = (uint64_t)profile->samples.items[i].bucket / merge + 1;
	}
	return whole > 1 && count == whole + 1 ? whole : count;
}

static void measure_windows(uint64_t *sums, struct report_windows *windows)
{
	size_t count = windows->count;
	uint64_t total = 0;

	for (size_t i = 0; i < count; i++)
		total = profile_sum(total, sums[i]);
	qsort(sums, count, sizeof(*sums), compare_sums);
	windows->min = sums[0];
	windows->max = sums[count - 1];
	windows->mean = total / count;
	windows->p50 = percentile(sums, count, 50);
	windows->p90 = percentile(sums, count, 90);
	windows->p99 = percentile(sums, count, 99);
}

int report_windows(const struct profile *profile, uint32_t value_type, uint64_t window_ns,
		   struct report_windows *ret)
{
	uint64_t least = window_ns ? window_ns : REPORT_WINDOW_NS, merge = 1, count;
	struct report_windows windows = {0};
	_cleanup_free_ uint64_t *sums = NULL;

	if (profile->bucket_ns && profile->bucket_ns < least)
		merge = (least + profile->bucket_ns - 1) / profile->bucket_ns;
	count = profile->bucket_ns ? window_count(profile, merge) : 0;
	if (!count) {
		*ret = windows;
		return 0;
	}
	if (count > REPORT_WINDOWS_MAX)
		return -E2BIG;
	sums = calloc(count, sizeof(*sums));
	if (!sums)
		return -ENOMEM;
	for (size_t i = 0; i < profile->samples.count; i++) {
		uint64_t value = profile->values.items[i * profile->value_type_count + value_type];
		uint64_t window = profile->samples.items[i].bucket / merge;

		if (window < count)
			sums[window] = profile_sum(sums[window], value);
	}
	windows.width_ns = profile->bucket_ns * merge;
	windows.count = count;
	measure_windows(sums, &windows);
	*ret = windows;
	return 0;
}

const char *report_kind_name(uint32_t kind)
{
	static const char *const names[] = {
		[FRAME_USER] = "user",
		[FRAME_KERNEL] = "kernel",
		[FRAME_INLINE] = "inlined",
		[FRAME_JIT] = "jit",
		[FRAME_INTERPRETED] = "interpreted",
		[FRAME_SPECIAL] = "special",
		[LABEL_COMM] = "thread",
	};

	_Static_assert(sizeof(names) / sizeof(*names) == FRAME_KIND_COUNT + 1, "all kinds");
	return kind <= FRAME_KIND_COUNT ? names[kind] : "";
}
