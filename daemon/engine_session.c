/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sessions: opening with all that can be wrong, ending, collecting.
 */
#include "daemon/engine_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/event_kind.h"

#define SESSION_WINDOW_NS NSEC_PER_SEC
/* At most so long, and looking so often, if nothing wakes it. */
#define TABLES_WAIT_NS (200 * NSEC_PER_MSEC)
#define TABLES_POLL_MS 5

static const char *const end_names[] = {
	[SESSION_RUNNING] = "running",       [SESSION_END_STOPPED] = "stopped",
	[SESSION_END_DURATION] = "duration", [SESSION_END_PRECISION] = "precision",
	[SESSION_END_EXIT] = "exit",         [SESSION_END_ERROR] = "error",
};

const char *session_end_name(enum session_end end)
{
	return end_names[end];
}

/* ---- opening ---- */

int engine_parse_event(const struct engine *engine, const char *name, enum abi_source *ret,
		       struct error *error)
{
	const struct event_kind *kind;
	_cleanup_free_ char *names = NULL;

	kind = event_kind_find(name[0] ? name : engine->config.event);
	if (kind) {
		*ret = kind->source;
		return 0;
	}
	names = event_kind_names();
	return error_set(error, -EOPNOTSUPP, "unknown event \"%s\": there are %s", name,
			 names ? names : "");
}

/* A pid that is in /proc but not in the table: why not? */
static int explain_missing(const struct engine *engine, pid_t pid, struct error *error)
{
	const uint64_t *thread = hashmap_get(&engine->processes.threads, (uint32_t)pid);
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st))
		return error_set(error, -ESRCH, "no process with pid %d", pid);
	if (thread && ((const struct thread *)(uintptr_t)*thread)->pid != (uint32_t)pid)
		return error_set(error, -ESRCH, "%d is a thread of process %u: use that pid", pid,
				 ((const struct thread *)(uintptr_t)*thread)->pid);
	return error_set(error, -ESRCH,
			 "pid %d is a zombie: it has ended, and only its parent has not asked yet",
			 pid);
}

/* *ret_held: a descriptor by which its number stays its own. */
static int find_target(struct engine *engine, const struct session_request *request,
		       struct error *error, struct process **ret, int *ret_held)
{
	struct peer owner = {.uid = request->owner, .privileged = request->privileged};
	struct process *process;
	int r;

	if (request->pid < 0)
		return error_set(error, -EINVAL, "%d is no pid", request->pid);
	/* A recording's processes are not these. */
	if (engine->source->ops->target_slots) {
		*ret_held = (int)syscall(SYS_pidfd_open, request->pid, 0);
		if (*ret_held < 0 && errno == ESRCH)
			return error_set(error, -ESRCH, "no process with pid %d", request->pid);
	}
	/* It may have been born a moment ago. */
	engine_drain(engine, true);
	process = process_table_alive(&engine->processes, (uint32_t)request->pid);
	if (!process)
		return explain_missing(engine, request->pid, error);
	if (process->kernel)
		return error_set(error, -EINVAL,
				 "pid %d (%s) is a kernel thread: it has no program of its own; "
				 "perfctl record -a shows kernel threads too",
				 request->pid, process->comm);
	r = owner.privileged ? 0 : peer_may_see(&owner, request->pid, error);
	if (r)
		return r;
	*ret = process;
	return 0;
}

/* The kernel's vector for its program has pairs of words (proc_pid_auxv(5)), the first tag a
 * small number: where the first eight bytes are more, they are a whole pair of 32 bits. */
static bool runs_32_bit(const struct process *process)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[32];
	uint64_t first;

	snprintf(path, sizeof(path), "/proc/%u/auxv", process->pid);
	file = fopen(path, "re");
	return file && fread(&first, sizeof(first), 1, file) == 1 && first > UINT32_MAX;
}

/* Its system calls and its functions' arguments are others than ours. */
static int check_code(const struct engine *engine, const struct process *process,
		      enum abi_source source, struct error *error)
{
	bool calls = source == ABI_SOURCE_HEAP || source == ABI_SOURCE_MMAP ||
		     source == ABI_SOURCE_MUNMAP;

	if (!calls || !engine->source->ops->target_slots || !runs_32_bit(process))
		return 0;
	return error_set(error, -ENOTSUP,
			 "pid %u (%s) runs 32-bit code: its allocations and mappings cannot be "
			 "followed; -e faults and -e cpu-clock see it",
			 process->pid, process->comm);
}

/* Page faults and mappings come in bursts, and a sample of them stands for few. */
#define FAULTS_RATE_FACTOR 10

static int check_rate(const struct engine *engine, enum abi_source source, uint32_t *hz,
		      struct error *error)
{
	bool counted = source == ABI_SOURCE_FAULTS || source == ABI_SOURCE_MMAP ||
		       source == ABI_SOURCE_MUNMAP;
	uint32_t factor = counted ? FAULTS_RATE_FACTOR : 1;

	if (!*hz && engine->config.session_frequency_hz > engine->config.frequency_max_hz / factor)
		*hz = engine->config.frequency_max_hz;
	else if (!*hz)
		*hz = engine->config.session_frequency_hz * factor;
	if (*hz > engine->config.frequency_max_hz)
		return error_set(error, -EINVAL,
				 "%u Hz is above the limit of %u Hz (cpu.frequency_max_hz)", *hz,
				 engine->config.frequency_max_hz);
	return 0;
}

/* A free slot, or 0. */
static uint32_t free_slot(const struct engine *engine)
{
	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS && slot <= engine->config.sessions_max;
	     slot++)
		if (!engine->sessions[slot])
			return slot;
	return 0;
}

static void add_target(struct engine *engine, struct session *session, struct process *process)
{
	bool at_exec = session->request.wait_exec;
	uint32_t bit = 1u << session->slot;

	engine->source->ops->add_target(engine->source, session->slot, (pid_t)process->pid,
					at_exec);
	if (at_exec)
		process->slots_at_exec |= bit;
	else
		process->slots |= bit;
	session_member(session, process);
	engine_mappings_wanted(engine, process);
	unwinder_need_all(&engine->unwinder, process);
}

/* A command is held until its tables are there, that its first samples be whole.
 * The loop waits with it, for a moment: nothing is lost meanwhile, rings wait. */
static void wait_for_tables(struct engine *engine, const struct process *target)
{
	uint64_t until = clock_boot_ns() + TABLES_WAIT_NS;
	struct pollfd ready[] = {
		{.fd = symbolizer_fd(engine->resolver.symbolizer), .events = POLLIN},
		{.fd = engine->cache ? table_cache_fd(engine->cache) : -1, .events = POLLIN},
	};

	while (unwinder_waits(&engine->unwinder, target) && clock_boot_ns() < until) {
		poll(ready, 2, TABLES_POLL_MS);
		if (engine->cache)
			table_cache_dispatch(engine->cache);
		symbolizer_dispatch(engine->resolver.symbolizer);
		unwinder_need_all(&engine->unwinder, target);
	}
	unwinder_flush(&engine->unwinder);
}

/* All that descends from the target; the kernel side follows later ones itself. */
static void add_descendants(struct engine *engine, struct session *session, uint32_t root)
{
	VEC(uint32_t) parents = {0};
	uint64_t key, value;

	vec_push(&parents, root);
	for (size_t i = 0; i < parents.count; i++) {
		for (size_t at = 0; hashmap_next(&engine->processes.alive, &at, &key, &value);) {
			struct process *child = (struct process *)(uintptr_t)value;

			if (child->ppid != parents.items[i] || child->pid == root ||
			    vec_push(&parents, child->pid))
				continue;
			add_target(engine, session, child);
		}
	}
	vec_free(&parents);
}

static void on_session_timer(evutil_socket_t fd, short what, void *context);

int engine_make_timer(struct engine *engine, struct session *session)
{
	session->engine = engine;
	session->judged = engine->source->ops->target_slots != NULL;
	session->cgroups = &engine->cgroups;
	session->timer = evtimer_new(engine->base, on_session_timer, session);
	return session->timer ? 0 : -ENOMEM;
}

static void title(struct session *session)
{
	char *text = session->request.title;
	size_t size = sizeof(session->request.title);

	if (text[0])
		return;
	if (session->target)
		snprintf(text, size, "%s (pid %u)", session->target->comm, session->target->pid);
	else
		snprintf(text, size, "all processes");
}

int engine_open_events(struct engine *engine, struct session *session, struct error *error)
{
	struct source_slot how = {.all = !session->request.pid,
				  .restricted = !session->request.privileged,
				  .owner = session->request.owner,
				  .source = session->source,
				  .frequency_hz = session->request.frequency_hz};
	struct source_counters *counters = malloc(sizeof(*counters));
	int r;

	if (!counters)
		return error_set(error, -ENOMEM, "out of memory");
	engine->source->ops->get_counters(engine->source, counters);
	session->counters_before = counters->slot[session->slot];
	session->sideband_lost_before = counters->sideband_lost;
	session->counters_seen = session->counters_before;
	session->sideband_lost_seen = counters->sideband_lost;
	free(counters);
	r = engine->source->ops->open_slot(engine->source, session->slot, &how, error);
	if (r)
		return r;
	engine->sessions[session->slot] = session;
	rates_open(engine, session);
	return 0;
}

static void remove_targets(struct engine *engine, struct session *session);

/* As if it had never been opened; it is the caller's still. */
static void abandon(struct engine *engine, struct session *session)
{
	engine->source->ops->close_slot(engine->source, session->slot);
	remove_targets(engine, session);
	engine->sessions[session->slot] = NULL;
}

/* The process that was judged is the one that is followed now: had it ended meanwhile,
 * another could have its number. */
static int still_there(int held, pid_t pid, struct error *error)
{
	struct pollfd ended = {.fd = held, .events = POLLIN};

	if (held >= 0 && poll(&ended, 1, 0) > 0)
		return error_set(error, -ESRCH, "pid %d has ended", pid);
	return 0;
}

static int prepare(struct engine *engine, struct session *session, struct process *target, int held,
		   struct error *error)
{
	struct timeval duration = {
		.tv_sec = (time_t)(session->request.duration_ns / NSEC_PER_SEC),
		.tv_usec = (suseconds_t)(session->request.duration_ns % NSEC_PER_SEC / 1000)};
	int r = engine_make_timer(engine, session);

	if (r)
		return error_set(error, r, "out of memory");
	session->target = process_ref(target);
	title(session);
	r = engine_open_events(engine, session, error);
	if (r)
		return r;
	if (target) {
		add_target(engine, session, target);
		r = still_there(held, session->request.pid, error);
		if (r) {
			abandon(engine, session);
			return r;
		}
		/* Children born before the kernel side knew of the target. */
		engine_drain(engine, true);
		if (session->request.wait_exec)
			wait_for_tables(engine, target);
		else
			add_descendants(engine, session, target->pid);
	}
	if (session->request.duration_ns)
		evtimer_add(session->timer, &duration);
	/* The rings are read more often from now on. */
	engine->hurry_until = clock_boot_ns() + DRAIN_HURRY_NS;
	event_active(engine->drain_timer, EV_TIMEOUT, 0);
	return 0;
}

int engine_session_open(struct engine *engine, const struct session_request *request,
			session_end_fn *on_end, void *context, struct error *error,
			uint32_t *ret_id)
{
	struct session_request wanted = *request;
	struct process *target = NULL;
	struct session *session;
	_cleanup_close_ int held = -1;
	enum abi_source source;
	int r = engine_parse_event(engine, request->event, &source, error);

	wanted.by_pattern = !wanted.frequency_hz && request->pid;
	if (!r)
		r = check_rate(engine, source, &wanted.frequency_hz, error);
	if (!r && source == ABI_SOURCE_HEAP && !request->pid)
		return error_set(
			error, -EINVAL,
			"-e heap is of one process and its children: name it by its pid, or "
			"begin it with record -- CMD; memory.heap_probes is for programs by name, "
			"all the time");
	if (!r && request->pid)
		r = find_target(engine, request, error, &target, &held);
	if (!r && target && !request->wait_exec)
		r = check_code(engine, target, source, error);
	if (r)
		return r;
	session = session_create(engine->next_id, &wanted, SESSION_WINDOW_NS);
	if (!session)
		return error_set(error, -ENOMEM, "out of memory");
	session->slot = free_slot(engine);
	session->source = source;
	session->heap.objects_max = engine->config.heap_objects;
	session->on_end = on_end;
	session->end_context = context;
	if (!session->slot)
		r = error_set(error, -ENOSPC, "%u sessions are open already (limits.sessions_max)",
			      engine->config.sessions_max);
	else
		r = prepare(engine, session, target, held, error);
	if (r) {
		session_destroy(session);
		return r;
	}
	engine->next_id++;
	*ret_id = session->id;
	return 0;
}

/* ---- ending ---- */

static void subtract(struct abi_counters *from, const struct abi_counters *what)
{
	__u64 *into = (__u64 *)from;
	const __u64 *less = (const __u64 *)what;

	for (size_t i = 0; i < sizeof(*from) / sizeof(*into); i++)
		into[i] -= less[i];
}

void engine_take_counters(struct engine *engine, struct session *session)
{
	struct source_counters *counters = malloc(sizeof(*counters));

	if (!counters)
		return;
	engine->source->ops->get_counters(engine->source, counters);
	session->counters = counters->slot[session->slot];
	subtract(&session->counters, &session->counters_before);
	session->sideband_lost = counters->sideband_lost - session->sideband_lost_before;
	free(counters);
}

static void remove_targets(struct engine *engine, struct session *session)
{
	uint32_t bit = 1u << session->slot;
	uint64_t key, value;

	for (size_t at = 0; hashmap_next(&engine->processes.alive, &at, &key, &value);) {
		struct process *process = (struct process *)(uintptr_t)value;

		if (!((process->slots | process->slots_at_exec) & bit))
			continue;
		process->slots &= ~bit;
		process->slots_at_exec &= ~bit;
		engine->source->ops->remove_target(engine->source, session->slot,
						   (pid_t)process->pid);
	}
}

void engine_end_session(struct engine *engine, struct session *session, enum session_end end)
{
	uint32_t slot = session->slot;

	if (engine->sessions[slot] != session)
		return;
	engine->source->ops->close_slot(engine->source, slot);
	rates_close(engine, session);
	/* What has fired is still in the rings. */
	engine->source->ops->drain(engine->source, true);
	session->end = end;
	session->ended = clock_boot_ns();
	if (session->source == ABI_SOURCE_HEAP)
		engine_alloc_finish(engine, session);
	engine_heap_leave(engine, session->id);
	watch_look(&engine->watch, engine, NULL);
	engine_take_counters(engine, session);
	remove_targets(engine, session);
	session_roll(session, session->ended, true);
	if (session->source == ABI_SOURCE_HEAP)
		session_heap_finish(session);
	resolver_flush_late(&engine->resolver);
	engine->sessions[slot] = NULL;
	if (vec_push(&engine->ended, session))
		log_error("out of memory: session %u is lost", session->id);
	evtimer_del(session->timer);
	event_active(session->timer, EV_TIMEOUT, 0);
}

void engine_fold_by(struct engine *engine, struct session *session, uint64_t deadline)
{
	struct session_tables tables = engine_tables(engine);

	session_fold(session, &tables, clock_boot_ns() >= deadline ? UINT64_MAX : 0);
}

static void deliver(struct engine *engine, struct session *session)
{
	session_profile_fn *done = session->on_profile;
	struct error error = {0};
	struct profile *profile;

	engine_fold_by(engine, session, session->collect_deadline);
	if (!session_folded(session)) {
		struct timeval soon = {.tv_usec = COLLECT_POLL_US};

		evtimer_add(session->timer, &soon);
		return;
	}
	session->on_profile = NULL;
	profile = session_profile(session, session->ended);
	if (!profile)
		error_set(&error, -ENOMEM, "out of memory");
	done(session->profile_context, &error, profile);
}

/* One timer for all that a session does in its own turn of the loop. */
static void on_session_timer(evutil_socket_t fd, short what, void *context)
{
	struct session *session = context;
	struct engine *engine = session->engine;

	(void)fd;
	(void)what;
	if (session->id && session->end == SESSION_RUNNING) {
		engine_end_session(engine, session, SESSION_END_DURATION);
		return;
	}
	if (session->on_end) {
		session_end_fn *on_end = session->on_end;
		uint32_t id = session->id;

		session->on_end = NULL;
		if (session->on_profile)
			event_active(session->timer, EV_TIMEOUT, 0);
		on_end(session->end_context, id, session->end);
		return; /* it may be closed now */
	}
	if (session->on_profile)
		deliver(engine, session);
}

struct session *engine_find_session(const struct engine *engine, uint32_t id)
{
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		if (engine->sessions[slot] && engine->sessions[slot]->id == id)
			return engine->sessions[slot];
	for (size_t i = 0; i < engine->ended.count; i++)
		if (engine->ended.items[i]->id == id)
			return engine->ended.items[i];
	return NULL;
}

int engine_session_stop(struct engine *engine, uint32_t id)
{
	struct session *session = engine_find_session(engine, id);

	if (!session || !id)
		return -ENOENT;
	if (session->end == SESSION_RUNNING || engine->sessions[session->slot] == session)
		engine_end_session(engine, session, SESSION_END_STOPPED);
	return 0;
}

int engine_session_collect(struct engine *engine, uint32_t id, session_profile_fn *done,
			   void *context)
{
	struct session *session = engine_find_session(engine, id);

	if (!session || !id)
		return -ENOENT;
	if (session->on_profile || engine->sessions[session->slot] == session)
		return -EBUSY;
	session->on_profile = done;
	session->profile_context = context;
	session->collect_deadline = clock_boot_ns() + RESULT_DEADLINE_NS;
	event_active(session->timer, EV_TIMEOUT, 0);
	return 0;
}

void engine_session_close(struct engine *engine, uint32_t id)
{
	struct session *session = engine_find_session(engine, id);

	if (!session || !id)
		return;
	session->on_end = NULL;
	session->on_profile = NULL;
	session->on_look = NULL;
	if (engine->sessions[session->slot] == session)
		engine_end_session(engine, session, SESSION_END_STOPPED);
	for (size_t i = 0; i < engine->ended.count; i++) {
		if (engine->ended.items[i] != session)
			continue;
		engine->ended.items[i] = engine->ended.items[--engine->ended.count];
		break;
	}
	session_destroy(session);
}
