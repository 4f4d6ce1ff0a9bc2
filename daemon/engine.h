/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profiler without its face: source, process table, symbols, aggregation
 * and sessions on one event loop. The server above it knows requests and
 * clients; the engine knows neither.
 *
 * A session is one question: which processes, which event, at which rate, from when
 * to when. Those with the id 0 are the system-wide views that are always on (if the
 * config has a rate for them): one of CPU time, one of page faults. They keep a sliding
 * history and never end.
 *
 * Life of a session: open → running → (engine_session_stop, its duration, or
 * the exit of its last process) → ended: `on_end` is called once, in its own
 * turn of the loop. An ended session keeps its samples until it is collected
 * or closed. engine_session_collect() resolves the names that are still
 * missing (bounded in time: what is not resolved by then gets its
 * "[module+0xoffset]") and hands over a profile.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <event2/event.h>
#include <jansson.h>

#include "daemon/base/error.h"
#include "daemon/config.h"
#include "daemon/history_query.h"
#include "flamegraph/profile.h"

struct engine;

enum session_end {
	SESSION_RUNNING,
	SESSION_END_STOPPED, /* by request */
	SESSION_END_DURATION,
	SESSION_END_PRECISION, /* it is as exact as was wished */
	SESSION_END_EXIT, /* its processes are gone */
	SESSION_END_ERROR,
};
const char *session_end_name(enum session_end end); /* "running", "stopped", "duration", … */

struct session_request {
	pid_t pid; /* 0: all processes the owner may see */
	bool wait_exec; /* leave out what the process does before its next exec */
	uint32_t frequency_hz; /* 0: the config's */
	bool by_pattern; /* nobody named a rate */
	uint64_t duration_ns; /* 0: until stopped */
	uint32_t precision_ppm; /* ends when any share is as exact, to either side; 0: likewise */
	uid_t owner; /* who asked; anyone but root/privileged gets own processes only */
	bool privileged; /* root or member of the socket group */
	bool background; /* goes on without its client */
	char title[256]; /* for the output; "" : made from the pid's comm */
	char event[16]; /* of daemon/event_kind.h; "": the config's */
};

struct session_info {
	uint32_t id;
	enum session_end end;
	pid_t pid;
	uid_t owner;
	bool background;
	uint32_t frequency_hz;
	uint64_t elapsed_ns;
	uint64_t duration_ns; /* 0: none */
	uint64_t samples; /* in the session */
	uint64_t weight; /* their sum */
	uint64_t lost;
	uint32_t processes; /* seen */
	uint64_t first_sample_ns; /* from open to the first sample in the daemon; 0: none yet */
	char title[256];
	const char *event; /* static */
};

typedef void session_end_fn(void *context, uint32_t id, enum session_end end);
/* profile is the callee's to destroy; NULL with an error. */
typedef void session_profile_fn(void *context, const struct error *error, struct profile *profile);

struct engine_options {
	const struct config *config; /* copied */
	const char *replay; /* a recording instead of BPF; NULL: BPF */
	const char *capture; /* also write all records there; NULL: do not */
	const char *program; /* for the worker, e.g. "/proc/self/exe" */
	bool tell_accounts; /* at the end, in the log: where every sample went */
	bool drop_privileges; /* once the programs are loaded: see privileges.h */
};

int engine_create(const struct engine_options *options, struct event_base *base,
		  struct error *error, struct engine **ret);
void engine_destroy(struct engine *engine);
/* Takes over the settings that may change while it runs (CONFIG_NOW); the others must be as
 * they were. */
void engine_reconfigure(struct engine *engine, const struct config *config);

/* 0 and the id; else an error for the one who asked: -ESRCH (no such process,
 * zombie), -EPERM (another user's), -EINVAL (kernel thread, rate), -ENOSPC (too
 * many sessions), -EOPNOTSUPP (event). */
int engine_session_open(struct engine *engine, const struct session_request *request,
			session_end_fn *on_end, void *context, struct error *error,
			uint32_t *ret_id);
int engine_session_stop(struct engine *engine, uint32_t id);
/* Calls back once, later. The session must have ended. */
int engine_session_collect(struct engine *engine, uint32_t id, session_profile_fn *done,
			   void *context);
/* A part of a system-wide view's history, in whole windows: those whose middle is in it, or that
 * touch it. */
struct engine_range {
	uint64_t since, until; /* boot time, ns; 0: open */
	bool touching;
};
/* Calls back once, later, with a copy of what there is so far; the session goes on. The
 * callback is not called any more once the session is closed. -EBUSY: another look is under
 * way. */
int engine_session_look(struct engine *engine, uint32_t id, session_profile_fn *done, void *context,
			struct error *error);
/* Likewise, and what is handed over is then forgotten: each sample comes in one such look. Times
 * in it, and what was lost, stay the session's own, from its opening to this look. -EOPNOTSUPP: a
 * session of allocations, which has to know them all. */
int engine_session_take(struct engine *engine, uint32_t id, session_profile_fn *done, void *context,
			struct error *error);
/* Likewise what is kept of the system-wide view of an event ("": of CPU time). -EOPNOTSUPP: no
 * such event, or no system-wide view of it; -ENODATA: the config has it off. */
int engine_recent(struct engine *engine, const char *event, const struct engine_range *range,
		  session_profile_fn *done, void *context, struct error *error);
/* Whether there is a history on disk: engine_recent() sees only what is in memory, which is
 * nothing then. */
bool engine_has_history(const struct engine *engine);
/* Calls back once, later: what the history has for a query, what was sampled until now
 * included. -ENOTSUP: there is none. */
int engine_history(struct engine *engine, const struct history_query *query,
		   session_profile_fn *done, void *context, struct error *error);
/* rows: {"rows": [...], "damaged_days": n}, the callee's; NULL with an error. */
typedef void engine_rows_fn(void *context, const struct error *error, json_t *rows);
/* `what`: "windows" or "services", as history_list.h has them. */
int engine_history_list(struct engine *engine, const struct history_query *query, const char *what,
			engine_rows_fn *done, void *context, struct error *error);
/* Forgets the session; pending callbacks of it are not called any more. */
void engine_session_close(struct engine *engine, uint32_t id);
int engine_session_info(const struct engine *engine, uint32_t id, struct session_info *ret);
/* For each session but 0, in order of id. */
void engine_session_each(const struct engine *engine,
			 void (*each)(void *context, const struct session_info *info),
			 void *context);
/* An id of the newest live session on this pid, or -ENOENT. */
int engine_session_find(const struct engine *engine, pid_t pid, uint32_t *ret_id);

/* Told once, out of the loop: 0 in error->code when libperfd-heap.so is in. */
typedef void engine_heap_fn(void *context, const struct error *error);
/* Puts libperfd-heap.so into the session's process, until the session ends. 0 and a
 * callback later; or -errno at once. Without it, -EOPNOTSUPP and so on, the session is
 * what it was. */
int engine_heap_attach(struct engine *engine, uint32_t id, engine_heap_fn *done, void *context,
		       struct error *error);
/* The callback is not called any more. */
void engine_heap_forget(struct engine *engine, void *context);

/* The rate of a session (0: of the system-wide view of CPU time) by hand, until it ends or is set
 * to 0: then the controller's again. -ENOENT, -EINVAL. */
int engine_set_rate(struct engine *engine, uint32_t id, uint32_t hz, struct error *error);
/* What `rates --json` prints: of all streams, or of the owner's sessions only. New reference. */
json_t *engine_rates(const struct engine *engine, bool all, uid_t owner);
/* What `status --json` prints, but for the server's own part. New reference. */
json_t *engine_status(struct engine *engine);
/* How often the source was read to its end so far: a daemon that works does so four times a
 * second or more often. */
uint64_t engine_drains(const struct engine *engine);
/* True when a replayed recording has been played to its end. */
bool engine_replay_done(const struct engine *engine);
