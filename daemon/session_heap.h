/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session's allocations: those that were sampled, and which of them are still in use, by
 * flamegraph/heap_tracker.h. Here processes become owners, and what the tracker knows becomes
 * a window of the session and series of its time line.
 *
 * A process that ends leaves what it had not freed; one that executes another program
 * loses all.
 */
#pragma once

#include <stdint.h>

#include "bpf/abi.h"
#include "flamegraph/heap_tracker.h"

struct process;
struct profile;
struct session;
struct window;

struct session_heap {
	struct heap_tracker tracker; /* snapshot_ns 0: nothing came yet */
	uint64_t measured; /* boot time, ns: live heap was put on the time line */
	uint32_t objects_max; /* that the tracker follows; 0: its own limit */
	/* Time that probes on functions were wanted, and in which they looked. */
	uint64_t wanted_ns, observed_ns;
};

struct session_allocation {
	uint64_t time, address; /* 0: nobody tells of its end */
	bool unfollowed; /* likewise, for want of room */
	/* Others of a time that nobody looked at, as one that was told before, which lived so long:
	 * heap_tracker_repeat(). */
	bool repeats;
	uint64_t life;
	uint64_t count, bytes; /* what it stands for; counts in 1/HEAP_COUNT_SCALE */
	uint32_t stack;
	uint8_t reason;
};

void session_heap_deinit(struct session_heap *heap);
void session_alloc(struct session *session, struct process *process,
		   const struct session_allocation *what);
/* `lost`: it is in use, but nobody will tell of its end. */
void session_free(struct session *session, struct process *process, uint64_t time, uint64_t address,
		  bool lost);
/* An address that is no allocation of its own, but will be freed. */
void session_heap_ignore(struct session *session, struct process *process, uint64_t time,
			 uint64_t address);
/* Nobody looked at the process's frees for a while: heap_tracker_break(). */
void session_heap_break(struct session *session, struct process *process, uint64_t time);
/* The process executes another program. */
void session_heap_exec(struct session *session, struct process *process, uint64_t time);
/* The process has ended. */
void session_heap_exit(struct session *session, struct process *process, uint64_t time);
/* Time passes: snapshots, time lines. */
void session_heap_tick(struct session *session, uint64_t now);
/* What the process has resident, by kind: what is not live heap goes on the time line. */
void session_heap_rss(struct session *session, struct process *process, uint64_t time,
		      const __u64 *bytes);
/* What there is now as a window that holds it (window.h), the caller's: -ENODATA: nothing was
 * sampled; -ENOMEM. */
int session_heap_window(struct session *session, uint64_t now, struct window *ret);
/* The session is over: what there is becomes one of its windows. */
void session_heap_finish(struct session *session);
/* What there was no room for, for the profile's counts. */
void session_heap_counts(const struct session *session, struct profile *profile);
