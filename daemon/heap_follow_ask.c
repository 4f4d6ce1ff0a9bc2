/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is asked of followed processes and their windows (heap_follow.h).
 */
#include "daemon/heap_follow.h"

#include <math.h>

#include "daemon/base/clock.h"
#include "daemon/stack_table.h"

struct heap_followed *heap_follow_find(const struct heap_follow *follow,
				       const struct process *process)
{
	for (size_t i = 0; i < follow->processes.count; i++)
		if (follow->processes.items[i]->process == process)
			return follow->processes.items[i];
	return NULL;
}

struct heap_file *heap_follow_file(const struct heap_follow *follow, uint32_t image)
{
	for (size_t i = 0; i < follow->files.count; i++)
		if (follow->files.items[i]->image == image)
			return follow->files.items[i];
	return NULL;
}

double heap_follow_weigh(const struct heap_follow *follow, const struct process *process,
			 uint64_t time, uint32_t code, double size)
{
	struct heap_followed *followed = heap_follow_find(follow, process);
	double interval = (double)follow->config->heap_interval_bytes;

	if (followed && heap_windows_at(&followed->windows, time))
		return heap_rules_weigh(&followed->rules, code, size);
	/* Seen after its window's end: the next one stands for it. */
	if (followed && followed->windows.began)
		return 0;
	return code == ABI_WEIGHT_BAND ? size : size / -expm1(-size / interval);
}

void heap_follow_saw(const struct heap_follow *follow, const struct process *process, double size,
		     double bytes)
{
	struct heap_followed *followed = heap_follow_find(follow, process);

	if (followed)
		heap_rules_saw(&followed->rules, size, bytes);
}

bool heap_follow_blind(struct heap_follow *follow, const struct process *process, uint64_t time)
{
	struct heap_followed *followed = heap_follow_find(follow, process);

	if (!followed || !followed->blind || time < followed->blind)
		return false;
	followed->blind = 0;
	return true;
}

bool heap_follow_inside(const struct heap_follow *follow, uint32_t image, uint64_t offset)
{
	const struct heap_file *file = heap_follow_file(follow, image);

	return file && file->state == HEAP_FILE_KNOWN && probe_points_within(&file->points, offset);
}

/* While several processes' fates are followed each allocation has a return probe (the kernel
 * asks only a probe's own process whether it wants one: uprobe_prog_run() in
 * kernel/trace/bpf_trace.c); that is half of the hits, the others are frees. */
uint32_t heap_follow_hit_ns(const struct heap_follow *follow)
{
	const struct heap_cost *cost = &follow->source->heap->cost;

	return cost->hit_ns + (follow->fated > 1 ? cost->return_ns / 2 : 0);
}

uint64_t heap_follow_probes(const struct heap_follow *follow)
{
	uint64_t count = 0;

	for (size_t i = 0; i < follow->processes.count; i++) {
		const struct heap_followed *followed = follow->processes.items[i];

		for (size_t f = 0; f < followed->files.count; f++)
			count += source_heap_count(&followed->files.items[f].calls);
	}
	for (size_t i = 0; i < follow->files.count; i++)
		count += source_heap_count(&follow->files.items[i]->notes);
	return count;
}

double heap_follow_observed(const struct heap_follow *follow)
{
	uint64_t observed = follow->observed_ns, whole = follow->whole_ns;
	uint64_t now = clock_boot_ns();

	for (size_t i = 0; i < follow->processes.count; i++) {
		const struct heap_windows *windows = &follow->processes.items[i]->windows;

		observed += heap_windows_observed(windows, now);
		whole += heap_windows_whole(windows, now);
	}
	return whole ? (double)observed / (double)whole : 1;
}

void heap_follow_mark(const struct heap_follow *follow, bool *used, size_t count)
{
	for (size_t i = 0; i < follow->files.count; i++)
		if (follow->files.items[i]->image <= count)
			used[follow->files.items[i]->image - 1] = true;
}

void heap_follow_keep_stacks(const struct heap_follow *follow, bool *keep)
{
	for (size_t i = 0; i < follow->processes.count; i++) {
		const struct heap_windows *windows = &follow->processes.items[i]->windows;

		for (size_t k = 0; k < windows->seen.count; k++)
			if (windows->seen.items[k].stack != STACK_NONE)
				keep[windows->seen.items[k].stack] = true;
	}
}

void heap_follow_renumber(struct heap_follow *follow, const uint32_t *moved)
{
	for (size_t i = 0; i < follow->processes.count; i++) {
		struct heap_windows *windows = &follow->processes.items[i]->windows;

		for (size_t k = 0; k < windows->seen.count; k++) {
			struct heap_seen *seen = &windows->seen.items[k];

			if (seen->stack != STACK_NONE)
				seen->stack = moved ? moved[seen->stack] : STACK_NONE;
		}
	}
}
