/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What processes, cgroups and the machine have of memory, on the time lines that show them, and
 * what the kernel does when there is not enough.
 *
 * All processes are looked at once an interval. A process that has not changed since is
 * noted every ten seconds only, that a machine of thousands of idle ones costs little.
 */
#include "daemon/engine_internal.h"

#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

/* Less than this is no change: pages, and a share of what there was. */
#define CHANGE_MIN_BYTES 16384u
#define CHANGE_SHARE 500u
/* A process that has not changed is noted this often. */
#define UNCHANGED_NS (10 * NSEC_PER_SEC)

#define KIND(text)                                                                                 \
	{                                                                                          \
		.name = (text), .group = "rss", .unit = "bytes", .kind = SERIES_LEVEL,             \
		.step_ns = NSEC_PER_SEC                                                            \
	}
static const struct measure_kind kinds[ABI_MEMORY_COUNT] = {
	[ABI_MEMORY_FILE] = KIND("file"),
	[ABI_MEMORY_ANON] = KIND("anon"),
	[ABI_MEMORY_SWAP] = {.name = "swap",
			     .group = "",
			     .unit = "bytes",
			     .kind = SERIES_LEVEL,
			     .step_ns = NSEC_PER_SEC},
	[ABI_MEMORY_SHMEM] = KIND("shmem"),
};

/* Kinds that the process has nothing of, and had not, are left out. */
static void measure(struct session *session, struct process *process, uint64_t time,
		    const __u64 *bytes, const __u64 *before)
{
	for (uint32_t kind = 0; kind < ABI_MEMORY_COUNT; kind++) {
		struct session_measure measure = {
			.kind = &kinds[kind],
			.process = process,
			.time = time,
			.point = {.value = bytes[kind], .low = bytes[kind], .high = bytes[kind]},
		};

		if (bytes[kind] || before[kind])
			session_measure(session, &measure);
	}
}

static void measure_session(struct session *session, struct process *process,
			    const struct abi_rss *rss)
{
	measure(session, process, rss->hdr.time, rss->bytes, process->memory);
	if (session->source == ABI_SOURCE_HEAP)
		session_heap_rss(session, process, rss->hdr.time, rss->bytes);
}

static bool changed(const struct process *process, const __u64 *bytes)
{
	for (uint32_t kind = 0; kind < ABI_MEMORY_COUNT; kind++) {
		uint64_t was = process->memory[kind], is = bytes[kind];
		uint64_t by = was > is ? was - is : is - was;

		if (by >= CHANGE_MIN_BYTES && by > was / CHANGE_SHARE)
			return true;
	}
	return false;
}

/* The view that shows memory: that of page faults, else that of CPU time. */
static struct session *memory_view(const struct engine *engine)
{
	return engine->sessions[ABI_SLOT_FAULTS] ? engine->sessions[ABI_SLOT_FAULTS]
						 : engine->sessions[ABI_SLOT_CPU];
}

static uint64_t resident(const struct abi_rss *rss)
{
	return rss->bytes[ABI_MEMORY_FILE] + rss->bytes[ABI_MEMORY_ANON] +
	       rss->bytes[ABI_MEMORY_SHMEM];
}

void engine_on_rss(struct engine *engine, const struct abi_rss *rss)
{
	struct process *process = process_table_alive(&engine->processes, rss->pid);
	struct session *view = memory_view(engine);

	for (uint32_t kind = 0; kind < ABI_MEMORY_COUNT; kind++)
		engine->memory_total[kind] += rss->bytes[kind];
	if (rss->hdr.type == ABI_RSS)
		cgroup_memory_add(&engine->cgroup_memory, &engine->cgroups, rss->cgroup,
				  resident(rss), rss->hdr.time);
	if (!process)
		return;
	for (uint32_t slot = 1; process->slots && slot < ABI_SESSION_SLOTS; slot++)
		if (engine->sessions[slot] &&
		    ((slot < ABI_SESSION_SLOTS && process->slots >> slot & 1)))
			measure_session(engine->sessions[slot], process, rss);
	if (process->memory_time && !changed(process, rss->bytes) &&
	    rss->hdr.time - process->memory_time < UNCHANGED_NS)
		return;
	if (view)
		measure(view, process, rss->hdr.time, rss->bytes, process->memory);
	memcpy(process->memory, rss->bytes, sizeof(process->memory));
	process->memory_time = rss->hdr.time;
}

static void note_cgroup(void *context, const struct cgroup_memory_row *row)
{
	struct session *view = context;
	struct session_measure measure = {
		.kind = &row->kind,
		.time = row->seen,
		.point = {.value = row->bytes, .low = row->bytes, .high = row->bytes},
	};

	session_measure(view, &measure);
}

void engine_look_at_memory(struct engine *engine, uint64_t now)
{
	static const __u64 nothing[ABI_MEMORY_COUNT];
	struct session *view = memory_view(engine);
	uint64_t interval = engine->config.rss_interval_ns;

	/* Ticks come a little early or late. */
	if (!interval || !engine->source->ops->memory ||
	    now - engine->memory_looked + NSEC_PER_SEC / 8 < interval)
		return;
	engine->memory_looked = now;
	memset(engine->memory_total, 0, sizeof(engine->memory_total));
	cgroup_memory_begin(&engine->cgroup_memory);
	if (engine->source->ops->memory(engine->source))
		log_debug("the memory of processes could not be read");
	engine->memory_looks++;
	/* Of all together; what some of them share counts in each. */
	if (view)
		measure(view, NULL, now, engine->memory_total, nothing);
	if (view)
		cgroup_memory_end(&engine->cgroup_memory, now, note_cgroup, view);
}

void engine_on_oom(struct engine *engine, const struct abi_rss *rss)
{
	struct process *process = process_table_find(&engine->processes, rss->pid);
	uint64_t had = resident(rss);
	const char *comm = process ? process->comm : "a process";

	engine->oom_kills++;
	log_warning("the kernel kills %s (pid %u) for want of memory: it has %llu MiB", comm,
		    rss->pid, (unsigned long long)(had >> 20));
	/* Its last level is a peak, and no look will come any more. */
	if (process && had) {
		struct abi_rss last = *rss;

		process->memory_time = 0;
		engine_on_rss(engine, &last);
	}
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		struct session *session = engine->sessions[slot];

		if (session && (!session->target || !process ||
				(slot < ABI_SESSION_SLOTS && process->slots >> slot & 1)))
			session_mark(session, "oom", had,
				     "%s (pid %u) is killed for want of memory, with %llu MiB",
				     comm, rss->pid, (unsigned long long)(had >> 20));
	}
}

void engine_call_at(struct engine *engine, struct event **timer, event_callback_fn callback,
		    uint64_t time)
{
	uint64_t now = clock_boot_ns(), left = time > now ? time - now : 1;
	const struct timeval delay = {
		.tv_sec = (time_t)(left / NSEC_PER_SEC),
		.tv_usec = (suseconds_t)(left % NSEC_PER_SEC / 1000 + 1),
	};

	if (!*timer)
		*timer = evtimer_new(engine->base, callback, engine);
	if (*timer)
		evtimer_add(*timer, &delay);
}

static void on_watch_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	engine_run_watch(context);
}

void engine_run_watch(struct engine *engine)
{
	uint64_t next;

	if (!engine->source->ops->watch)
		return;
	next = engine->source->ops->watch(engine->source, clock_boot_ns());
	if (next)
		engine_call_at(engine, &engine->watch_timer, on_watch_timer, next);
}
