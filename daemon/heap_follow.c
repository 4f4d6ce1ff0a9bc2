/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap_follow.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/heap/control.h"
#include "daemon/heap_follow_windows.h"

#define LOOK_NS                                                                                    \
	(250 * NSEC_PER_MSEC) /* between two looks at the cost, where it is small for long */
#define CLOSE_NS NSEC_PER_MSEC /* a window's end is said so long before it */
#define BLIND_NS (2 * NSEC_PER_SEC) /* new windows wait for an old one's fates, at most */
#define JITTER_PERCENT 20 /* a rest is so much longer or shorter, at most */
#define REST_MAX_NS (60 * NSEC_PER_SEC)
#define TABLES_NS (2 * NSEC_PER_SEC) /* that probes wait for unwind tables, at most */
#define AGAIN_NS NSEC_PER_SEC /* until a file that could not be had is asked for again */
#define TRIES_MAX 3 /* of a file that the worker could not look at for no fault of the file */
#define LOADING_NS (10 * NSEC_PER_MSEC) /* between two looks whether frees can be followed */
#define BEGIN_MAX 4 /* processes that get their probes in one turn of the loop */
#define PATIENCE_NS (2 * NSEC_PER_SEC) /* until all of a process's files have been looked at */

void heap_follow_init(struct heap_follow *follow, struct source *source, struct resolver *resolver,
		      struct unwinder *unwinder, const struct config *config)
{
	*follow = (struct heap_follow){
		.source = source, .resolver = resolver, .unwinder = unwinder, .config = config};
	heap_follow_set_budget(follow, config->heap_budget_permille);
}

void heap_follow_set_budget(struct heap_follow *follow, double permille)
{
	follow->budget = permille / 1e3;
}

static void stop_fates(struct heap_follow *follow, struct heap_followed *followed)
{
	if (!followed->fates)
		return;
	followed->fates = false;
	follow->fated--;
	heap_table_leave(&followed->table, follow->source->heap, followed->process->pid,
			 follow->config->heap_objects, followed->windows.observed_ns,
			 &follow->tables);
}

static void forget_files(struct heap_follow *follow, struct heap_followed *followed)
{
	for (size_t i = 0; i < followed->files.count; i++) {
		struct heap_mapped *mapped = &followed->files.items[i];
		struct heap_file *file = heap_follow_file(follow, mapped->image);

		source_heap_detach(&mapped->calls);
		if (file && mapped->notes && !--file->users)
			source_heap_detach(&file->notes);
	}
	vec_clear(&followed->files);
	followed->has_notes = followed->has_calls = false;
	followed->probing = HEAP_OUT;
	heap_control_forget(&followed->hand);
	stop_fates(follow, followed);
	heap_table_drop(&followed->table, follow->source->heap, followed->process->pid,
			&follow->tables);
}

static void followed_destroy(struct heap_follow *follow, struct heap_followed *followed)
{
	uint64_t now = clock_boot_ns();

	follow->observed_ns += heap_windows_observed(&followed->windows, now);
	follow->whole_ns += heap_windows_whole(&followed->windows, now);
	if (!followed->process->end)
		heap_control_leave(&followed->hand, (pid_t)followed->process->pid);
	forget_files(follow, followed);
	vec_free(&followed->files);
	heap_windows_deinit(&followed->windows);
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

/* A process of a session has its own; those that are looked at all the time share one. Young, it
 * has what was promised, even if perfd's own budget is used up by what its session's opening cost:
 * else a short session would see nothing. */
static double budget_of(const struct heap_follow *follow, const struct heap_followed *followed)
{
	if (followed->process->slots && clock_boot_ns() - followed->since < HEAP_YOUNG_NS)
		return (double)follow->config->heap_budget_permille / 1e3;
	return followed->process->slots || !follow->sharing ? follow->budget
							    : follow->budget / follow->sharing;
}

static bool by_pattern(const struct heap_follow *follow)
{
	return strcmp(follow->config->heap_patterns, "auto") == 0;
}

int heap_follow_add(struct heap_follow *follow, struct process *process)
{
	struct abi_heap_target target = {.view = process->heap_wanted};
	struct heap_followed *followed;
	struct heap_spent spent;
	int r;

	if (heap_follow_find(follow, process))
		return 0;
	followed = calloc(1, sizeof(*followed));
	if (!followed || vec_push(&follow->processes, followed)) {
		free(followed);
		return -ENOMEM;
	}
	followed->process = process_ref(process);
	followed->execs = process->execs;
	followed->since = clock_boot_ns();
	spent = heap_follow_spent(follow, followed);
	heap_windows_init(&followed->windows, followed->since, &spent);
	heap_rules_init(&followed->rules, follow->config->heap_interval_bytes, by_pattern(follow));
	heap_rules_fill(&followed->rules, &target);
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

	file->state = HEAP_FILE_KNOWN;
	if (!error) {
		file->points = *points;
		return;
	}
	log_debug("image %u: no probes: %s", file->image, text);
	if (resolver_is_momentary(error) && file->tries++ < TRIES_MAX) {
		file->state = HEAP_FILE_ABSENT;
		file->ask_at = clock_boot_ns() + AGAIN_NS;
	}
}

static struct heap_file *get_file(struct heap_follow *follow, uint32_t image)
{
	struct heap_file *file = heap_follow_file(follow, image);

	if (file)
		return file;
	file = calloc(1, sizeof(*file));
	if (!file || vec_push(&follow->files, file)) {
		free(file);
		return NULL;
	}
	file->image = image;
	return file;
}

/* Loaders map a file whole and then its other segments over that, so what was told of as a
 * mapping's end need not be it any more: the one that begins there now. */
static void find_link(uint32_t pid, uint64_t start, char *path, size_t size)
{
	char begin[32], folder[48];
	struct dirent *entry;
	DIR *links;

	path[0] = 0;
	snprintf(begin, sizeof(begin), "%" PRIx64 "-", start);
	snprintf(folder, sizeof(folder), "/proc/%u/map_files", pid);
	links = opendir(folder);
	while (links && !path[0] && (entry = readdir(links)))
		if (!strncmp(entry->d_name, begin, strlen(begin)))
			snprintf(path, size, "%s/%.33s", folder, entry->d_name);
	if (links)
		closedir(links);
}

/* The file by the mapping itself: the one that the process really has, wherever it lies
 * and whether it is deleted or not. */
static void path_of(const struct heap_followed *followed, uint32_t image, char *path, size_t size)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;
	struct stat status;

	path[0] = 0;
	while ((mapping = mapping_set_next(followed->process->maps, &place)))
		if (mapping->image == image) {
			snprintf(path, size, "/proc/%u/map_files/%" PRIx64 "-%" PRIx64,
				 followed->process->pid, mapping->start, mapping->end);
			if (lstat(path, &status))
				find_link(followed->process->pid, mapping->start, path, size);
			return;
		}
}

static void put_in(struct heap_follow *follow, struct heap_followed *followed,
		   struct heap_mapped *mapped, bool calls)
{
	struct heap_file *file = get_file(follow, mapped->image);
	enum heap_probes which = HEAP_PROBES_CALLS;
	char path[96];

	if (file && !calls) {
		mapped->notes = true;
		if (file->users++)
			return;
	}
	path_of(followed, mapped->image, path, sizeof(path));
	if (!file || !path[0])
		return;
	if (!calls)
		which = HEAP_PROBES_NOTES;
	else if (followed->fates)
		which = HEAP_PROBES_FATES;
	follow->failed += source_heap_attach(
		follow->source->heap, calls ? (pid_t)followed->process->pid : -1, path,
		&file->points, which, calls ? &mapped->calls : &file->notes);
}

/* Where its library's control word is, by the mapping of its code. */
static void begin_control(struct heap_followed *followed, const struct heap_file *file)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;

	while ((mapping = mapping_set_next(followed->process->maps, &place)))
		if (mapping->image == file->image) {
			heap_control_begin(&followed->hand,
					   mapping->start - mapping->offset + file->points.control);
			return;
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
	if (file->points.control)
		begin_control(followed, file);
	put_in(follow, followed, mapped, false);
	if (followed->probing != HEAP_OUT)
		put_in(follow, followed, mapped, true);
}

/* What cannot be opened has no probes now; by way of a process that comes later it may. */
static void ask(struct heap_follow *follow, struct heap_file *file, uint64_t now)
{
	int r;

	if (file->state == HEAP_FILE_ASKED || file->state == HEAP_FILE_KNOWN || now < file->ask_at)
		return;
	r = resolver_ask_probes(follow->resolver, file->image, on_points, file);
	if (!r) {
		file->state = HEAP_FILE_ASKED;
	} else if (r == -ENODATA) {
		file->state = HEAP_FILE_KNOWN;
	} else if (r != -EAGAIN) {
		file->state = HEAP_FILE_ABSENT;
		file->ask_at = now + AGAIN_NS;
	}
}

/* Its stacks are worth little before its unwind tables are there: a moment, mostly. */
static bool wait_for_tables(const struct heap_follow *follow, struct heap_followed *followed)
{
	return follow->unwinder && unwinder_waits(follow->unwinder, followed->process) &&
	       clock_boot_ns() - followed->since < TABLES_NS;
}

static void look_at_files(struct heap_follow *follow, struct heap_followed *followed, uint64_t now)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;
	bool settled = true, wait = wait_for_tables(follow, followed);

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
		if (!file)
			return;
		ask(follow, file, now);
		if (file->state == HEAP_FILE_KNOWN && !wait)
			settle(follow, followed, mapped, file);
		settled = settled && (mapped->done || file->state == HEAP_FILE_ABSENT);
	}
	if (settled)
		followed->unsettled = 0;
	else if (!followed->unsettled)
		followed->unsettled = now;
}

/* ---- windows ---- */

static void take_out(struct heap_follow *follow, struct heap_followed *followed)
{
	for (size_t i = 0; i < followed->files.count; i++)
		source_heap_detach(&followed->files.items[i].calls);
	followed->probing = HEAP_OUT;
	stop_fates(follow, followed);
}

/* Of the machine's view nobody asks what is in use. */
static bool wants_fates(const struct heap_follow *follow, const struct heap_followed *followed)
{
	return strcmp(follow->config->heap_frees, "on") == 0 && followed->process->slots &&
	       follow->fated < HEAP_FATES_MAX;
}

static void start_fates(struct heap_follow *follow, struct heap_followed *followed)
{
	int r;

	if (!wants_fates(follow, followed))
		return;
	r = heap_table_take(&followed->table, follow->source->heap, followed->process->pid,
			    follow->config->heap_objects, followed->windows.observed_ns,
			    &follow->tables);
	if (r && r != -EOPNOTSUPP)
		log_debug("pid %u: what it frees is not followed: %d", followed->process->pid, r);
	if (r)
		return;
	followed->fates = true;
	follow->fated++;
}

static void begin(struct heap_follow *follow, struct heap_followed *followed)
{
	followed->probing = HEAP_IN;
	followed->hits_at = clock_boot_ns(); /* what comes before the window costs as much */
	start_fates(follow, followed);
	for (size_t i = 0; i < followed->files.count; i++)
		if (followed->files.items[i].done)
			put_in(follow, followed, &followed->files.items[i], true);
	heap_follow_open(follow, followed, budget_of(follow, followed));
}

/* When a cost since then is a share of the time, on average. */
static uint64_t rest_after(uint64_t since, uint64_t cost, double share, uint64_t now)
{
	double jitter = (double)arc4random_uniform(2 * JITTER_PERCENT + 1) - JITTER_PERCENT;
	uint64_t until = since + (uint64_t)((double)cost / share * (1 + jitter / 100));

	return until > now + REST_MAX_NS ? now + REST_MAX_NS : until;
}

/* What was cheap for so long may stay for as long unseen. */
static uint64_t next_look(const struct heap_followed *followed, uint64_t now)
{
	uint64_t open = now - followed->windows.opened;

	return open < LOOK_NS ? open : LOOK_NS;
}

/* They are in: what do they cost? */
static void look_at_cost(struct heap_follow *follow, struct heap_followed *followed, uint64_t now)
{
	struct abi_heap_target target;
	uint64_t cost, since = followed->hits_at;
	double share = budget_of(follow, followed);

	if (followed->probing == HEAP_CLOSING) {
		take_out(follow, followed);
		followed->next = followed->next_in;
		return;
	}
	followed->next = heap_follow_wait(follow, followed, now);
	if (followed->next)
		return;
	if (!source_heap_target(follow->source->heap, followed->process->pid, &target))
		return; /* it has just ended */
	cost = heap_follow_charge(follow, followed, &target);
	heap_follow_finish(follow, followed);
	if ((double)cost <= (double)(now - since) * share || share >= 1) {
		followed->hits_at = now;
		followed->next = now + next_look(followed, now);
		return;
	}
	log_debug("pid %u: probes go out after %" PRIu64 " us, which cost %" PRIu64 " us",
		  followed->process->pid, (now - since) / 1000, cost / 1000);
	followed->probing = HEAP_CLOSING;
	followed->next = now + CLOSE_NS + (followed->fates ? HEAP_FATE_NS : 0);
	heap_follow_close(follow, followed, now, now + CLOSE_NS, followed->next);
	followed->next_in = rest_after(since, cost, share, now);
}

/* They are out, but went one after another: what they cost since then is to be rested for, too. */
static bool is_in_debt(struct heap_follow *follow, struct heap_followed *followed, uint64_t now)
{
	struct abi_heap_target target;
	uint64_t cost;

	if (!source_heap_target(follow->source->heap, followed->process->pid, &target))
		return false;
	cost = heap_follow_charge(follow, followed, &target);
	followed->next = rest_after(now, cost, budget_of(follow, followed), now);
	return followed->next > now;
}

/* A window that is open ends at once. */
static void end_now(struct heap_follow *follow, struct heap_followed *followed, uint64_t now)
{
	if (followed->probing != HEAP_IN)
		return;
	heap_follow_close(follow, followed, now, now, now);
	followed->probing = HEAP_CLOSING;
}

static void run_one(struct heap_follow *follow, struct heap_followed *followed, uint64_t now)
{
	/* A library that tells of allocations stands before the allocator that it calls. */
	if (followed->has_notes || !followed->has_calls) {
		end_now(follow, followed, now);
		if (followed->probing != HEAP_OUT)
			take_out(follow, followed);
		followed->next = 0;
		return;
	}
	if (followed->next > now)
		return;
	/* Which of its files is the one that tells? Most are looked at in milliseconds. */
	if (followed->probing == HEAP_OUT && followed->unsettled &&
	    now - followed->unsettled < PATIENCE_NS)
		return;
	if (followed->probing != HEAP_OUT)
		look_at_cost(follow, followed, now);
	else if ((followed->blind || followed->windows.due) &&
		 now < followed->windows.ended + BLIND_NS)
		followed->next = now + CLOSE_NS;
	else if (is_in_debt(follow, followed, now))
		return;
	else if (wants_fates(follow, followed) && !source_heap_fates_known(follow->source->heap))
		followed->next = now + LOADING_NS;
	else if (follow->begun++ < BEGIN_MAX)
		begin(follow, followed);
	else /* each takes milliseconds: the others in their turns */
		followed->next = now + CLOSE_NS;
}

/* Another setting, or what it did in the last second: its rule from now on, in place. */
static void look_at_rule(struct heap_follow *follow, struct heap_followed *followed, uint64_t now)
{
	struct heap_rules *rules = &followed->rules;
	uint64_t looked = followed->has_notes ? now - followed->since
					      : heap_windows_observed(&followed->windows, now);
	struct heap_control_hand *hand = &followed->hand;
	uint64_t usual = follow->config->heap_interval_bytes;
	bool patterns = by_pattern(follow);
	uint32_t number = rules->number;
	struct abi_heap_target target;

	if (followed->has_notes) {
		heap_control_run(hand, (pid_t)followed->process->pid, rules, now);
		patterns = patterns && hand->state == HEAP_CONTROL_KNOWN;
		usual = hand->usual ? hand->usual : HEAP_INTERVAL_DEFAULT;
	}
	heap_rules_set(rules, usual, patterns);
	heap_rules_look(rules, now, looked);
	if (rules->number == number ||
	    !source_heap_target(follow->source->heap, followed->process->pid, &target))
		return;
	heap_rules_fill(rules, &target);
	source_heap_set_target(follow->source->heap, followed->process->pid, &target);
}

uint64_t heap_follow_run(struct heap_follow *follow, uint64_t now)
{
	uint64_t next = 0;

	follow->begun = follow->sharing = 0;
	for (size_t i = 0; i < follow->processes.count; i++)
		follow->sharing += follow->processes.items[i]->has_calls &&
				   !follow->processes.items[i]->process->slots;

	for (size_t i = follow->processes.count; i-- > 0;) {
		struct heap_followed *followed = follow->processes.items[i];

		if (followed->process->end) {
			heap_follow_remove(follow, followed->process);
			continue;
		}
		if (followed->execs != followed->process->execs) {
			end_now(follow, followed, now);
			heap_follow_restart(follow, followed, now);
			followed->blind = 0; /* the exec itself ends it */
			forget_files(follow, followed);
			heap_rules_restart(&followed->rules);
			followed->execs = followed->process->execs;
			followed->since = now;
		}
		look_at_files(follow, followed, now);
		run_one(follow, followed, now);
		look_at_rule(follow, followed, now);
		if (followed->next && (!next || followed->next < next))
			next = followed->next;
	}
	return next;
}
