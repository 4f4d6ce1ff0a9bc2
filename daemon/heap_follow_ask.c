/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is asked of followed processes and their windows (heap_follow.h).
 */
#include "daemon/heap_follow.h"

#include <math.h>

#include "daemon/base/clock.h"

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

/* By its rule, times the share of time that the window is. */
double heap_follow_weigh(const struct heap_follow *follow, const struct process *process,
			 uint64_t time, uint32_t code, double size, double *ret_own)
{
	struct heap_followed *followed = heap_follow_find(follow, process);
	double interval = (double)follow->config->heap_interval_bytes;

	for (uint32_t i = 0; followed && i < HEAP_WINDOWS; i++) {
		const struct heap_window *window = &followed->windows[i];
		double share = 1;

		if (time < window->from || time >= window->until)
			continue;
		if (window->stands_for)
			share = (double)window->stands_for / (double)(window->until - window->from);
		*ret_own = heap_rules_weigh(&followed->rules, code, size);
		return *ret_own * share;
	}
	/* Seen after its window's end: the next one stands for it. */
	*ret_own = 0;
	if (followed && followed->began)
		return 0;
	*ret_own = code == ABI_WEIGHT_BAND ? size : size / -expm1(-size / interval);
	return *ret_own;
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

static uint64_t observed_of(const struct heap_followed *followed, uint64_t now)
{
	bool open = followed->probing == HEAP_IN;

	return followed->observed_ns +
	       (open && now > followed->opened ? now - followed->opened : 0);
}

void heap_follow_progress(struct heap_followed *followed, uint64_t now, uint64_t *ret_whole_ns,
			  uint64_t *ret_observed_ns)
{
	uint64_t observed = observed_of(followed, now);
	uint64_t whole = followed->began && now > followed->began ? now - followed->began : 0;

	*ret_whole_ns = whole > followed->told_whole_ns ? whole - followed->told_whole_ns : 0;
	*ret_observed_ns =
		observed > followed->told_observed_ns ? observed - followed->told_observed_ns : 0;
	followed->told_whole_ns += *ret_whole_ns;
	followed->told_observed_ns += *ret_observed_ns;
}

bool heap_follow_inside(const struct heap_follow *follow, uint32_t image, uint64_t offset)
{
	const struct heap_file *file = heap_follow_file(follow, image);

	return file && file->state == HEAP_FILE_KNOWN && probe_points_within(&file->points, offset);
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
		const struct heap_followed *followed = follow->processes.items[i];

		if (!followed->began)
			continue;
		observed += observed_of(followed, now);
		whole += now - followed->began;
	}
	return whole ? (double)observed / (double)whole : 1;
}

void heap_follow_mark(const struct heap_follow *follow, bool *used, size_t count)
{
	for (size_t i = 0; i < follow->files.count; i++)
		if (follow->files.items[i]->image <= count)
			used[follow->files.items[i]->image - 1] = true;
}
