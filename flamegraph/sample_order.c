/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/sample_order.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/labels.h"

struct order {
	const struct profile *profile;
	const struct labels *labels;
	const uint32_t *rank; /* of labels */
	bool by_time;
};

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

static int compare_stacks(const struct order *order, uint32_t left, uint32_t right)
{
	const struct profile *profile = order->profile;
	size_t a_count, b_count;
	const uint32_t *a = profile_stack_frames(profile, left, &a_count);
	const uint32_t *b = profile_stack_frames(profile, right, &b_count);

	for (size_t i = 0; i < a_count && i < b_count; i++) {
		const struct profile_frame *x = &profile->frames.items[a[i]];
		const struct profile_frame *y = &profile->frames.items[b[i]];
		int by = compare_numbers(order->rank[order->labels->of_frame[a[i]]],
					 order->rank[order->labels->of_frame[b[i]]]);

		if (a[i] == b[i])
			continue;
		if (!by)
			by = compare_numbers(x->address, y->address);
		if (!by)
			by = compare_numbers(x->line, y->line);
		if (!by)
			by = strcmp(profile_text(profile, x->file), profile_text(profile, y->file));
		if (by)
			return by;
	}
	return compare_numbers(a_count, b_count);
}

static int compare_samples(const void *left, const void *right, void *context)
{
	const struct order *order = context;
	const struct profile *profile = order->profile;
	const struct profile_sample *a = &profile->samples.items[*(const uint32_t *)left];
	const struct profile_sample *b = &profile->samples.items[*(const uint32_t *)right];
	int by = order->by_time ? compare_numbers(a->bucket, b->bucket) : 0;

	if (!by && a->process != b->process) {
		if (a->process == PROFILE_NONE || b->process == PROFILE_NONE)
			return a->process == PROFILE_NONE ? -1 : 1;
		by = compare_numbers(profile->processes.items[a->process].pid,
				     profile->processes.items[b->process].pid);
	}
	if (!by && a->comm != b->comm)
		by = compare_numbers(order->rank[order->labels->of_comm[a->comm]],
				     order->rank[order->labels->of_comm[b->comm]]);
	if (!by && a->stack != b->stack)
		by = compare_stacks(order, a->stack, b->stack);
	if (!by)
		by = compare_numbers(a->process, b->process);
	return by ? by : compare_numbers(a->stack, b->stack);
}

uint32_t *sample_order(const struct profile *profile, bool by_time)
{
	size_t count = profile->samples.count;
	uint32_t *indexes = malloc((count + 1) * sizeof(*indexes));
	_cleanup_free_ uint32_t *rank = NULL;
	struct labels labels;
	struct order order = {.profile = profile, .labels = &labels, .by_time = by_time};

	if (!indexes || labels_init(&labels, profile, LABELS_FUNCTION)) {
		free(indexes);
		return NULL;
	}
	rank = labels_rank(&labels);
	order.rank = rank;
	for (uint32_t i = 0; i < count; i++)
		indexes[i] = i;
	if (rank && count) {
		qsort_r(indexes, count, sizeof(*indexes), compare_samples, &order);
	} else if (!rank) {
		free(indexes);
		indexes = NULL;
	}
	labels_deinit(&labels);
	return indexes;
}
