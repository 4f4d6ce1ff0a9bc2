/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An engine without probes, for tests of what stands above it: it defines all
 * of engine.h, so that the linker takes nothing from the real one. A session
 * has one sample a millisecond; session 0's profile has `snapshot_frames`
 * distinct frames, to make replies of a wanted size.
 */
#pragma once

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/engine.h"

#define FAKE_SESSIONS 8

struct fake_session {
	struct engine *engine;
	struct session_request request;
	uint32_t id; /* 0: the place is free */
	enum session_end end, planned;
	uint64_t start_ns;
	session_end_fn *on_end;
	void *end_context;
	session_profile_fn *done;
	void *done_context;
	struct event *ending, *collecting;
};

struct engine {
	struct event_base *base;
	struct fake_session sessions[FAKE_SESSIONS + 1]; /* the last one is session 0 */
	uint32_t next_id;
	unsigned int snapshot_frames;
};

int engine_create(const struct engine_options *options, struct event_base *base,
		  struct error *error, struct engine **ret)
{
	(void)options;
	(void)error;
	*ret = calloc(1, sizeof(**ret));
	(*ret)->base = base;
	(*ret)->next_id = 1;
	(*ret)->snapshot_frames = 1;
	return 0;
}

static void fake_free(struct fake_session *session)
{
	if (session->ending)
		event_free(session->ending);
	if (session->collecting)
		event_free(session->collecting);
	*session = (struct fake_session){0};
}

void engine_destroy(struct engine *engine)
{
	for (size_t i = 0; engine && i <= FAKE_SESSIONS; i++)
		fake_free(&engine->sessions[i]);
	free(engine);
}

int engine_heap_attach(struct engine *engine, uint32_t session, engine_heap_fn *done, void *context,
		       struct error *error)
{
	(void)engine;
	(void)session;
	(void)done;
	(void)context;
	return error_set(error, -EOPNOTSUPP, "no processes here");
}

void engine_heap_forget(struct engine *engine, void *context)
{
	(void)engine;
	(void)context;
}

const char *session_end_name(enum session_end end)
{
	static const char *const names[] = {"running", "stopped", "duration", "exit", "error"};

	return names[end];
}

static struct fake_session *fake_find(const struct engine *engine, uint32_t id)
{
	for (size_t i = 0; i < FAKE_SESSIONS; i++) {
		if (id && engine->sessions[i].id == id)
			return (struct fake_session *)&engine->sessions[i];
	}
	return NULL;
}

static void fake_on_end(evutil_socket_t fd, short what, void *context)
{
	struct fake_session *session = context;

	(void)fd;
	(void)what;
	session->end = session->planned;
	session->on_end(session->end_context, session->id, session->end);
}

static struct profile *fake_profile(unsigned int frames)
{
	struct profile *profile = profile_create();
	uint32_t type = profile_add_value_type(profile, "samples", "count");
	uint64_t one = 1;
	char name[128];

	(void)type;
	for (unsigned int i = 0; i < frames; i++) {
		struct profile_frame frame = {.kind = FRAME_USER};
		struct profile_sample sample = {.process = PROFILE_NONE};
		uint32_t id;

		snprintf(name, sizeof(name), "function_with_a_rather_long_name_%080u", i);
		frame.name = profile_string(profile, name);
		id = profile_frame(profile, &frame);
		sample.stack = profile_stack(profile, &id, 1);
		profile_add_sample(profile, &sample, &one);
	}
	profile->frequency_hz = 99;
	profile->duration_ns = NSEC_PER_SEC;
	return profile;
}

static void fake_on_collect(evutil_socket_t fd, short what, void *context)
{
	struct fake_session *session = context;
	unsigned int frames = session->id ? 3 : session->engine->snapshot_frames;

	(void)fd;
	(void)what;
	session->done(session->done_context, NULL, fake_profile(frames));
}

int engine_session_open(struct engine *engine, const struct session_request *request,
			session_end_fn *on_end, void *context, struct error *error,
			uint32_t *ret_id)
{
	struct fake_session *session = engine->sessions;
	struct timeval duration = {.tv_sec = (time_t)(request->duration_ns / NSEC_PER_SEC),
				   .tv_usec = (long)(request->duration_ns % NSEC_PER_SEC / 1000)};

	while (session < engine->sessions + FAKE_SESSIONS && session->id)
		session++;
	if (session == engine->sessions + FAKE_SESSIONS)
		return error_set(error, -ENOSPC, "too many sessions");
	if (request->pid && kill(request->pid, 0) < 0)
		return error_set(error, -ESRCH, "no process %d", (int)request->pid);
	*session = (struct fake_session){.engine = engine,
					 .request = *request,
					 .id = engine->next_id++,
					 .planned = SESSION_END_DURATION,
					 .start_ns = clock_boot_ns(),
					 .on_end = on_end,
					 .end_context = context};
	session->ending = evtimer_new(engine->base, fake_on_end, session);
	session->collecting = evtimer_new(engine->base, fake_on_collect, session);
	if (request->duration_ns)
		evtimer_add(session->ending, &duration);
	*ret_id = session->id;
	return 0;
}

int engine_session_stop(struct engine *engine, uint32_t id)
{
	struct fake_session *session = fake_find(engine, id);
	struct timeval now = {0};

	if (!session)
		return -ENOENT;
	session->planned = SESSION_END_STOPPED;
	return evtimer_add(session->ending, &now);
}

static int fake_collect(struct engine *engine, struct fake_session *session,
			session_profile_fn *done, void *context)
{
	struct timeval now = {0};

	session->engine = engine;
	session->done = done;
	session->done_context = context;
	if (!session->collecting)
		session->collecting = evtimer_new(engine->base, fake_on_collect, session);
	return evtimer_add(session->collecting, &now);
}

int engine_session_collect(struct engine *engine, uint32_t id, session_profile_fn *done,
			   void *context)
{
	struct fake_session *session = fake_find(engine, id);

	if (!session)
		return -ENOENT;
	if (session->end == SESSION_RUNNING)
		return -EBUSY;
	return fake_collect(engine, session, done, context);
}

int engine_session_look(struct engine *engine, uint32_t id, session_profile_fn *done, void *context,
			struct error *error)
{
	struct fake_session *session = fake_find(engine, id);

	if (!session)
		return error_set(error, -ENOENT, "there is no session %u", id);
	return fake_collect(engine, session, done, context);
}

int engine_session_take(struct engine *engine, uint32_t id, session_profile_fn *done, void *context,
			struct error *error)
{
	return engine_session_look(engine, id, done, context, error);
}

int engine_recent(struct engine *engine, const char *event, const struct engine_range *range,
		  session_profile_fn *done, void *context, struct error *error)
{
	(void)range;
	if (event[0] && strcmp(event, "cpu-clock") != 0)
		return error_set(error, -EOPNOTSUPP, "no view of %s", event);
	return fake_collect(engine, &engine->sessions[FAKE_SESSIONS], done, context);
}

bool engine_has_history(const struct engine *engine)
{
	(void)engine;
	return false;
}

int engine_history(struct engine *engine, const struct history_query *query,
		   session_profile_fn *done, void *context, struct error *error)
{
	(void)engine;
	(void)query;
	(void)done;
	(void)context;
	return error_set(error, -ENOTSUP, "no history");
}

int engine_history_list(struct engine *engine, const struct history_query *query, const char *what,
			engine_rows_fn *done, void *context, struct error *error)
{
	(void)engine;
	(void)query;
	(void)what;
	(void)done;
	(void)context;
	return error_set(error, -ENOTSUP, "no history");
}

void engine_session_close(struct engine *engine, uint32_t id)
{
	struct fake_session *session = fake_find(engine, id);

	if (session)
		fake_free(session);
}

int engine_session_info(const struct engine *engine, uint32_t id, struct session_info *ret)
{
	const struct fake_session *session = fake_find(engine, id);

	if (!session)
		return -ENOENT;
	*ret = (struct session_info){
		.id = id,
		.end = session->end,
		.pid = session->request.pid,
		.owner = session->request.owner,
		.background = session->request.background,
		.frequency_hz = session->request.frequency_hz ? session->request.frequency_hz : 99,
		.elapsed_ns = clock_boot_ns() - session->start_ns,
		.duration_ns = session->request.duration_ns,
		.samples = (clock_boot_ns() - session->start_ns) / NSEC_PER_MSEC,
		.processes = 1,
	};
	snprintf(ret->title, sizeof(ret->title), "%s", session->request.title);
	return 0;
}

void engine_session_each(const struct engine *engine,
			 void (*each)(void *context, const struct session_info *info),
			 void *context)
{
	for (size_t i = 0; i < FAKE_SESSIONS; i++) {
		struct session_info info;

		if (!engine_session_info(engine, engine->sessions[i].id, &info))
			each(context, &info);
	}
}

int engine_session_find(const struct engine *engine, pid_t pid, uint32_t *ret_id)
{
	for (size_t i = 0; i < FAKE_SESSIONS; i++) {
		if (engine->sessions[i].id && engine->sessions[i].request.pid == pid) {
			*ret_id = engine->sessions[i].id;
			return 0;
		}
	}
	return -ENOENT;
}

int engine_set_rate(struct engine *engine, uint32_t id, uint32_t hz, struct error *error)
{
	(void)engine;
	return id || hz ? error_set(error, -EINVAL, "session %u has no rate", id) : 0;
}

json_t *engine_rates(const struct engine *engine, bool all, uid_t owner)
{
	(void)engine;
	(void)owner;
	return json_pack("{s:s, s:b}", "schema", "perfd.rates/1", "all", all);
}

json_t *engine_status(struct engine *engine)
{
	json_int_t sessions = 0;

	for (size_t i = 0; i < FAKE_SESSIONS; i++)
		sessions += engine->sessions[i].id != 0;
	return json_pack("{s:s, s:s, s:i, s:{s:I, s:i, s:i}}", "schema", "perfd.status/1",
			 "version", PERFD_VERSION, "uptime_ns", 1500000000, "engine", "sessions",
			 sessions, "rss_bytes", 30000000, "cpu_percent", 1);
}

bool engine_replay_done(const struct engine *engine)
{
	(void)engine;
	return true;
}
