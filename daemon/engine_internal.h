/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The engine's state, shared by its files: engine.c (life, clockwork), engine_records.c,
 * engine_session.c (sessions), engine_status.c (what `status` shows).
 */
#pragma once

#include "daemon/capture.h"
#include "daemon/cgroup_memory.h"
#include "daemon/cgroup_table.h"
#include "daemon/engine.h"
#include "daemon/engine_alloc_pattern.h"
#include "daemon/engine_heap.h"
#include "daemon/engine_mappings.h"
#include "daemon/heap_follow.h"
#include "daemon/history.h"
#include "daemon/jvm.h"
#include "daemon/process_table.h"
#include "daemon/rates.h"
#include "daemon/raw_stacks.h"
#include "daemon/resolver.h"
#include "daemon/session.h"
#include "daemon/source.h"
#include "daemon/unwinder.h"
#include "daemon/watch.h"

/* How long somebody who looks waits for names before places stand in for them. */
#define COLLECT_DEADLINE_NS 2000000000ULL
/* And the result of a session, which has no second chance: on a busy machine workers are slow,
 * and a compiler's list is megabytes. */
#define RESULT_DEADLINE_NS 10000000000ULL
/* How often is looked whether the names of a result are there. */
#define COLLECT_POLL_US 2000
/* How often the rings are looked at: while a session's process has just begun or
 * maps files (and so long after), while somebody waits for a session's first sample
 * (at most so long), while a session runs, and otherwise. */
#define DRAIN_HURRY_MS 5
#define DRAIN_HURRY_NS 100000000ULL
#define DRAIN_FIRST_MS 20
#define DRAIN_FIRST_NS 2000000000ULL
#define DRAIN_SESSION_MS 100
#define DRAIN_IDLE_MS 250

/* Windows older than this become 10 s wide: what is asked for most is the last minute. */
#define HISTORY_TEN_SECONDS_AGE_NS (60 * 1000000000ULL)

struct question;

/* What became of the records of samples that the daemon took, by slot. */
struct engine_taken {
	uint64_t stored; /* in a session */
	uint64_t refused; /* the session's owner may not see the process */
	uint64_t limited; /* above a limit */
	uint64_t unasked; /* the session was closed meanwhile */
};

/* All slots together: see engine_accounts.c. */
struct engine_accounts {
	uint64_t fired, idle, filtered, thinned, lost_ring; /* as the kernel side counts */
	struct engine_taken taken;
	uint64_t unexplained; /* in flight, while there is sampling */
};

struct engine {
	struct config config;
	struct event_base *base;
	struct source *source;
	struct resolver resolver;
	struct unwinder unwinder;
	struct table_cache *cache; /* NULL: none */
	struct history *history; /* likewise */
	struct question *questions; /* to the history, under way */
	struct cgroup_table cgroups;
	struct jvm_table jvms;
	struct heap_follow heap;
	struct event *heap_timer, *watch_timer; /* NULL: not yet */
	struct process_table processes;
	struct image_table images;
	struct stack_table stacks;
	struct raw_stacks raw;
	struct capture capture;
	heap_targets heaps; /* processes that have libperfd-heap.so from us */
	struct watch watch;
	struct rates rates;
	struct engine_mappings mappings;
	struct session *sessions[ABI_SLOTS_MAX]; /* live ones by slot; those of id 0: system-wide */
	VEC(struct session *) ended; /* sampled no more, not yet closed */
	uint32_t next_id;
	uint64_t started; /* boot time, ns */
	uint64_t now; /* of the newest record */
	VEC(uint32_t) doubted; /* processes of which an exit was told that may be none */
	uint64_t discovered; /* processes that no event had told of */
	uint64_t ends_untold; /* processes whose end no event told of */
	uint64_t sideband_lost_seen; /* as the last sweep had it */
	bool numbers_are_ours; /* processes have the same here as with the kernel */
	size_t sweep_at; /* where in the table of the living the next one begins */
	size_t sweep_left; /* processes to be looked at closely, since events were lost */
	struct engine_taken taken[ABI_SLOTS_MAX];
	bool tell_accounts; /* at the end */
	uint64_t records;
	uint64_t task_records, mapping_records; /* of these: what the side band told */
	uint64_t drains; /* times that the source was read to its end */
	uint64_t ticks; /* so far */
	uint64_t sifted; /* boot time, ns: when stacks last became an epoch older */
	uint64_t images_looked; /* likewise: for some that nobody needs */
	uint64_t memory_looked; /* boot time, ns */
	__u64 memory_total[ABI_MEMORY_COUNT]; /* of the present look */
	uint64_t memory_looks; /* so far */
	struct cgroup_memory cgroup_memory;
	uint64_t alloc_noted; /* boot time, ns: when rules of allocations were put on time lines */
	uint64_t oom_kills; /* processes killed for want of memory */
	uint64_t hurry_until; /* boot time, ns */
	struct event *drain_timer;
	struct event *tick_timer;
	struct event *wake_event;
	struct event *symbolizer_event;
	struct event *openers_event;
	struct event *cache_event;
	struct event *fetch_event; /* NULL: debuginfod is not asked */
	struct event *history_event;
	bool history_kept; /* windows that it was not told to write yet */
};

/* Allocations and frees that were sampled. */
void engine_on_alloc(struct engine *engine, const struct abi_alloc *alloc);
void engine_on_free(struct engine *engine, const struct abi_free *record);
/* Follows the processes of sessions of allocations with probes. */
void engine_run_heap(struct engine *engine);
/* The process ends, or has another program from now on: of what it allocated since probes were in
 * for the last time nobody will tell any more; the latest stand for that. */
void engine_alloc_rest(struct engine *engine, struct process *process, uint64_t until);
/* Likewise of all processes of a session that has just ended; it is in its slot still. */
void engine_alloc_finish(struct engine *engine, struct session *session);
/* Views that look at a part of the time begin and end to. */
void engine_run_watch(struct engine *engine);
/* Calls back at that boot time; *timer is made if there is none. */
void engine_call_at(struct engine *engine, struct event **timer, event_callback_fn callback,
		    uint64_t time);
/* The stack table is full: empties it, but for what allocations that are followed need. */
void engine_empty_stacks(struct engine *engine);
/* Once a second: gives up stacks that no sample named for minutes, when there are many. */
void engine_sift_stacks(struct engine *engine, uint64_t now);
/* Some times a minute: lets go of files that nobody maps and no stack names. */
void engine_sift_images(struct engine *engine, uint64_t now);
/* What every process has of memory, if it is time to look. */
void engine_look_at_memory(struct engine *engine, uint64_t now);
/* A process's memory, for the time lines that show it; one that the kernel kills. */
void engine_on_rss(struct engine *engine, const struct abi_rss *rss);
void engine_on_oom(struct engine *engine, const struct abi_rss *rss);
struct session_tables engine_tables(const struct engine *engine);
/* Boot time in ns; of a recording that is replayed, of its newest record. */
uint64_t engine_time(const struct engine *engine);
/* What follows from a mapping that a process has from now on. */
void engine_mapped(struct engine *engine, struct process *process, const struct abi_mmap *mmap,
		   uint32_t image);
/* The source's callback. */
void engine_on_record(void *context, const struct abi_header *record);
struct engine_accounts engine_accounts(const struct engine *engine,
				       const struct source_counters *counters);
/* Says in the log where every sample went; nothing fires any more. */
void engine_tell_accounts(struct engine *engine);
/* Decides on exits that may be none, once there was time for a mapping to be told. */
void engine_settle_doubts(struct engine *engine, uint64_t now);
/* Sessions of it end, too. */
void engine_process_ended(struct engine *engine, struct process *process, uint64_t time);
/* Once, before the first of them: looks which numbers processes have here. */
void engine_begin_sweeps(struct engine *engine);
/* Every second: looks for processes that have ended though no event told of it: events are
 * lost, and a late sample may make up a process that has been gone for long. Some of the
 * table each time, more of it where `sideband_lost` has grown. */
void engine_sweep(struct engine *engine, uint64_t sideband_lost);
/* Walks the raw stacks whose tables are there; `last`: all of them. */
void engine_walk_raw(struct engine *engine, bool last);
/* Reads the rings; `now`: lets every record go, however young. */
void engine_drain(struct engine *engine, bool now);
/* Folds what can be folded, and hands finished profiles out. */
void engine_fold(struct engine *engine);
/* The session's processes are gone, time is over, …: stops sampling, tells. */
void engine_end_session(struct engine *engine, struct session *session, enum session_end end);
/* Folds the session's windows, after the deadline also those whose names are not there. */
void engine_fold_by(struct engine *engine, struct session *session, uint64_t deadline);
/* What the kernel side counted since the session was opened. */
void engine_take_counters(struct engine *engine, struct session *session);
/* "": the config's. -EOPNOTSUPP. */
int engine_parse_event(const struct engine *engine, const char *name, enum abi_source *ret,
		       struct error *error);
struct session *engine_find_session(const struct engine *engine, uint32_t id);
/* For whoever opens one: its timer, and what it asks about; its sampling begins. */
int engine_make_timer(struct engine *engine, struct session *session);
int engine_open_events(struct engine *engine, struct session *session, struct error *error);
/* Opens the system-wide views that the config has a rate for. */
int engine_open_system_views(struct engine *engine, struct error *error);
/* The settings were read again: their rates; those that begin or end with that. */
void engine_follow_views(struct engine *engine);
/* Views that have ended go once all of theirs is in the history. */
void engine_bury_views(struct engine *engine);
/* Opens the history that the config has, and gives it the system-wide views' windows. */
void engine_open_history(struct engine *engine);
/* Gives it the windows of one view. */
void engine_keep_view(struct engine *engine, struct session *session);
/* Has it write what it was given since the last time. */
void engine_write_history(struct engine *engine);
/* Tells it what the config says now of age and size. */
void engine_limit_history(struct engine *engine);
/* Keeps what was sampled until now, and ends it. */
void engine_close_history(struct engine *engine);
void engine_forget_questions(struct engine *engine);
