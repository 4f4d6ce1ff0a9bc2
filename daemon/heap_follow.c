/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap_follow.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#define WINDOW_NS (20 * NSEC_PER_MSEC) /* where the budget is not enough for all the time */
#define LONG_WINDOW_NS (250 * NSEC_PER_MSEC) /* elsewhere */
#define REST_MAX_NS (60 * NSEC_PER_SEC)
#define PATIENCE_NS (2 * NSEC_PER_SEC) /* until all of a process's files have been looked at */

void heap_follow_init(struct heap_follow *follow, struct source *source, struct resolver *resolver,
		      const struct config *config)
{
	*follow = (struct heap_follow){.source = source, .resolver = resolver, .config = config};
	heap_follow_set_budget(follow, config->heap_budget_permille);
}

void heap_follow_set_budget(struct heap_follow *follow, double permille)
{
	follow->budget = permille / 1e3;
}

static void forget_files(struct heap_followed *followed)
{
	for (size_t i = 0; i < followed->files.count; i++) {
		source_heap_detach(&followed->files.items[i].notes);
		source_heap_detach(&followed->files.items[i].calls);
	}
	vec_clear(&followed->files);
	followed->has_notes = followed->has_calls = followed->in = false;
}

static void followed_destroy(struct heap_follow *follow, struct heap_followed *followed)
{
	forget_files(followed);
	vec_free(&followed->files);
	source_heap_set_target(follow->source->heap, followed->process->pid, NULL);
	process_unref(followed->process);
	free(followed);
}

void heap_follow_deinit(struct heap_follow *follow)
{
	for (size_t i = 0; i < follow->processes.count; i++)
		followed_destroy(follow, follow->processes.items[i]);
	vec_free(&follow->processes);
	for (size_t i = 0; i < follow->files.count; i++)
		free(follow->files.items[i]);
	vec_free(&follow->files);
}

static struct heap_followed *find(const struct heap_follow *follow, const struct process *process)
{
	for (size_t i = 0; i < follow->processes.count; i++)
		if (follow->processes.items[i]->process == process)
			return follow->processes.items[i];
	return NULL;
}

static int set_window(struct heap_follow *follow, struct heap_followed *followed, uint64_t from,
		      uint64_t length)
{
	const struct heap_window *before = &followed->windows[followed->window];
	uint32_t next = (followed->window + 1) % HEAP_WINDOWS;
	uint64_t since = before->until ? before->until : from;
	struct abi_heap_target target = {.from = from,
					 .until = from + length,
					 .interval = follow->config->heap_interval_bytes};
	struct abi_heap_target was;

	if (source_heap_target(follow->source->heap, followed->process->pid, &was))
		target.hits = was.hits;
	followed->windows[next] = (struct heap_window){
		.from = from, .until = from + length, .stands_for = from + length - since};
	followed->window = next;
	followed->hits = target.hits;
	followed->next = from + length;
	followed->observed_ns += length;
	followed->whole_ns += followed->windows[next].stands_for;
	return source_heap_set_target(follow->source->heap, followed->process->pid, &target);
}

int heap_follow_add(struct heap_follow *follow, struct process *process)
{
	struct abi_heap_target target = {.interval = follow->config->heap_interval_bytes};
	struct heap_followed *followed;
	int r;

	if (find(follow, process))
		return 0;
	followed = calloc(1, sizeof(*followed));
	if (!followed || vec_push(&follow->processes, followed)) {
		free(followed);
		return -ENOMEM;
	}
	followed->process = process_ref(process);
	followed->execs = process->execs;
	/* Notes' probes count from now on; functions' with their first window. */
	r = source_heap_set_target(follow->source->heap, process->pid, &target);
	if (r)
		log_debug("pid %u: the probes' map is full: %d", process->pid, r);
	return 0;
}

void heap_follow_remove(struct heap_follow *follow, const struct process *process)
{
	for (size_t i = 0; i < follow->processes.count; i++) {
		if (follow->processes.items[i]->process != process)
			continue;
		followed_destroy(follow, follow->processes.items[i]);
		follow->processes.items[i] = follow->processes.items[--follow->processes.count];
		return;
	}
}

/* ---- files ---- */

static void on_points(void *context, int error, const char *text, const struct probe_points *points)
{
	struct heap_file *file = context;

	file->known = true;
	if (error)
		log_debug("image %u: no probes: %s", file->image, text);
	else
		file->points = *points;
}

static struct heap_file *get_file(struct heap_follow *follow, uint32_t image)
{
	struct heap_file *file;

	for (size_t i = 0; i < follow->files.count; i++)
		if (follow->files.items[i]->image == image)
			return follow->files.items[i];
	file = calloc(1, sizeof(*file));
	if (!file || vec_push(&follow->files, file)) {
		free(file);
		return NULL;
	}
	file->image = image;
	return file;
}

/* The file by the mapping itself: the one that the process really has, wherever it lies
 * and whether it is deleted or not. */
static void path_of(const struct heap_followed *followed, uint32_t image, char *path, size_t size)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;

	path[0] = 0;
	while ((mapping = mapping_set_next(followed->process->maps, &place)))
		if (mapping->image == image) {
			snprintf(path, size, "/proc/%u/map_files/%" PRIx64 "-%" PRIx64,
				 followed->process->pid, mapping->start, mapping->end);
			return;
		}
}

static void put_in(struct heap_follow *follow, struct heap_followed *followed,
		   struct heap_mapped *mapped, bool calls)
{
	struct heap_file *file = get_file(follow, mapped->image);
	char path[96];

	path_of(followed, mapped->image, path, sizeof(path));
	for (size_t i = 0; file && path[0] && i < file->points.count; i++) {
		const struct probe_point *point = &file->points.items[i];
		bool note = point->probe == ABI_PROBE_ALLOC || point->probe == ABI_PROBE_FREE;
		int r;

		if (note == calls)
			continue;
		r = source_heap_attach(follow->source->heap, (pid_t)followed->process->pid, path,
				       point, calls ? &mapped->calls : &mapped->notes);
		if (r) {
			follow->failed++;
			log_debug("pid %u: no probe at %s+0x%" PRIx64 ": %d",
				  followed->process->pid, path, point->offset, r);
		}
	}
}

/* A file's places have come. */
static void settle(struct heap_follow *follow, struct heap_followed *followed,
		   struct heap_mapped *mapped, const struct heap_file *file)
{
	mapped->done = true;
	for (size_t i = 0; i < file->points.count; i++) {
		uint8_t probe = file->points.items[i].probe;

		if (probe == ABI_PROBE_ALLOC || probe == ABI_PROBE_FREE)
			followed->has_notes = true;
		else
			followed->has_calls = true;
	}
	put_in(follow, followed, mapped, false);
	if (followed->in)
		put_in(follow, followed, mapped, true);
}

/* What cannot be opened has no probes. */
static void ask(struct heap_follow *follow, struct heap_file *file)
{
	int r = resolver_ask_probes(follow->resolver, file->image, on_points, file);

	file->asked = r != -EAGAIN;
	file->known = r && r != -EAGAIN;
}

static void look_at_files(struct heap_follow *follow, struct heap_followed *followed)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;

	bool settled = true;

	while ((mapping = mapping_set_next(followed->process->maps, &place))) {
		struct heap_mapped *mapped = NULL;
		struct heap_file *file;

		if (!mapping->image || mapping->memory)
			continue;
		for (size_t i = 0; i < followed->files.count; i++)
			if (followed->files.items[i].image == mapping->image)
				mapped = &followed->files.items[i];
		if (!mapped) {
			if (vec_push(&followed->files,
				     (struct heap_mapped){.image = mapping->image}))
				return;
			mapped = &followed->files.items[followed->files.count - 1];
		}
		if (mapped->done)
			continue;
		file = get_file(follow, mapping->image);
		if (file && !file->asked)
			ask(follow, file);
		if (file && file->known)
			settle(follow, followed, mapped, file);
		settled = settled && mapped->done;
	}
	if (settled)
		followed->unsettled = 0;
	else if (!followed->unsettled)
		followed->unsettled = clock_boot_ns();
}

/* ---- windows ---- */

static void take_out(struct heap_followed *followed)
{
	for (size_t i = 0; i < followed->files.count; i++)
		source_heap_detach(&followed->files.items[i].calls);
	followed->in = false;
}

static void begin(struct heap_follow *follow, struct heap_followed *followed)
{
	followed->in = true;
	for (size_t i = 0; i < followed->files.count; i++)
		if (followed->files.items[i].done)
			put_in(follow, followed, &followed->files.items[i], true);
	set_window(follow, followed, clock_boot_ns(), WINDOW_NS);
}

static void end_window(struct heap_follow *follow, struct heap_followed *followed, uint64_t now)
{
	const struct heap_window *window = &followed->windows[followed->window];
	struct abi_heap_target target = {0};
	uint64_t hits, cost, in_for = now - window->from;

	source_heap_target(follow->source->heap, followed->process->pid, &target);
	hits = target.hits - followed->hits;
	follow->hits += hits;
	cost = hits * HEAP_HIT_NS;
	if ((double)cost <= (double)in_for * follow->budget) {
		set_window(follow, followed, window->until > now ? window->until : now,
			   LONG_WINDOW_NS);
		return;
	}
	take_out(followed);
	followed->next = window->from + (uint64_t)((double)cost / follow->budget);
	if (followed->next > now + REST_MAX_NS)
		followed->next = now + REST_MAX_NS;
}

static void run_one(struct heap_follow *follow, struct heap_followed *followed, uint64_t now)
{
	/* A library that tells of allocations stands before the allocator that it calls. */
	if (followed->has_notes || !followed->has_calls) {
		if (followed->in)
			take_out(followed);
		followed->next = 0;
		return;
	}
	if (followed->next > now)
		return;
	/* Which of its files is the one that tells? Most are looked at in milliseconds. */
	if (!followed->in && followed->unsettled && now - followed->unsettled < PATIENCE_NS)
		return;
	if (followed->in)
		end_window(follow, followed, now);
	else
		begin(follow, followed);
}

uint64_t heap_follow_run(struct heap_follow *follow, uint64_t now)
{
	uint64_t next = 0;

	for (size_t i = follow->processes.count; i-- > 0;) {
		struct heap_followed *followed = follow->processes.items[i];

		if (followed->process->end) {
			heap_follow_remove(follow, followed->process);
			continue;
		}
		if (followed->execs != followed->process->execs) {
			forget_files(followed);
			followed->execs = followed->process->execs;
		}
		look_at_files(follow, followed);
		run_one(follow, followed, now);
		if (followed->next && (!next || followed->next < next))
			next = followed->next;
	}
	return next;
}

double heap_follow_share(const struct heap_follow *follow, const struct process *process,
			 uint64_t time)
{
	const struct heap_followed *followed = find(follow, process);

	for (uint32_t i = 0; followed && i < HEAP_WINDOWS; i++) {
		const struct heap_window *window = &followed->windows[i];

		if (time >= window->from && time < window->until)
			return (double)window->stands_for / (double)(window->until - window->from);
	}
	return 1;
}

uint64_t heap_follow_probes(const struct heap_follow *follow)
{
	uint64_t count = 0;

	for (size_t i = 0; i < follow->processes.count; i++) {
		const struct heap_followed *followed = follow->processes.items[i];

		for (size_t f = 0; f < followed->files.count; f++)
			count += followed->files.items[f].notes.links.count +
				 followed->files.items[f].calls.links.count;
	}
	return count;
}

double heap_follow_observed(const struct heap_follow *follow)
{
	uint64_t observed = 0, whole = 0;

	for (size_t i = 0; i < follow->processes.count; i++) {
		observed += follow->processes.items[i]->observed_ns;
		whole += follow->processes.items[i]->whole_ns;
	}
	return whole ? (double)observed / (double)whole : 1;
}
