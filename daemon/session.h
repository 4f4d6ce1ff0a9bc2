/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session's samples: the window that is being filled, the windows that wait
 * for names, and the profile into which they are folded. Session 0 keeps a
 * profile a window for a sliding history instead of one for all.
 *
 * Counts are kept from the session's own records; what the kernel side lost is
 * added by the engine when the session ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>

#include "bpf/abi.h"
#include "daemon/engine.h"
#include "daemon/peer.h"
#include "daemon/session_heap.h"
#include "daemon/session_times.h"
#include "daemon/window.h"

struct cgroup_table;

/* A process of the session. */
struct session_member {
	struct process *process; /* a reference */
	uint32_t profile_index;
	uint32_t execs; /* process->execs when permission was last looked up */
	bool allowed;
};

struct session_history {
	struct profile *profile;
	uint64_t start, end; /* boot time, ns */
	bool fine; /* its buckets are SESSION_STEP_NS wide, not a window */
};

/* Samples are told apart by when they were taken, as fine as this, as long as there are not
 * too many of them: then buckets become wider, up to a window. */
#define SESSION_STEP_NS (20 * 1000000ULL)
#define SESSION_FINE_SAMPLES 100000u /* of a profile; of session 0: of its history */
/* So long windows of session 0 stay fine. */
#define SESSION_FINE_NS (60 * 1000000000ULL)

struct session {
	struct engine *engine; /* for the timer */
	uint32_t id;
	uint32_t slot;
	struct session_request request;
	struct peer owner;
	enum abi_source source;
	bool judged; /* what comes is what the owner might see when it was sampled */
	enum session_end end;
	uint64_t opened, ended; /* boot time, ns */
	uint64_t rolled; /* likewise: what was sampled by then is in no open window */
	/* Likewise, at `opened` or before: windows begin whole windows after it, so that those who
	 * have the same one end theirs together; the first may be shorter. */
	uint64_t grid;
	uint64_t opened_real; /* the clock's time then; of views as it has it now */
	uint64_t window_ns;
	uint64_t step_ns; /* SESSION_STEP_NS, or window_ns if that is no multiple of it */
	struct process *target; /* a reference; NULL: all processes */

	struct window window; /* being filled; end 0: not begun */
	VEC(struct window) closed; /* waiting for names, oldest first */
	struct profile *profile; /* all but session 0: what was folded so far */
	VEC(struct session_history) history; /* session 0 */
	/* Session 0: windows go there instead, if it is set; the profile is the callee's. */
	void (*keep)(void *context, struct profile *profile);
	void *keep_context;
	struct cgroup_table *cgroups; /* NULL: processes' are not told */
	VEC(struct session_member) members;
	struct hashmap member_index; /* process serial -> index */
	struct session_times times; /* measured and marked, not yet in a profile */

	uint64_t samples, weight;
	double squares; /* of weights, summed */
	uint64_t reasons[ABI_REASON_COUNT]; /* of the samples received */
	uint64_t refused; /* samples of processes that the owner may not see */
	uint64_t limited; /* samples above a limit */
	uint64_t first_sample; /* boot time, ns; 0: none yet */
	struct abi_counters counters_before; /* of the slot, when it was opened */
	struct abi_counters counters; /* since then, once ended */
	uint64_t sideband_lost_before, sideband_lost;
	struct abi_counters counters_seen; /* of the slot, at the last look */
	uint64_t sideband_lost_seen, limited_seen;
	uint64_t lost[ABI_REASON_COUNT]; /* session 0: since the last window was kept */
	uint64_t late; /* likewise */

	struct session_heap heap; /* of a session of allocations */

	session_end_fn *on_end;
	void *end_context;
	session_profile_fn *on_profile; /* collecting while not NULL */
	void *profile_context;
	session_profile_fn *on_look; /* likewise, for a copy */
	void *look_context;
	uint64_t collect_deadline, look_deadline; /* boot time, ns */
	uint64_t look_began; /* likewise */
	bool look_takes; /* what it shows is then forgotten */
	struct engine_range range; /* session 0: what the look is at */
	struct event *timer; /* duration, then callbacks */
	struct event *look_timer; /* NULL: nobody has looked yet */
};

/* What a session reads from while folding. */
struct session_tables {
	const struct stack_table *stacks;
	const struct image_table *images;
	uint64_t samples_max;
};

struct session *session_create(uint32_t id, const struct session_request *request,
			       uint64_t window_ns);
void session_destroy(struct session *session);

/* The member for a process, made if it is new; NULL above the limit of memory.
 * Asks, once an exec, whether the owner may see the process. */
struct session_member *session_member(struct session *session, struct process *process);
/* Likewise, without asking. */
struct session_member *session_member_put(struct session *session, struct process *process);
void session_drop_members(struct session *session);
/* A child of a member: seen, with what its parent was allowed. */
void session_forked(struct session *session, struct process *parent, struct process *child);

/* One sample, its process and stacks found. False: it is not in the session. */
bool session_add(struct session *session, const struct abi_sample *sample, struct process *process,
		 const char *comm, uint32_t kernel_stack, uint32_t user_stack, uint8_t reason);
/* The same for one that is put together already. False: it is not in the session. */
bool session_put(struct session *session, struct process *process, uint64_t time,
		 const struct window_sample *sample);
/* What its slot has counted so far (of the process events all that were lost): what was
 * lost since the last call is marked. */
void session_count_lost(struct session *session, const struct abi_counters *counters,
			uint64_t sideband_lost);
/* Something that happened, now; `value`: how much, 0: nothing to count. */
void session_mark(struct session *session, const char *key, uint64_t value, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
/* A view: if the clock was set since, its windows are under the new time from now on. By how many
 * ns, or 0; what is less than a second is left for later. */
int64_t session_follow_clock(struct session *session);
/* A quantity of a process of the session (NULL: of all its processes together). */
void session_measure(struct session *session, const struct session_measure *measure);
/* Closes the window at `now` if its time is over (or force). */
void session_roll(struct session *session, uint64_t now, bool force);
/* Folds closed windows: those whose names are there, and all that ended before
 * `overdue` in any case. */
void session_fold(struct session *session, const struct session_tables *tables, uint64_t overdue);
/* True when no window waits any more. */
bool session_folded(const struct session *session);
/* Session 0: forgets what ended before, and makes coarse what is older than SESSION_FINE_NS. */
void session_expire(struct session *session, uint64_t before, uint64_t now);
/* The profile, finished, the caller's: meta data, processes, counts. With
 * session 0 a merge of what its range has. NULL without memory. */
struct profile *session_profile(struct session *session, uint64_t now);
/* Likewise a copy, with which the session goes on. */
struct profile *session_copy(struct session *session, const struct session_tables *tables,
			     uint64_t now);
/* Likewise what came since the last take; the session goes on without it. Not session 0. */
struct profile *session_take(struct session *session, uint64_t now);
