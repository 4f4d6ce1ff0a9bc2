/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What `perfctl status` shows, as JSON. The schema is documented in
 * docs/status.md; a change of meaning raises its number.
 */
#include "daemon/engine_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/reason.h"

#define STATUS_SCHEMA "perfd.status/1"

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

/* Resident bytes of a process: the second number of /proc/PID/statm, in pages. */
static uint64_t resident_bytes(pid_t pid)
{
	unsigned long size, resident = 0;
	_cleanup_fclose_ FILE *file = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	file = fopen(path, "re");
	if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
		return 0;
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t timeval_ns(struct timeval time)
{
	return (uint64_t)time.tv_sec * NSEC_PER_SEC + (uint64_t)time.tv_usec * 1000;
}

/* CPU time of another process's first thread (proc(5), schedstat), in ns; 0 where the kernel
 * does not tell. */
static uint64_t cpu_of(pid_t pid)
{
	unsigned long long ns;
	_cleanup_fclose_ FILE *file = NULL;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	file = fopen(path, "re");
	return file && fscanf(file, "%llu", &ns) == 1 ? ns : 0;
}

static json_t *own_cost(const struct engine *engine)
{
	struct symbolizer_stats worker;
	uint64_t run_ns = 0, runs = 0;
	struct rusage usage;

	if (engine->source->ops->get_run_time)
		engine->source->ops->get_run_time(engine->source, &run_ns, &runs);
	getrusage(RUSAGE_SELF, &usage);
	symbolizer_get_stats(engine->resolver.symbolizer, &worker);
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "cpu_ns",
			 number(timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime)),
			 "worker_cpu_ns", number(worker.pid ? cpu_of(worker.pid) : 0), "rss_bytes",
			 number(resident_bytes(getpid())), "worker_rss_bytes",
			 number(worker.pid ? resident_bytes(worker.pid) : 0), "bpf_run_ns",
			 number(run_ns), "bpf_runs", number(runs));
}

/* All slots together that count samples. */
static struct abi_counters totals(const struct source_counters *counters)
{
	struct abi_counters sum = {0};
	__u64 *into = (__u64 *)&sum;

	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		const __u64 *from = (const __u64 *)&counters->slot[slot];

		if (slot == ABI_SLOT_PROCESS)
			continue;
		for (size_t i = 0; i < sizeof(sum) / sizeof(*into); i++)
			into[i] += from[i];
	}
	return sum;
}

static json_t *samples(const struct engine *engine, const struct source_counters *counters)
{
	struct abi_counters sum = totals(counters);
	json_t *unwinding = json_object(), *lost = json_object();
	struct engine_accounts accounts = engine_accounts(engine, counters);
	uint64_t taken = 0, lost_total = 0, walked = 0;

	for (unsigned int reason = 0; reason < ABI_REASON_COUNT; reason++)
		walked += engine->raw.results[reason];
	for (unsigned int reason = 0; reason < ABI_REASON_COUNT; reason++) {
		uint64_t count = sum.samples[reason] + engine->raw.results[reason];

		if (reason == ABI_REASON_RAW) /* those that still wait */
			count -= walked < count ? walked : count;
		if (reason == ABI_REASON_LOST_SIDEBAND)
			count += counters->sideband_lost;
		if (reason_is_loss(reason)) {
			lost_total += count;
			json_object_set_new(lost, reason_key(reason), number(count));
		} else {
			taken += count;
			json_object_set_new(unwinding, reason_key(reason), number(count));
		}
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
			 "s:o, s:o}",
			 "stored", number(accounts.taken.stored), "refused",
			 number(accounts.taken.refused), "limited", number(accounts.taken.limited),
			 "unasked", number(accounts.taken.unasked), "fired", number(sum.fired),
			 "idle", number(sum.idle), "filtered", number(sum.filtered), "thinned",
			 number(sum.thinned), "late_periods", number(sum.late), "missed_periods",
			 number(sum.missed), "carried_weight", number(sum.carried), "taken",
			 number(taken), "lost_total", number(lost_total), "stacks_refused",
			 number(engine->stacks.refused), "unwinding", unwinding, "lost", lost);
}

static json_t *processes(const struct engine *engine, const struct source_counters *counters)
{
	const struct process_table *table = &engine->processes;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "alive",
			 number(table->alive.count), "threads", number(table->threads.count),
			 "seen", number(table->seen), "execs", number(table->execs), "exits",
			 number(table->exits), "refused", number(table->refused), "discovered",
			 number(engine->discovered), "ends_untold", number(engine->ends_untold),
			 "not_ahead", number(counters->slot[ABI_SLOT_PROCESS].thinned));
}

static json_t *debuginfod(const struct engine *engine)
{
	const struct debug_fetch *fetch = &engine->resolver.fetch;
	struct debuginfod_stats stats = {0};

	if (fetch->servers)
		debuginfod_get_stats(fetch->servers, &stats);
	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "used", fetch->servers != NULL, "asked", number(stats.asked), "cached",
			 number(stats.cached), "fetched", number(stats.fetched), "fetched_bytes",
			 number(stats.bytes), "missing", number(stats.missing), "failed",
			 number(stats.failed), "timeouts", number(stats.timeouts), "left_alone",
			 number(stats.left_alone), "wrong", number(stats.wrong), "pending",
			 number(stats.pending), "evicted", number(stats.evicted), "cache_bytes",
			 number(stats.cache_bytes), "cache_limit_bytes",
			 number(engine->config.debuginfod_cache_bytes));
}

static json_t *openers(const struct engine *engine)
{
	struct openers_stats stats;

	openers_get_stats(engine->resolver.openers, &stats);
	return json_pack("{s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o}", "pid", stats.pid,
			 "processes", (int)stats.processes, "abandoned", (int)stats.abandoned,
			 "restarts", number(stats.restarts), "requests", number(stats.requests),
			 "failures", number(stats.failures), "timeouts", number(stats.timeouts),
			 "left_alone", number(stats.left_alone), "pending",
			 number(openers_pending(engine->resolver.openers)));
}

/* Paths may have any bytes, JSON may not. */
static json_t *foreign_text(const char *text)
{
	json_t *value = json_string(text);
	char plain[ABI_PATH_MAX];

	if (value)
		return value;
	snprintf(plain, sizeof(plain), "%s", text);
	for (char *c = plain; *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	return json_string(plain);
}

/* What workers and openers did not survive, or what is damaged, the newest first. */
static json_t *quarantine(const struct engine *engine, const struct quarantine *quarantine)
{
	json_t *list = json_array();

	for (size_t i = 0; i < quarantine_count(quarantine); i++) {
		const struct quarantined *entry = quarantine_get(quarantine, i);
		const struct image *image = image_table_get(&engine->images, entry->image);
		time_t seconds = (time_t)(entry->when_ns / NSEC_PER_SEC);
		char path[ABI_PATH_MAX] = "", when[32] = "";
		struct tm utc;

		if (image && image->jit)
			snprintf(path, sizeof(path), "[code of process %u]", image->use.pid);
		else if (image)
			snprintf(path, sizeof(path), "%s", image->path);
		if (gmtime_r(&seconds, &utc))
			strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &utc);
		json_array_append_new(list, json_pack("{s:s, s:s, s:o, s:o}", "when", when, "what",
						      entry->what, "file", foreign_text(path),
						      "why", foreign_text(entry->why)));
	}
	return list;
}

static json_t *symbols(const struct engine *engine)
{
	struct symbolizer_stats stats;

	symbolizer_get_stats(engine->resolver.symbolizer, &stats);
	return json_pack(
		"{s:o, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:o, s:o, s:o, s:o, s:b, s:o}",
		"debuginfod", debuginfod(engine), "worker_pid", stats.pid, "slow_worker_pid",
		stats.slow_pid, "slow_images", (int)stats.slow_images, "workers_abandoned",
		(int)stats.abandoned, "worker_restarts", number(stats.restarts), "quarantined",
		number(stats.quarantined), "images", number(image_table_count(&engine->images)),
		"images_failed", number(engine->images.failed), "images_refused",
		number(engine->images.refused), "images_released", number(engine->images.released),
		"addresses", number(stats.addresses), "named", number(stats.named), "requests",
		number(stats.requests), "debug_files_refused", number(stats.debug_refused),
		"further_files", number(stats.parts), "further_files_absent",
		number(stats.parts_absent), "further_files_refused", number(stats.parts_refused),
		"damaged", number(stats.damaged), "kernel_restricted",
		symbolizer_kernel_restricted(engine->resolver.symbolizer), "openers",
		openers(engine));
}

static json_t *table_cache(const struct engine *engine)
{
	struct table_cache_stats stats = {0};

	if (engine->cache)
		table_cache_get_stats(engine->cache, &stats);
	return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "used",
			 engine->cache != NULL, "hits", number(stats.hits), "misses",
			 number(stats.misses), "stored", number(stats.store.stored), "evicted",
			 number(stats.store.evicted), "damaged", number(stats.store.damaged),
			 "failed", number(stats.store.failed), "bytes", number(stats.store.bytes),
			 "limit_bytes", number(engine->config.unwind_cache_bytes));
}

static json_t *unwinder(const struct engine *engine, const struct source_counters *counters)
{
	const struct unwinder *u = &engine->unwinder;
	const struct jvm_table *jvms = &engine->jvms;
	json_t *java = json_pack("{s:o, s:o, s:o}", "known", number(jvms->known), "failed",
				 number(jvms->failed), "refused", number(jvms->refused));

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
			 "tables_awaited", number(unwinder_awaited(u)), "tables_loaded",
			 number(u->loaded), "tables_failed", number(u->failed), "tables_evicted",
			 number(u->evicted), "tables_put_off", number(u->put_off), "rows",
			 number(u->rows), "memory_bytes", number(counters->unwind_bytes),
			 "memory_limit_bytes", number(engine->config.unwind_memory_bytes),
			 "mapping_sets", number(u->published.count), "mapping_sets_refused",
			 number(u->sets_refused), "mapping_leaves",
			 number(counters->mapping_leaves), "stacks_kept", number(engine->raw.kept),
			 "cache", table_cache(engine), "java", java);
}

static json_t *tables(const struct engine *engine)
{
	const struct stack_table *stacks = &engine->stacks;

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "stacks",
			 number(stacks->stacks.count), "stacks_max", number(stacks->max), "frames",
			 number(stacks->frames.count), "unresolved_frames",
			 number(stacks->unresolved), "resets", number(stacks->resets), "given_up",
			 number(stacks->given_up), "functions",
			 number(stacks->functions.items.count), "functions_resets",
			 number(stacks->functions.resets), "frames_of_functions",
			 number(stacks->functions.hits));
}

/* Of the session that has most, for the limits are a session's; what there was no room for: of
 * all. */
struct heap_room {
	uint64_t objects, sites, untracked;
};

static struct heap_room heap_room(const struct engine *engine)
{
	struct heap_room room = {0};

	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
		const struct heap_tracker *tracker =
			engine->sessions[slot] ? &engine->sessions[slot]->heap.tracker : NULL;

		if (!tracker)
			continue;
		if (tracker->object_count > room.objects)
			room.objects = tracker->object_count;
		if (tracker->sites.count > room.sites)
			room.sites = tracker->sites.count;
		room.untracked += tracker->untracked;
	}
	return room;
}

/* Why probes on functions tell of no frees; NULL: they do, or nobody has asked yet. */
static const char *why_no_frees(const struct engine *engine)
{
	const struct source_heap *heap = engine->source->heap;

	if (!strcmp(engine->config.heap_frees, "off"))
		return "memory.heap_frees is off";
	return heap && heap->why[0] ? heap->why : NULL;
}

/* Of all processes together, as last looked at; what some of them share counts in each. */
static json_t *memory(const struct engine *engine)
{
	const __u64 *total = engine->memory_total;
	const struct heap_follow *heap = &engine->heap;
	struct heap_room room = heap_room(engine);
	json_t *followed = json_pack(
		"{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:s?}", "objects",
		number(room.objects), "objects_max", number(engine->config.heap_objects), "sites",
		number(room.sites), "sites_max", number(HEAP_SITES_MAX), "untracked",
		number(room.untracked), "processes", number(heap->processes.count), "probes",
		number(heap_follow_probes(heap)), "probes_failed", number(heap->failed), "hits",
		number(heap->hits), "observed", heap_follow_observed(heap), "frees_why_not",
		why_no_frees(engine));

	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "file_bytes",
			 number(total[ABI_MEMORY_FILE]), "anon_bytes",
			 number(total[ABI_MEMORY_ANON]), "shmem_bytes",
			 number(total[ABI_MEMORY_SHMEM]), "swap_bytes",
			 number(total[ABI_MEMORY_SWAP]), "looks", number(engine->memory_looks),
			 "oom_kills", number(engine->oom_kills), "heap", followed);
}

static void add_session(void *context, const struct session_info *info)
{
	json_array_append_new(
		context,
		json_pack("{s:i, s:s, s:i, s:i, s:b, s:i, s:o, s:o, s:o, s:o, s:o, s:s}", "id",
			  (int)info->id, "state", session_end_name(info->end), "pid",
			  (int)info->pid, "owner", (int)info->owner, "background", info->background,
			  "frequency_hz", (int)info->frequency_hz, "elapsed_ns",
			  number(info->elapsed_ns), "samples", number(info->samples), "weight",
			  number(info->weight), "lost", number(info->lost), "first_sample_ns",
			  number(info->first_sample_ns), "title", info->title));
}

static json_t *history(const struct engine *engine)
{
	struct history_stats stats = {0};
	uint64_t now, ago;

	if (!engine->history)
		return json_pack("{s:b}", "kept", false);
	history_get_stats(engine->history, &stats);
	now = clock_real_ns();
	ago = now > stats.store.stored_until_ns ? now - stats.store.stored_until_ns : 0;
	return json_pack(
		"{s:b, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:s}",
		"kept", true, "folder", engine->config.history_dir, "windows",
		number(stats.store.windows), "stored_ago_ns",
		stats.store.stored_until_ns ? number(ago) : json_null(), "waiting",
		number(stats.waiting), "dropped", number(stats.dropped), "days",
		number(stats.store.days), "oldest_ns", number(stats.store.oldest_ns),
		"days_removed", number(stats.store.days_removed), "damaged",
		number(stats.store.damaged), "journal_damaged",
		number(stats.store.journal_lost.places), "journal_lost_bytes",
		number(stats.store.journal_lost.bytes), "bytes", number(stats.store.bytes),
		"limit_bytes", number(engine->config.history_bytes), "trouble", stats.trouble);
}

json_t *engine_status(struct engine *engine)
{
	struct source_counters *counters = malloc(sizeof(*counters));
	json_t *status, *sessions = json_array();

	if (!counters)
		return NULL;
	engine->source->ops->get_counters(engine->source, counters);
	engine_session_each(engine, add_session, sessions);
	status = json_pack(
		"{s:s, s:s, s:i, s:o, s:{s:s, s:s, s:i, s:o, s:o, s:o, s:i, s:o}, s:o, s:o, s:o, "
		"s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
		"schema", STATUS_SCHEMA, "version", PERFD_VERSION, "pid", (int)getpid(),
		"uptime_ns", number(clock_boot_ns() - engine->started), "source", "name",
		engine->source->ops->name, "event", engine->config.event, "frequency_hz",
		(int)engine->config.frequency_hz, "records", number(engine->records),
		"records_tasks", number(engine->task_records), "records_mappings",
		number(engine->mapping_records), "cpus", (int)counters->cpus, "cpu_changes",
		number(counters->cpu_changes), "samples", samples(engine, counters), "processes",
		processes(engine, counters), "symbols", symbols(engine), "quarantine",
		quarantine(engine, symbolizer_quarantine(engine->resolver.symbolizer)), "damaged",
		quarantine(engine, symbolizer_damaged(engine->resolver.symbolizer)), "tables",
		tables(engine), "unwinder", unwinder(engine, counters), "memory", memory(engine),
		"history", history(engine), "cost", own_cost(engine), "rates",
		rates_json(engine, true, 0), "sessions", sessions);
	free(counters);
	return status;
}
