/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/session_heap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/session.h"

/* Live heap goes on the time line this often; with many processes less. */
#define MEASURE_NS (100 * NSEC_PER_MSEC)
#define MEASURE_MANY_NS NSEC_PER_SEC
#define MANY_OWNERS 64u
/* The true value lies within so many standard errors 95 times of 100. */
#define BAND 1.96

#define KIND(text, in, step)                                                                       \
	{                                                                                          \
		.name = (text), .group = (in), .unit = "bytes", .kind = SERIES_LEVEL,              \
		.step_ns = (step)                                                                  \
	}
/* The most of each step. */
static const struct measure_kind most_kind = KIND("live", "", MEASURE_NS);
/* The parts of what is resident, at one moment. */
static const struct measure_kind live_kind = KIND("live heap", "heap", NSEC_PER_SEC);
static const struct measure_kind anon_kind = KIND("other anonymous", "heap", NSEC_PER_SEC);
static const struct measure_kind file_kind = KIND("file and shared", "heap", NSEC_PER_SEC);

void session_heap_deinit(struct session_heap *heap)
{
	heap_tracker_deinit(&heap->tracker);
}

static struct heap_tracker *tracker_of(struct session *session)
{
	struct heap_tracker *tracker = &session->heap.tracker;

	if (!tracker->snapshot_ns) {
		heap_tracker_init(tracker, session->opened);
		if (session->heap.objects_max)
			tracker->objects_max = session->heap.objects_max;
	}
	return tracker;
}

/* HEAP_OWNERS_MAX: what it does is not the session's to know, or there is no room. */
static uint32_t owner_of(struct session *session, struct process *process)
{
	struct session_member *member = session_member(session, process);
	size_t number = member ? (size_t)(member - session->members.items) : HEAP_OWNERS_MAX;

	return member && member->allowed && number < HEAP_OWNERS_MAX ? (uint32_t)number
								     : HEAP_OWNERS_MAX;
}

/* ---- time lines ---- */

static void measure(struct session *session, const struct measure_kind *kind,
		    struct process *process, uint64_t time, uint64_t value, double error)
{
	uint64_t off = (uint64_t)llround(BAND * error);
	struct session_measure what = {.kind = kind, .process = process, .time = time};

	what.point.value = value;
	what.point.low = value > off ? value - off : 0;
	what.point.high = value + off;
	session_measure(session, &what);
}

static void measure_live(struct session *session, uint32_t owner, uint64_t time)
{
	struct heap_sum most = heap_tracker_take_most(&session->heap.tracker, owner);

	measure(session, &most_kind, session->members.items[owner].process, time, most.bytes,
		heap_sum_bytes_error(&most));
}

static void measure_all(struct session *session, uint64_t now)
{
	struct session_heap *heap = &session->heap;
	size_t owners = heap->tracker.owners.count;
	uint64_t interval = owners > MANY_OWNERS ? MEASURE_MANY_NS : MEASURE_NS;

	/* Without frees nothing is known of what is in use; and where they were not looked at
	 * for a while, a line would fall to nothing. */
	if (!heap->tracker.follows || heap->tracker.breaks || now < heap->measured + interval)
		return;
	for (uint32_t owner = 0; owner < owners; owner++)
		if (!heap->tracker.owners.items[owner].ended)
			measure_live(session, owner, now);
	heap->measured = now;
}

void session_heap_tick(struct session *session, uint64_t now)
{
	struct heap_tracker *tracker = &session->heap.tracker;

	if (!tracker->follows)
		return;
	heap_tracker_tick(tracker, now);
	measure_all(session, now);
}

void session_heap_rss(struct session *session, struct process *process, uint64_t time,
		      const __u64 *bytes)
{
	const struct heap_tracker *tracker = &session->heap.tracker;
	uint32_t owner = owner_of(session, process);
	uint64_t anon = bytes[ABI_MEMORY_ANON], live;
	double error;

	if (owner >= tracker->owners.count || !tracker->follows || tracker->breaks)
		return;
	live = tracker->owners.items[owner].live.bytes;
	error = heap_sum_bytes_error(&tracker->owners.items[owner].live);
	measure(session, &live_kind, process, time, live, error);
	measure(session, &anon_kind, process, time, anon > live ? anon - live : 0,
		anon > live ? error : 0);
	measure(session, &file_kind, process, time,
		bytes[ABI_MEMORY_FILE] + bytes[ABI_MEMORY_SHMEM], 0);
}

/* ---- events ---- */

void session_alloc(struct session *session, struct process *process,
		   const struct session_allocation *what)
{
	uint32_t owner = owner_of(session, process);
	struct window_sample sample = {
		.process = process,
		.kernel_stack = STACK_NONE,
		.user_stack = what->stack,
		.reason = what->reason,
		.repeats = what->repeats,
		.count = what->count,
		.weight = what->bytes,
	};
	struct heap_allocation allocation = {
		.time = what->time,
		.owner = owner,
		.stack = what->stack,
		.reason = what->reason,
		.address = what->address,
		.unfollowed = what->unfollowed,
		.count = what->count,
		.bytes = what->bytes,
	};

	memcpy(sample.comm, process->comm, sizeof(sample.comm));
	if (!session_put(session, process, what->time, &sample) || owner >= HEAP_OWNERS_MAX)
		return;
	if (what->repeats)
		heap_tracker_repeat(tracker_of(session), &allocation, what->life);
	else
		heap_tracker_alloc(tracker_of(session), &allocation);
	measure_all(session, what->time);
}

void session_free(struct session *session, struct process *process, uint64_t time, uint64_t address,
		  bool lost)
{
	uint32_t owner = owner_of(session, process);

	if (owner >= HEAP_OWNERS_MAX)
		return;
	/* What is on the time line is the most of the time until now. */
	measure_all(session, time);
	if (lost)
		heap_tracker_lose(tracker_of(session), time, owner, address);
	else
		heap_tracker_free(tracker_of(session), time, owner, address);
}

void session_heap_ignore(struct session *session, struct process *process, uint64_t time,
			 uint64_t address)
{
	heap_tracker_ignore(tracker_of(session), time, owner_of(session, process), address);
}

void session_heap_break(struct session *session, struct process *process, uint64_t time)
{
	uint32_t owner = owner_of(session, process);

	if (session->heap.tracker.snapshot_ns && owner < HEAP_OWNERS_MAX)
		heap_tracker_break(&session->heap.tracker, time, owner);
}

void session_heap_exec(struct session *session, struct process *process, uint64_t time)
{
	uint32_t owner = owner_of(session, process);

	if (session->heap.tracker.snapshot_ns && owner < HEAP_OWNERS_MAX)
		heap_tracker_clear(&session->heap.tracker, time, owner);
}

void session_heap_exit(struct session *session, struct process *process, uint64_t time)
{
	struct heap_tracker *tracker = &session->heap.tracker;
	uint32_t owner;

	if (!tracker->snapshot_ns)
		return;
	owner = owner_of(session, process);
	if (owner >= tracker->owners.count)
		return;
	if (tracker->follows && !tracker->breaks)
		measure_live(session, owner, time);
	heap_tracker_end(tracker, time, owner);
}

/* ---- the result ---- */

static int add_site(struct session *session, const struct heap_tracked *tracked, size_t number,
		    struct window *window)
{
	struct window_sample sample = {
		.process = session->members.items[tracked->owner].process,
		.user_stack = tracked->site.stack,
		.kernel_stack = STACK_NONE,
		.reason = tracked->reason,
		.site = (uint32_t)number + 1,
	};

	memcpy(sample.comm, sample.process->comm, sizeof(sample.comm));
	return window_add(window, &sample);
}

int session_heap_window(struct session *session, uint64_t now, struct window *ret)
{
	struct heap_tracker *tracker = &session->heap.tracker;
	struct window window = {.start = session->opened,
				.end = session->opened + session->window_ns,
				.heap = calloc(1, sizeof(*window.heap))};
	int r = window.heap ? 0 : -ENOMEM;

	if (!r && !tracker->sites.count)
		r = -ENODATA;
	if (!r)
		r = heap_tracker_export(tracker, session->opened, now, window.heap);
	if (!r) {
		window.heap->wanted_ns = session->heap.wanted_ns;
		window.heap->observed_ns = session->heap.observed_ns;
	}
	for (size_t i = 0; !r && i < tracker->sites.count; i++)
		r = add_site(session, &tracker->sites.items[i], i, &window);
	if (r) {
		window_deinit(&window);
		return r;
	}
	*ret = window;
	return 0;
}

void session_heap_finish(struct session *session)
{
	uint64_t end = session->ended ? session->ended : clock_boot_ns();
	struct window window;
	int r = session_heap_window(session, end, &window);

	if (!r && vec_push(&session->closed, window)) {
		window_deinit(&window);
		r = -ENOMEM;
	}
	if (r == -ENOMEM)
		session->limited += session->heap.tracker.sites.count;
}

void session_heap_counts(const struct session *session, struct profile *profile)
{
	const struct heap_tracker *tracker = &session->heap.tracker;
	uint64_t wanted = session->heap.wanted_ns, observed = session->heap.observed_ns;

	if (wanted > observed && (wanted - observed) / NSEC_PER_MSEC)
		profile_add_count(
			profile, "heap_unseen",
			"milliseconds in which the allocators had no probes: what the next "
			"probes see first stands for them, or what the last ones saw",
			(wanted - observed) / NSEC_PER_MSEC, 0);
	if (tracker->untracked)
		profile_add_count(profile, "heap_untracked",
				  "sampled allocations that there was no room to follow: in no "
				  "figure of what is in use",
				  tracker->untracked, 0);
	if (tracker->lost_frees)
		profile_add_count(profile, "heap_lost_frees",
				  "sampled allocations whose free was not seen, only their "
				  "address again",
				  tracker->lost_frees, 0);
	if (tracker->unknown_frees)
		profile_add_count(profile, "heap_unknown_frees",
				  "frees of what was not followed: its allocation was lost, or is "
				  "from before",
				  tracker->unknown_frees, 0);
}
