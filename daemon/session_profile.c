/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What becomes of a session's samples: windows folded into profiles, the history of session
 * 0, and the result.
 */
#include "daemon/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/cgroup_table.h"
#include "daemon/event_kind.h"
#include "daemon/reason.h"

#define LATE_WINDOWS_MAX 600u /* of a session, that wait for names of compilers */

/* ---- folding ---- */

static struct profile *begin_profile(struct session *session)
{
	struct profile *profile = profile_create();
	const struct event_kind *kind = event_kind_of(session->source);

	if (!profile)
		return NULL;
	profile_add_value_type(profile, kind->count, "count");
	profile->default_value = profile_add_value_type(profile, kind->value, kind->unit);
	if (session->source == ABI_SOURCE_HEAP) {
		/* pprof's names, and two more pairs in their manner; as window_fold() has them. */
		profile_add_value_type(profile, "inuse_objects", "count");
		profile_add_value_type(profile, "inuse_space", "bytes");
		profile_add_value_type(profile, "peak_objects", "count");
		profile_add_value_type(profile, "peak_space", "bytes");
		profile_add_value_type(profile, "temporary_objects", "count");
		profile_add_value_type(profile, "temporary_space", "bytes");
	}
	profile->bucket_ns = session->step_ns;
	return profile;
}

static uint32_t process_index(void *context, struct process *process)
{
	struct session *session = context;
	struct session_member *member = session_member_put(session, process);
	struct profile_process empty = {.pid = process->pid};

	if (!member)
		return PROFILE_NONE;
	/* What the owner may not see is in no window; members may have been dropped since. */
	member->allowed = true;
	if (member->profile_index == PROFILE_NONE)
		member->profile_index = profile_add_process(session->profile, &empty);
	return member->profile_index;
}

/* Times of a process on the profile's axis; 0: before its beginning, or alive. */
static uint64_t on_axis(uint64_t time, uint64_t opened)
{
	return time > opened ? time - opened : 0;
}

static const char *cgroup_of(const struct session *session, const struct process *process)
{
	return session->cgroups && process->cgroup
		       ? cgroup_table_path(session->cgroups, process->cgroup)
		       : "";
}

static struct profile_process describe_process(const struct session *session,
					       const struct process *process, uint64_t start,
					       struct profile *profile)
{
	return (struct profile_process){
		.pid = process->pid,
		.ppid = process->ppid,
		.start_ns = on_axis(process->start, start),
		.end_ns = on_axis(process->end, start),
		.birth_ns = session->opened_real - session->opened + process->start,
		.comm = profile_string(profile, process->comm),
		.cgroup = profile_string(profile, cgroup_of(session, process)),
	};
}

/* Writes what is known of the members now into the profile. */
static void finish_processes(struct session *session, uint64_t start)
{
	struct profile *profile = session->profile;

	for (size_t i = 0; i < session->members.count; i++) {
		const struct session_member *member = &session->members.items[i];
		const struct process *process = member->process;
		uint32_t index;

		if (!member->allowed)
			continue;
		index = process_index(session, member->process);
		if (index != PROFILE_NONE)
			profile->processes.items[index] =
				describe_process(session, process, start, profile);
	}
}

/* More than so many are told apart less by when they were. */
static size_t fine_samples(const struct session_tables *tables)
{
	return tables->samples_max / 2 < SESSION_FINE_SAMPLES ? tables->samples_max / 2
							      : SESSION_FINE_SAMPLES;
}

/* The next width of buckets that a window is a multiple of. */
static uint64_t wider(const struct session *session, uint64_t bucket_ns)
{
	static const uint64_t widths[] = {100000000, 200000000, 1000000000};

	for (size_t i = 0; i < sizeof(widths) / sizeof(*widths); i++) {
		if (widths[i] > bucket_ns && session->window_ns % widths[i] == 0)
			return widths[i];
	}
	return session->window_ns;
}

/* What an empty profile of that width is merged with gets it. Without memory it stays. */
static void widen(struct profile *profile, uint64_t bucket_ns)
{
	_cleanup_profile_ struct profile *wide = NULL;

	if (bucket_ns <= profile->bucket_ns)
		return;
	wide = profile_create();
	if (!wide)
		return;
	wide->bucket_ns = bucket_ns;
	profile_merge(profile, wide);
}

static void apply_times(struct session *session, uint64_t start, uint64_t until)
{
	struct session_times_apply how = {.profile = session->profile,
					  .start = start,
					  .until = until,
					  .process = process_index,
					  .context = session};

	session_times_apply(&session->times, &how);
}

static void fold_one(struct session *session, const struct session_tables *tables,
		     struct window *window)
{
	struct window_fold how = {.stacks = tables->stacks,
				  .images = tables->images,
				  .process = process_index,
				  .context = session};

	if (!session->profile)
		session->profile = begin_profile(session);
	if (!session->profile || session->profile->samples.count > tables->samples_max) {
		session->limited += window->samples.count;
		return;
	}
	window_settle(window, tables->stacks, session->reasons);
	how.profile = session->profile;
	how.scale = session->source == ABI_SOURCE_HEAP ? HEAP_COUNT_SCALE : 0;
	if (session->id)
		how.begins_ns = window->start - session->opened;
	if (window_fold(window, &how))
		session->limited += window->samples.count;
	if (session->profile->samples.count > fine_samples(tables))
		widen(session->profile, wider(session, session->profile->bucket_ns));
	apply_times(session, session->id ? session->opened : window->start, window->end);
}

static int add_count(struct profile *profile, unsigned int reason, uint64_t count)
{
	return count ? profile_add_count(profile, reason_key(reason), reason_text(reason), count,
					 reason_is_loss(reason))
		     : 0;
}

/* Allocations are counted by what they stand for; how many were looked at is said apart. */
static void add_sampled(const struct session *session, struct profile *profile,
			const uint64_t reasons[ABI_REASON_COUNT])
{
	uint64_t sampled = 0;

	for (unsigned int reason = 0; reason < ABI_REASON_COUNT; reason++)
		sampled += reason_is_loss(reason) ? 0 : reasons[reason];
	if (sampled && session->source == ABI_SOURCE_HEAP)
		profile_add_count(profile, PROFILE_SAMPLED_KEY,
				  "sampled allocations, of which all figures are estimates",
				  sampled, 0);
}

static void add_late(struct profile *profile, uint64_t late)
{
	if (late)
		profile_add_count(profile, "late_periods",
				  "timer periods that passed unseen and count in a later sample",
				  late, 0);
}

/* Session 0: a window's own, so that what is asked of a part of the time has no more. */
static void count_window(struct session *session, const struct window *window)
{
	uint64_t reasons[ABI_REASON_COUNT] = {0};

	for (size_t i = 0; i < window->samples.count; i++) {
		const struct window_sample *sample = &window->samples.items[i];

		if (sample->reason < ABI_REASON_COUNT)
			reasons[sample->reason] += sample->count;
	}
	for (unsigned int reason = 0; reason < ABI_REASON_COUNT; reason++) {
		add_count(session->profile, reason,
			  reason_is_loss(reason) ? session->lost[reason] : reasons[reason]);
		session->lost[reason] = 0;
	}
	add_sampled(session, session->profile, reasons);
	add_late(session->profile, session->late);
	session->late = 0;
}

/* What was sampled, where, how often. */
static void name_source(const struct session *session, struct profile *profile)
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	profile->host = profile_string(profile, host);
	/* Allocations are not sampled at a rate. */
	profile->frequency_hz =
		session->source == ABI_SOURCE_HEAP ? 0 : session->request.frequency_hz;
	profile->title = profile_string(profile, session->request.title);
	profile->event = profile_string(profile, event_kind_of(session->source)->name);
}

/* Session 0: the window's profile goes into the history. */
static void keep_history(struct session *session, const struct window *window)
{
	struct session_history entry = {.profile = session->profile,
					.start = window->start,
					.end = window->end,
					.fine = session->profile &&
						session->profile->bucket_ns < session->window_ns};

	if (!session->profile)
		return;
	count_window(session, window);
	finish_processes(session, window->start);
	entry.profile->start_ns = session->opened_real + (window->start - session->opened);
	entry.profile->duration_ns = window->end - window->start;
	entry.profile->frequency_hz = session->request.frequency_hz;
	session->profile = NULL;
	session_drop_members(session);
	if (session->keep) {
		uint64_t now = clock_boot_ns();

		/* By the wall clock as it is now: it may have been set since we began. A window
		 * that was ended early, by a question or our end, has not seen its rest. */
		entry.profile->start_ns = clock_real_ns() - (now - window->start);
		if (window->end > now)
			entry.profile->duration_ns = now - window->start;
		name_source(session, entry.profile);
		session->keep(session->keep_context, entry.profile);
		return;
	}
	if (vec_push(&session->history, entry))
		profile_destroy(entry.profile);
}

/* A compiler tells its names late, perhaps at the end: a running session has time. */
static bool waits_for_compiler(const struct session *session, const struct session_tables *tables,
			       uint64_t overdue)
{
	return session->id && session->end == SESSION_RUNNING && overdue != UINT64_MAX &&
	       session->closed.count <= LATE_WINDOWS_MAX &&
	       window_late(&session->closed.items[0], tables->stacks);
}

void session_fold(struct session *session, const struct session_tables *tables, uint64_t overdue)
{
	size_t done = 0;

	while (done < session->closed.count) {
		struct window *window = &session->closed.items[done];

		if (window->end > overdue && !window_resolved(window, tables->stacks))
			break;
		if (waits_for_compiler(session, tables, overdue))
			break;
		fold_one(session, tables, window);
		if (!session->id)
			keep_history(session, window);
		window_deinit(window);
		done++;
	}
	if (!done)
		return;
	session->closed.count -= done;
	memmove(session->closed.items, session->closed.items + done,
		session->closed.count * sizeof(*session->closed.items));
}

bool session_folded(const struct session *session)
{
	return !session->closed.count;
}

/* The newest windows stay fine, as long as they are not too many samples. */
static void make_coarse(struct session *session, uint64_t now)
{
	size_t samples = 0;

	for (size_t i = session->history.count; i-- > 0;) {
		struct session_history *entry = &session->history.items[i];

		if (!entry->fine)
			return;
		samples += entry->profile->samples.count;
		if (entry->end + SESSION_FINE_NS > now && samples <= SESSION_FINE_SAMPLES)
			continue;
		widen(entry->profile, session->window_ns);
		entry->fine = false;
	}
}

void session_expire(struct session *session, uint64_t before, uint64_t now)
{
	size_t gone = 0;

	make_coarse(session, now);
	while (gone < session->history.count && session->history.items[gone].end < before)
		profile_destroy(session->history.items[gone++].profile);
	if (!gone)
		return;
	session->history.count -= gone;
	memmove(session->history.items, session->history.items + gone,
		session->history.count * sizeof(*session->history.items));
}

/* ---- the result ---- */

static void finish_counts(const struct session *session, struct profile *profile)
{
	for (unsigned int reason = 0; session->id && reason < ABI_REASON_COUNT; reason++) {
		uint64_t count = reason_is_loss(reason) ? session->counters.samples[reason]
							: session->reasons[reason];

		if (reason == ABI_REASON_LOST_SIDEBAND)
			count += session->sideband_lost;
		if (reason == ABI_REASON_LOST_LIMIT)
			count += session->limited;
		add_count(profile, reason, count);
	}
	if (session->id) {
		add_sampled(session, profile, session->reasons);
		add_late(profile, session->counters.late);
	}
	if (session->source == ABI_SOURCE_HEAP)
		session_heap_counts(session, profile);
	if (session->times.dropped)
		profile_add_count(profile, "times_dropped",
				  "measures and marks that there was no room for",
				  session->times.dropped, 0);
	if (session->refused)
		profile_add_count(profile, "refused", "samples of other users' processes, left out",
				  session->refused, 0);
}

/* The range's bounds on the grid of windows. */
static void on_grid(const struct session *session, uint64_t now, uint64_t *since, uint64_t *until)
{
	const struct engine_range *range = &session->range;
	uint64_t window = session->window_ns, opened = session->opened, grid = session->grid;
	uint64_t half = range->touching ? 0 : window / 2;

	*since = opened;
	if (range->since > opened)
		*since = grid + (range->since - grid + half) / window * window;
	*until = now;
	if (range->until && range->until < now)
		*until = range->until > opened && !range->touching
				 ? grid + (range->until - grid + half) / window * window
				 : range->until;
	if (*until > now)
		*until = now;
	if (session->history.count && session->history.items[0].start > *since)
		*since = session->history.items[0].start;
}

static struct profile *merge_history(struct session *session, uint64_t now)
{
	struct profile *all = begin_profile(session);
	uint64_t since, until;

	on_grid(session, now, &since, &until);
	for (size_t i = 0; all && i < session->history.count; i++) {
		const struct session_history *entry = &session->history.items[i];

		if (entry->start < since || entry->start >= until)
			continue;
		/* The axis begins where the range does. */
		if (!all->start_ns)
			all->start_ns = session->opened_real + (since - session->opened);
		profile_merge(all, entry->profile);
	}
	if (all) {
		all->start_ns = session->opened_real + (since - session->opened);
		all->duration_ns = until > since ? until - since : 0;
	}
	return all;
}

static void describe(const struct session *session, struct profile *profile, uint64_t now)
{
	if (session->id) {
		profile->start_ns = session->opened_real;
		profile->duration_ns = (session->ended ? session->ended : now) - session->opened;
	}
	name_source(session, profile);
	finish_counts(session, profile);
}

/* What was folded so far, with what is known of the processes now. */
static struct profile *settled_profile(struct session *session)
{
	if (!session->profile)
		session->profile = begin_profile(session);
	if (session->profile) {
		apply_times(session, session->opened, UINT64_MAX);
		finish_processes(session, session->opened);
	}
	return session->profile;
}

struct profile *session_profile(struct session *session, uint64_t now)
{
	struct profile *profile;

	if (!session->id) {
		profile = merge_history(session, now);
	} else {
		profile = settled_profile(session);
		session->profile = NULL;
	}
	if (profile)
		describe(session, profile, now);
	return profile;
}

/* Folding what is in use now into a profile of its own: that of the session goes on. */
struct heap_fold {
	struct session *session;
	struct profile *profile;
	struct hashmap processes; /* serial -> index */
};

static uint32_t heap_process(void *context, struct process *process)
{
	struct heap_fold *fold = context;
	uint64_t *known = hashmap_get(&fold->processes, process->serial);
	struct profile_process row;
	uint32_t index;

	if (known)
		return (uint32_t)*known;
	row = describe_process(fold->session, process, fold->session->opened, fold->profile);
	index = profile_add_process(fold->profile, &row);
	return hashmap_put(&fold->processes, process->serial, index) ? PROFILE_NONE : index;
}

static int add_heap(struct session *session, const struct session_tables *tables, uint64_t now,
		    struct profile *copy)
{
	_cleanup_profile_ struct profile *profile = begin_profile(session);
	struct heap_fold fold = {.session = session, .profile = profile};
	struct window_fold how = {.stacks = tables->stacks,
				  .images = tables->images,
				  .profile = profile,
				  .scale = HEAP_COUNT_SCALE,
				  .process = heap_process,
				  .context = &fold};
	uint64_t reasons[ABI_REASON_COUNT] = {0}; /* counted already */
	struct window window;
	int r = session_heap_window(session, now, &window);

	if (r)
		return r == -ENODATA ? 0 : r;
	window_settle(&window, tables->stacks, reasons);
	r = profile ? window_fold(&window, &how) : -ENOMEM;
	if (!r)
		r = profile_merge(copy, profile);
	hashmap_deinit(&fold.processes);
	window_deinit(&window);
	return r;
}

struct profile *session_copy(struct session *session, const struct session_tables *tables,
			     uint64_t now)
{
	struct profile *profile, *copy;

	if (!session->id)
		return session_profile(session, now);
	profile = settled_profile(session);
	copy = profile ? begin_profile(session) : NULL;
	/* Once it has ended, what is in use is a window like the others. */
	if (copy && (profile_merge(copy, profile) ||
		     (session->source == ABI_SOURCE_HEAP && !session->ended &&
		      add_heap(session, tables, now, copy)))) {
		profile_destroy(copy);
		copy = NULL;
	}
	if (copy)
		describe(session, copy, now);
	return copy;
}

/* Who ended is in no window any more. */
static void forget_ended(struct session *session)
{
	size_t kept = 0;

	hashmap_clear(&session->member_index);
	for (size_t i = 0; i < session->members.count; i++) {
		struct session_member member = session->members.items[i];

		member.profile_index = PROFILE_NONE;
		/* What it left is known by its number. */
		if ((member.process->end && session->source != ABI_SOURCE_HEAP) ||
		    hashmap_put(&session->member_index, member.process->serial, kept))
			process_unref(member.process);
		else
			session->members.items[kept++] = member;
	}
	session->members.count = kept;
}

struct profile *session_take(struct session *session, uint64_t now)
{
	struct profile *profile = session_profile(session, now);

	forget_ended(session);
	return profile;
}
