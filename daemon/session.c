/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/event_kind.h"
#include "daemon/reason.h"

#define LATE_WINDOWS_MAX 600u /* of a session, that wait for names of compilers */

struct session *session_create(uint32_t id, const struct session_request *request,
			       uint64_t window_ns)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->id = id;
	session->request = *request;
	session->owner = (struct peer){.uid = request->owner, .privileged = request->privileged};
	session->window_ns = window_ns;
	session->opened = clock_boot_ns();
	session->opened_real = clock_real_ns();
	return session;
}

static void drop_members(struct session *session)
{
	for (size_t i = 0; i < session->members.count; i++)
		process_unref(session->members.items[i].process);
	vec_clear(&session->members);
	hashmap_clear(&session->member_index);
}

void session_destroy(struct session *session)
{
	if (!session)
		return;
	window_deinit(&session->window);
	for (size_t i = 0; i < session->closed.count; i++)
		window_deinit(&session->closed.items[i]);
	vec_free(&session->closed);
	profile_destroy(session->profile);
	for (size_t i = 0; i < session->history.count; i++)
		profile_destroy(session->history.items[i].profile);
	vec_free(&session->history);
	drop_members(session);
	vec_free(&session->members);
	hashmap_deinit(&session->member_index);
	session_times_deinit(&session->times);
	process_unref(session->target);
	if (session->timer)
		event_free(session->timer);
	free(session);
}

/* ---- members ---- */

static void look_up_permission(struct session *session, struct session_member *member)
{
	member->execs = member->process->execs;
	member->allowed = session->owner.privileged ||
			  !peer_may_see(&session->owner, (pid_t)member->process->pid, NULL);
}

static struct session_member *member_put(struct session *session, struct process *process)
{
	uint64_t *known = hashmap_get(&session->member_index, process->serial);
	struct session_member member = {.process = process, .profile_index = PROFILE_NONE};

	if (known)
		return &session->members.items[*known];
	if (vec_push(&session->members, member))
		return NULL;
	if (hashmap_put(&session->member_index, process->serial, session->members.count - 1)) {
		session->members.count--;
		return NULL;
	}
	process_ref(process);
	return &session->members.items[session->members.count - 1];
}

struct session_member *session_member(struct session *session, struct process *process)
{
	size_t before = session->members.count;
	struct session_member *member = member_put(session, process);

	if (member && (session->members.count > before || member->execs != process->execs))
		look_up_permission(session, member);
	return member;
}

void session_forked(struct session *session, struct process *parent, struct process *child)
{
	struct session_member *member = session_member(session, parent);
	bool allowed = member && member->allowed;

	/* A fork keeps its parent's credentials; the child may be gone already, so
	 * nobody is asked before its first exec. */
	member = member_put(session, child);
	if (member) {
		member->execs = child->execs;
		member->allowed = allowed;
	}
}

/* ---- filling ---- */

/* Windows lie on a grid from the session's beginning. */
static void begin_window(struct session *session, uint64_t time)
{
	uint64_t since = time > session->opened ? time - session->opened : 0;

	session->window.start = session->opened + since - since % session->window_ns;
	session->window.end = session->window.start + session->window_ns;
}

void session_add(struct session *session, const struct abi_sample *sample, struct process *process,
		 const char *comm, uint32_t kernel_stack, uint32_t user_stack, uint8_t reason)
{
	struct session_member *member = session_member(session, process);
	struct window_sample add = {.process = process,
				    .kernel_stack = kernel_stack,
				    .user_stack = user_stack,
				    .reason = reason,
				    .count = 1,
				    .weight = sample->weight};

	if (!member || !member->allowed) {
		session->refused++;
		return;
	}
	strncpy(add.comm, comm, sizeof(add.comm) - 1);
	session_roll(session, sample->hdr.time, false);
	if (!session->window.end)
		begin_window(session, sample->hdr.time);
	if (window_add(&session->window, &add)) {
		session->limited++;
		return;
	}
	if (!session->first_sample)
		session->first_sample = clock_boot_ns();
	session->samples++;
	session->weight += sample->weight;
	if (reason < ABI_REASON_COUNT)
		session->reasons[reason]++;
}

void session_mark(struct session *session, const char *key, uint64_t value, const char *format, ...)
{
	struct session_mark mark = {.key = key, .value = value, .time = clock_boot_ns()};
	va_list args;

	va_start(args, format);
	vsnprintf(mark.text, sizeof(mark.text), format, args);
	va_end(args);
	session_times_mark(&session->times, &mark);
}

static void mark_lost(struct session *session, unsigned int reason, uint64_t before, uint64_t now)
{
	if (now <= before)
		return;
	session->lost[reason] += now - before;
	session_mark(session, reason_key(reason), now - before, "%s: %" PRIu64 " lost",
		     reason_text(reason), now - before);
}

void session_count_lost(struct session *session, const struct abi_counters *counters,
			uint64_t sideband_lost)
{
	struct abi_counters *seen = &session->counters_seen;

	for (unsigned int reason = 0; reason < ABI_REASON_COUNT; reason++) {
		if (reason_is_loss(reason))
			mark_lost(session, reason, seen->samples[reason],
				  counters->samples[reason]);
	}
	mark_lost(session, ABI_REASON_LOST_SIDEBAND, session->sideband_lost_seen, sideband_lost);
	mark_lost(session, ABI_REASON_LOST_LIMIT, session->limited_seen, session->limited);
	session->late += counters->late - seen->late;
	*seen = *counters;
	session->sideband_lost_seen = sideband_lost;
	session->limited_seen = session->limited;
}

void session_measure(struct session *session, const struct session_measure *measure)
{
	struct session_member *member =
		measure->process ? session_member(session, measure->process) : NULL;

	if (!measure->process || (member && member->allowed))
		session_times_measure(&session->times, measure);
}

void session_roll(struct session *session, uint64_t now, bool force)
{
	/* A window without samples, for what else there is of the time. */
	if (!session->window.end && session_times_first(&session->times))
		begin_window(session, session_times_first(&session->times));
	if (!session->window.end || (!force && now < session->window.end))
		return;
	if (vec_push(&session->closed, session->window)) {
		session->limited += session->window.samples.count;
		window_deinit(&session->window);
	}
	session->window = (struct window){0};
}

/* ---- folding ---- */

static struct profile *begin_profile(struct session *session)
{
	struct profile *profile = profile_create();
	const struct event_kind *kind = event_kind_of(session->source);

	if (!profile)
		return NULL;
	profile_add_value_type(profile, "samples", "count");
	profile->default_value = profile_add_value_type(profile, kind->value, kind->unit);
	profile->bucket_ns = session->window_ns;
	return profile;
}

static uint32_t process_index(void *context, struct process *process)
{
	struct session *session = context;
	struct session_member *member = member_put(session, process);
	struct profile_process empty = {.pid = process->pid};

	if (!member)
		return PROFILE_NONE;
	if (member->profile_index == PROFILE_NONE)
		member->profile_index = profile_add_process(session->profile, &empty);
	return member->profile_index;
}

/* Times of a process on the profile's axis; 0: before its beginning, or alive. */
static uint64_t on_axis(uint64_t time, uint64_t opened)
{
	return time > opened ? time - opened : 0;
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
		if (index == PROFILE_NONE)
			continue;
		profile->processes.items[index] = (struct profile_process){
			.pid = process->pid,
			.ppid = process->ppid,
			.start_ns = on_axis(process->start, start),
			.end_ns = on_axis(process->end, start),
			.birth_ns = session->opened_real - session->opened + process->start,
			.comm = profile_string(profile, process->comm),
		};
	}
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
	if (session->id)
		how.bucket = (uint32_t)((window->start - session->opened) / session->window_ns);
	if (window_fold(window, &how))
		session->limited += window->samples.count;
	apply_times(session, session->id ? session->opened : window->start, window->end);
}

static int add_count(struct profile *profile, unsigned int reason, uint64_t count)
{
	return count ? profile_add_count(profile, reason_key(reason), reason_text(reason), count,
					 reason_is_loss(reason))
		     : 0;
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
	add_late(session->profile, session->late);
	session->late = 0;
}

/* Session 0: the window's profile goes into the history. */
static void keep_history(struct session *session, const struct window *window)
{
	struct session_history entry = {
		.profile = session->profile, .start = window->start, .end = window->end};

	if (!session->profile)
		return;
	count_window(session, window);
	finish_processes(session, window->start);
	entry.profile->start_ns = session->opened_real + (window->start - session->opened);
	entry.profile->duration_ns = window->end - window->start;
	entry.profile->frequency_hz = session->request.frequency_hz;
	session->profile = NULL;
	drop_members(session);
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

void session_expire(struct session *session, uint64_t before)
{
	size_t gone = 0;

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
	if (session->id)
		add_late(profile, session->counters.late);
	if (session->times.dropped)
		profile_add_count(profile, "times_dropped",
				  "measures and marks that there was no room for",
				  session->times.dropped, 0);
	if (session->refused)
		profile_add_count(profile, "refused", "samples of other users' processes, left out",
				  session->refused, 0);
}

static struct profile *merge_history(struct session *session, uint64_t now)
{
	struct profile *all = begin_profile(session);
	uint64_t first = now;

	for (size_t i = 0; all && i < session->history.count; i++) {
		const struct session_history *entry = &session->history.items[i];

		if (session->recent_ns && entry->end + session->recent_ns < now)
			continue;
		if (entry->start < first) {
			first = entry->start;
			all->start_ns = entry->profile->start_ns;
		}
		profile_merge(all, entry->profile);
	}
	if (all) {
		all->start_ns = session->opened_real + (first - session->opened);
		all->duration_ns = now - first;
	}
	return all;
}

struct profile *session_profile(struct session *session, uint64_t now)
{
	struct profile *profile;
	char host[256] = "";

	if (!session->id) {
		profile = merge_history(session, now);
	} else {
		if (!session->profile)
			session->profile = begin_profile(session);
		if (session->profile) {
			apply_times(session, session->opened, UINT64_MAX);
			finish_processes(session, session->opened);
		}
		profile = session->profile;
		session->profile = NULL;
	}
	if (!profile)
		return NULL;
	if (session->id) {
		profile->start_ns = session->opened_real;
		profile->duration_ns = (session->ended ? session->ended : now) - session->opened;
	}
	gethostname(host, sizeof(host) - 1);
	profile->host = profile_string(profile, host);
	profile->frequency_hz = session->request.frequency_hz;
	profile->title = profile_string(profile, session->request.title);
	profile->event = profile_string(profile, event_kind_of(session->source)->name);
	finish_counts(session, profile);
	return profile;
}
