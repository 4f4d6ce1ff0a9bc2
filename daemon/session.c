/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/reason.h"

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
	session->step_ns = window_ns % SESSION_STEP_NS ? window_ns : SESSION_STEP_NS;
	session->opened = session->grid = clock_boot_ns();
	session->opened_real = clock_real_ns();
	return session;
}

void session_drop_members(struct session *session)
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
	session_heap_deinit(&session->heap);
	for (size_t i = 0; i < session->closed.count; i++)
		window_deinit(&session->closed.items[i]);
	vec_free(&session->closed);
	profile_destroy(session->profile);
	for (size_t i = 0; i < session->history.count; i++)
		profile_destroy(session->history.items[i].profile);
	vec_free(&session->history);
	session_drop_members(session);
	vec_free(&session->members);
	hashmap_deinit(&session->member_index);
	session_times_deinit(&session->times);
	process_unref(session->target);
	if (session->timer)
		event_free(session->timer);
	if (session->look_timer)
		event_free(session->look_timer);
	free(session);
}

/* ---- members ---- */

static void look_up_permission(struct session *session, struct session_member *member)
{
	int r = session->owner.privileged
			? 0
			: peer_may_see(&session->owner, (pid_t)member->process->pid, NULL);

	/* Of one that is gone the kernel side's word holds, where there is one. */
	member->execs = member->process->execs;
	member->allowed = !r || (r == -ESRCH && session->judged);
}

struct session_member *session_member_put(struct session *session, struct process *process)
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
	struct session_member *member = session_member_put(session, process);

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
	member = session_member_put(session, child);
	if (member) {
		member->execs = child->execs;
		member->allowed = allowed;
	}
}

/* ---- filling ---- */

static void begin_window(struct session *session, uint64_t time)
{
	uint64_t since = (time > session->opened ? time : session->opened) - session->grid;
	uint64_t start = session->grid + since - since % session->window_ns;

	session->window.start = start > session->opened ? start : session->opened;
	session->window.end = start + session->window_ns;
	session->window.step_ns = session->step_ns;
}

bool session_add(struct session *session, const struct abi_sample *sample, struct process *process,
		 const char *comm, uint32_t kernel_stack, uint32_t user_stack, uint8_t reason)
{
	struct window_sample add = {.process = process,
				    .kernel_stack = kernel_stack,
				    .user_stack = user_stack,
				    .reason = reason,
				    .count = 1,
				    .weight = sample->weight};

	strncpy(add.comm, comm, sizeof(add.comm) - 1);
	return session_put(session, process, sample->hdr.time, &add);
}

bool session_put(struct session *session, struct process *process, uint64_t time,
		 const struct window_sample *sample)
{
	struct session_member *member = session_member(session, process);
	struct window_sample add = *sample;

	if (!member || !member->allowed) {
		session->refused++;
		return false;
	}
	session_roll(session, time, false);
	if (!session->window.end)
		begin_window(session, time);
	if (time > session->window.start)
		add.tick = (uint32_t)((time - session->window.start) / session->step_ns);
	if (window_add(&session->window, &add)) {
		session->limited++;
		return false;
	}
	if (!session->first_sample)
		session->first_sample = clock_boot_ns();
	session->weight += sample->weight;
	session->squares += (double)sample->weight * (double)sample->weight;
	if (sample->repeats)
		return true;
	session->samples++;
	if (sample->reason < ABI_REASON_COUNT)
		session->reasons[sample->reason]++;
	return true;
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
	/* A history says of each second what there was, if only nothing. */
	if (session->keep && !session->window.end && !force)
		begin_window(session, now);
	if (!session->window.end || (!force && now < session->window.end))
		return;
	if (vec_push(&session->closed, session->window)) {
		session->limited += session->window.samples.count;
		window_deinit(&session->window);
	}
	session->rolled = force ? clock_boot_ns() : session->window.end;
	session->window = (struct window){0};
}

int64_t session_follow_clock(struct session *session)
{
	uint64_t began = clock_real_ns() - (clock_boot_ns() - session->opened);
	int64_t by = (int64_t)(began - session->opened_real);

	if (by > -(int64_t)NSEC_PER_SEC && by < (int64_t)NSEC_PER_SEC)
		return 0;
	session->opened_real = began;
	return by;
}
