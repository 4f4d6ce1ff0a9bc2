/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Looking at sessions that go on: what they have so far, and how they are.
 */
#include "daemon/engine_internal.h"

#include <errno.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/event_kind.h"

/* Nothing of the time that was asked for is kept: say what is. */
static void explain_range(const struct engine *engine, const struct session *session,
			  struct error *error)
{
	uint64_t now = clock_boot_ns();
	uint64_t first = session->history.count ? session->history.items[0].start : now;

	error_set(
		error, -ENODATA,
		"nothing is kept of that time: perfd has the last %.0f s in memory, in windows of "
		"%g s (history.keep is %.0f s)",
		(double)(now - first) / 1e9, (double)session->window_ns / 1e9,
		(double)engine->config.keep_ns / 1e9);
}

/* Windows may have ended while names were awaited: they are in it too. */
static uint64_t taken_until(const struct session *session)
{
	return session->rolled > session->look_began ? session->rolled : session->look_began;
}

static void on_look_timer(evutil_socket_t fd, short what, void *context)
{
	struct session *session = context;
	session_profile_fn *done = session->on_look;
	struct session_tables tables = engine_tables(session->engine);
	struct error error = {0};
	struct profile *profile;

	(void)fd;
	(void)what;
	if (!done)
		return;
	engine_fold_by(session->engine, session, session->look_deadline);
	if (!session_folded(session)) {
		struct timeval soon = {.tv_usec = COLLECT_POLL_US};

		evtimer_add(session->look_timer, &soon);
		return;
	}
	if (session->id && !session->ended)
		engine_take_counters(session->engine, session);
	session->on_look = NULL;
	profile = session->look_takes ? session_take(session, taken_until(session))
				      : session_copy(session, &tables, clock_boot_ns());
	if (!profile)
		error_set(&error, -ENOMEM, "out of memory");
	if (profile && !session->id && !profile->duration_ns) {
		explain_range(session->engine, session, &error);
		profile_destroy(profile);
		profile = NULL;
	}
	done(session->look_context, &error, profile);
}

static int begin_look(struct session *session, bool takes, session_profile_fn *done, void *context,
		      struct error *error)
{
	struct engine *engine = session->engine;

	if (session->on_look)
		return error_set(error, -EBUSY, "a snapshot is being taken; try again");
	if (!session->look_timer)
		session->look_timer = evtimer_new(engine->base, on_look_timer, session);
	if (!session->look_timer)
		return error_set(error, -ENOMEM, "no memory for a snapshot");
	if (engine->sessions[session->slot] == session)
		engine_drain(engine, true);
	/* The drain may have seen it end: then all is rolled already. */
	if (engine->sessions[session->slot] == session) {
		watch_look(&engine->watch, engine, NULL);
		session_roll(session, UINT64_MAX, true);
		resolver_flush_late(&engine->resolver);
	}
	session->on_look = done;
	session->look_context = context;
	session->look_takes = takes;
	session->look_began = clock_boot_ns();
	session->look_deadline = session->look_began + COLLECT_DEADLINE_NS;
	event_active(session->look_timer, EV_TIMEOUT, 0);
	return 0;
}

int engine_session_look(struct engine *engine, uint32_t id, session_profile_fn *done, void *context,
			struct error *error)
{
	struct session *session = engine_find_session(engine, id);

	if (!session || !id)
		return error_set(error, -ENOENT, "there is no session %u", id);
	return begin_look(session, false, done, context, error);
}

int engine_session_take(struct engine *engine, uint32_t id, session_profile_fn *done, void *context,
			struct error *error)
{
	struct session *session = engine_find_session(engine, id);

	if (!session || !id)
		return error_set(error, -ENOENT, "there is no session %u", id);
	if (session->source == ABI_SOURCE_HEAP)
		return error_set(error, -EOPNOTSUPP,
				 "session %u is of allocations: it cannot be taken in parts", id);
	return begin_look(session, true, done, context, error);
}

static int no_view(const struct event_kind *kind, struct error *error)
{
	char why[128];

	event_kind_explain(kind, why, sizeof(why));
	return error_set(error, -ENODATA, "there is no system-wide view of %s: %s", kind->name,
			 why);
}

int engine_recent(struct engine *engine, const char *event, const struct engine_range *range,
		  session_profile_fn *done, void *context, struct error *error)
{
	const struct event_kind *kind = event_kind_find(event[0] ? event : engine->config.event);
	struct session *session;
	enum abi_source source;
	int r;

	if (!kind)
		return engine_parse_event(engine, event, &source, error);
	session = engine->sessions[kind->view];
	if (!session)
		return no_view(kind, error);
	/* One view serves whichever of its events the config chose. */
	if (session->source != kind->source)
		return error_set(error, -EOPNOTSUPP,
				 "the system-wide view is of %s, not of %s (cpu.event)",
				 event_kind_of(session->source)->name, kind->name);
	r = begin_look(session, false, done, context, error);
	if (!r)
		session->range = *range;
	return r;
}

static void fill_info(const struct session *session, struct session_info *info)
{
	uint64_t now = session->ended ? session->ended : clock_boot_ns();

	*info = (struct session_info){
		.id = session->id,
		.end = session->end,
		.pid = session->request.pid,
		.owner = session->request.owner,
		.background = session->request.background,
		.frequency_hz = session->request.frequency_hz,
		.elapsed_ns = now - session->opened,
		.duration_ns = session->request.duration_ns,
		.samples = session->samples,
		.weight = session->weight,
		.processes = (uint32_t)session->members.count,
		.first_sample_ns =
			session->first_sample ? session->first_sample - session->opened : 0,
	};
	info->lost = session->limited + session->counters.samples[ABI_REASON_LOST_RING];
	memcpy(info->title, session->request.title, sizeof(info->title));
	info->event = event_kind_of(session->source)->name;
}

int engine_session_info(const struct engine *engine, uint32_t id, struct session_info *ret)
{
	const struct session *session = engine_find_session(engine, id);

	if (!session)
		return -ENOENT;
	fill_info(session, ret);
	return 0;
}

void engine_session_each(const struct engine *engine,
			 void (*each)(void *context, const struct session_info *info),
			 void *context)
{
	for (uint32_t id = 1, next; id; id = next) {
		struct session_info info;

		if (!engine_session_info(engine, id, &info))
			each(context, &info);
		/* The next higher id there is. */
		next = 0;
		for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
			const struct session *session = engine->sessions[slot];

			if (session && session->id > id && (!next || session->id < next))
				next = session->id;
		}
		for (size_t i = 0; i < engine->ended.count; i++)
			if (engine->ended.items[i]->id > id &&
			    (!next || engine->ended.items[i]->id < next))
				next = engine->ended.items[i]->id;
	}
}

int engine_session_find(const struct engine *engine, pid_t pid, uint32_t *ret_id)
{
	uint32_t newest = 0;

	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
		const struct session *session = engine->sessions[slot];

		if (session && session->request.pid == pid && session->id > newest)
			newest = session->id;
	}
	if (!newest)
		return -ENOENT;
	*ret_id = newest;
	return 0;
}
