/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sessions that connections opened: whom their events and results go to,
 * and how long a result waits for somebody to fetch it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/server_internal.h"
#include "flamegraph/profile_wire.h"

#define PROGRESS_MIN_MS 50
/* A client that is behind with its reading can do without more progress. */
#define PROGRESS_OUTPUT_MAX 4096

static struct timeval to_timeval(uint64_t ns)
{
	return (struct timeval){.tv_sec = (time_t)(ns / NSEC_PER_SEC),
				.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / 1000)};
}

/* Sends a profile as the reply, or why it cannot be had. */
static int send_profile(struct connection *connection, uint32_t serial, uint32_t session,
			enum session_end end, const struct profile *profile, struct error *error)
{
	struct strbuf buf = {0};
	size_t begin = message_begin(&buf, MESSAGE_PROFILE, serial);
	size_t bytes;
	int r;

	message_put_number(&buf, FIELD_SESSION, session);
	message_put_text(&buf, FIELD_END, session_end_name(end));
	bytes = message_begin_bytes(&buf, FIELD_PROFILE);
	r = profile_encode(profile, &buf);
	message_end_bytes(&buf, bytes);
	message_end(&buf, begin);
	if (!r)
		r = strbuf_error(&buf);
	if (r < 0)
		error_set(error, r, "cannot encode the profile: %s", strerror(-r));
	else if (buf.length - begin - PROTOCOL_HEADER_SIZE > PROTOCOL_REPLY_MAX)
		r = error_set(error, -EMSGSIZE,
			      "the profile has %zu bytes, a reply at most %u: record for a shorter "
			      "time or at a lower frequency",
			      buf.length, PROTOCOL_REPLY_MAX);
	else if (buf.length + server_output_waiting(connection->server) > SERVER_OUTPUT_TOTAL)
		r = error_set(error, -EBUSY,
			      "%zu bytes wait for clients that read slowly; try again later",
			      server_output_waiting(connection->server));
	else
		connection_send(connection, &buf);
	strbuf_deinit(&buf);
	return r;
}

static void deliver(struct server_session *session)
{
	struct connection *waiter = session->waiter;
	struct error error;

	session->waiter = NULL;
	if (send_profile(waiter, session->waiter_serial, session->id, session->end, session->result,
			 &error) < 0)
		connection_send_error(waiter, session->waiter_serial, &error);
	else if (session->close_after)
		server_session_close(session);
}

static void on_profile(void *context, const struct error *error, struct profile *profile)
{
	struct server_session *session = context;

	session->collecting = false;
	if (profile) {
		profile_destroy(session->result);
		session->result = profile;
		if (session->waiter)
			deliver(session);
		return;
	}
	log_warning("session %u: no result: %s", session->id, error ? error->text : "unknown");
	if (session->waiter) {
		struct connection *waiter = session->waiter;

		session->waiter = NULL;
		connection_send_error(waiter, session->waiter_serial, error);
	}
}

static int start_collect(struct server_session *session, struct error *error)
{
	int r = engine_session_collect(session->server->options.engine, session->id, on_profile,
				       session);

	if (r < 0)
		return error_set(error, r, "cannot collect session %u: %s", session->id,
				 strerror(-r));
	session->collecting = true;
	return 0;
}

static void send_ended(struct server_session *session)
{
	struct strbuf buf = {0};
	size_t begin = message_begin(&buf, MESSAGE_ENDED, session->serial);

	message_put_number(&buf, FIELD_SESSION, session->id);
	message_put_text(&buf, FIELD_END, session_end_name(session->end));
	message_end(&buf, begin);
	connection_send(session->client, &buf);
}

static void on_end(void *context, uint32_t id, enum session_end end)
{
	struct server_session *session = context;
	struct timeval keep = to_timeval(session->server->options.result_keep_ns);
	struct error error;

	(void)id;
	session->end = end;
	event_del(session->timer);
	if (session->background)
		event_add(session->timer, &keep);
	if (session->background && !session->waiter)
		log_info("session %u has ended (%s); its result is kept for `perfctl detach`",
			 session->id, session_end_name(end));
	if (session->client)
		send_ended(session);
	if (session->waiter && start_collect(session, &error) < 0) {
		struct connection *waiter = session->waiter;

		session->waiter = NULL;
		connection_send_error(waiter, session->waiter_serial, &error);
	}
}

static void send_progress(struct server_session *session)
{
	struct strbuf buf = {0};
	struct session_info info;
	size_t begin;

	if (!session->client ||
	    evbuffer_get_length(bufferevent_get_output(session->client->bev)) >
		    PROGRESS_OUTPUT_MAX ||
	    engine_session_info(session->server->options.engine, session->id, &info) < 0)
		return;
	begin = message_begin(&buf, MESSAGE_PROGRESS, session->serial);
	message_put_number(&buf, FIELD_SESSION, session->id);
	message_put_number(&buf, FIELD_ELAPSED, info.elapsed_ns);
	message_put_number(&buf, FIELD_SAMPLES, info.samples);
	message_put_number(&buf, FIELD_LOST, info.lost);
	message_put_number(&buf, FIELD_PROCESSES, info.processes);
	message_put_number(&buf, FIELD_FIRST_SAMPLE, info.first_sample_ns);
	message_end(&buf, begin);
	connection_send(session->client, &buf);
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct server_session *session = context;

	(void)fd;
	(void)what;
	if (session->end == SESSION_RUNNING) {
		send_progress(session);
		return;
	}
	if (session->collecting || session->waiter)
		return;
	log_info("session %u: nobody fetched its result; forgotten", session->id);
	server_session_close(session);
}

static void session_free(struct server_session *session)
{
	if (session->timer)
		event_free(session->timer);
	profile_destroy(session->result);
	free(session);
}

/* A pid is only worth something in the namespace it was read in. */
static int check_pid(const struct connection *connection, pid_t pid, struct error *error)
{
	if (connection->sender_pid && (pid_t)connection->sender_pid != connection->peer.pid)
		return error_set(
			error, -EXDEV,
			"perfctl runs in another pid namespace than perfd (it is %u there and "
			"%d here), so %d may be another process here: run perfctl on the host",
			connection->sender_pid, (int)connection->peer.pid, (int)pid);
	return peer_may_see(&connection->peer, pid, error);
}

/* One user must not take all sessions from the others. */
static int check_share(const struct connection *connection, struct error *error)
{
	const struct server *server = connection->server;
	uint32_t max = server->options.config->sessions_max;
	uint32_t own = 0;

	if (connection->peer.privileged)
		return 0;
	for (const struct server_session *at = server->sessions; at; at = at->next)
		own += at->owner == connection->peer.uid;
	if (own && own >= max / 2)
		return error_set(error, -ENOSPC,
				 "you have %u sessions, and one user gets half of "
				 "limits.sessions_max (%u): end some with `perfctl detach`",
				 own, max);
	return 0;
}

static void read_request(const struct connection *connection, const struct message *message,
			 struct session_request *ret)
{
	*ret = (struct session_request){
		.pid = (pid_t)message_u32(message, FIELD_PID),
		.wait_exec = message_u64(message, FIELD_WAIT_EXEC),
		.frequency_hz = message_u32(message, FIELD_FREQUENCY),
		.duration_ns = message_u64(message, FIELD_DURATION),
		.precision_ppm = message_u32(message, FIELD_PRECISION),
		.owner = connection->peer.uid,
		.privileged = connection->peer.privileged,
		.background = message_u64(message, FIELD_BACKGROUND),
	};
	snprintf(ret->title, sizeof(ret->title), "%s", message_text(message, FIELD_TITLE));
	snprintf(ret->event, sizeof(ret->event), "%s", message_text(message, FIELD_EVENT));
}

int server_session_open(struct connection *connection, const struct message *message,
			struct error *error, struct server_session **ret)
{
	struct server *server = connection->server;
	uint32_t progress_ms = message_u32(message, FIELD_PROGRESS);
	struct session_request request;
	struct server_session *session;
	int r;

	read_request(connection, message, &request);
	r = request.pid ? check_pid(connection, request.pid, error) : 0;
	if (!r)
		r = check_share(connection, error);
	if (r < 0)
		return r;
	session = calloc(1, sizeof(*session));
	if (session)
		session->timer = event_new(server->options.base, -1, EV_PERSIST, on_timer, session);
	if (!session || !session->timer) {
		free(session);
		return error_set(error, -ENOMEM, "no memory for a session");
	}
	session->server = server;
	session->pid = request.pid;
	session->owner = request.owner;
	session->privileged = request.privileged;
	session->background = request.background;
	session->end = SESSION_RUNNING;
	session->client = connection;
	session->serial = message->serial;
	r = engine_session_open(server->options.engine, &request, on_end, session, error,
				&session->id);
	if (r < 0) {
		session_free(session);
		return r;
	}
	if (progress_ms) {
		uint64_t ms = progress_ms < PROGRESS_MIN_MS ? PROGRESS_MIN_MS : progress_ms;
		struct timeval interval = to_timeval(ms * NSEC_PER_MSEC);

		event_add(session->timer, &interval);
	}
	session->next = server->sessions;
	server->sessions = session;
	*ret = session;
	return 0;
}

static bool may_have(const struct connection *connection, const struct server_session *session)
{
	if (connection->peer.privileged)
		return true;
	/* What was recorded with more rights may show more than the uid may see. */
	return session->owner == connection->peer.uid && !session->privileged;
}

int server_session_get(struct connection *connection, uint32_t id, struct error *error,
		       struct server_session **ret)
{
	for (struct server_session *at = connection->server->sessions; at; at = at->next) {
		if (at->id != id)
			continue;
		if (!may_have(connection, at))
			return error_set(
				error, -EPERM,
				"session %u belongs to uid %u: only its owner, root and the "
				"group of daemon.socket_group may touch it",
				id, at->owner);
		*ret = at;
		return 0;
	}
	return error_set(error, -ENOENT, "there is no session %u (see `perfctl sessions`)", id);
}

int server_session_find(struct connection *connection, pid_t pid, struct error *error,
			struct server_session **ret)
{
	uint32_t foreground = 0;

	for (struct server_session *at = connection->server->sessions; at; at = at->next) {
		if (at->pid != pid || !may_have(connection, at))
			continue;
		if (at->background) {
			*ret = at;
			return 0;
		}
		foreground = at->id;
	}
	if (foreground)
		return error_set(
			error, -EBUSY,
			"process %d is in session %u of a perfctl that is still there: end it "
			"where it runs, or name the session",
			(int)pid, foreground);
	return error_set(error, -ENOENT,
			 "no background session on process %d (see `perfctl sessions`)", (int)pid);
}

int server_session_collect(struct server_session *session, struct connection *connection,
			   uint32_t serial, bool stop, bool close, struct error *error)
{
	int r = 0;

	if (session->waiter)
		return error_set(error, -EBUSY, "session %u is being collected already",
				 session->id);
	if (session->end == SESSION_RUNNING && !stop)
		return error_set(error, -EBUSY, "session %u still runs: stop it first",
				 session->id);
	session->waiter = connection;
	session->waiter_serial = serial;
	session->close_after = close;
	if (session->result) {
		deliver(session);
		return 0;
	}
	if (session->end == SESSION_RUNNING) { /* on_end() goes on */
		r = engine_session_stop(session->server->options.engine, session->id);
		if (r < 0)
			error_set(error, r, "cannot stop session %u: %s", session->id,
				  strerror(-r));
	} else if (!session->collecting) {
		r = start_collect(session, error);
	}
	if (r < 0)
		session->waiter = NULL;
	return r;
}

/* Whoever looks at a session that is closed gets no answer from the engine any more. */
static void forget_looks(struct server_session *session)
{
	struct snapshot **at = &session->server->snapshots;
	struct error error;

	while (*at) {
		struct snapshot *snapshot = *at;

		if (snapshot->session != session->id) {
			at = &snapshot->next;
			continue;
		}
		error_set(&error, -ECANCELED, "session %u was closed meanwhile", session->id);
		if (snapshot->waiter)
			connection_send_error(snapshot->waiter, snapshot->serial, &error);
		*at = snapshot->next;
		free(snapshot);
	}
}

static void on_heap(void *context, const struct error *error)
{
	struct server_session *session = context;
	struct connection *waiter = session->heap_waiter;

	session->heap_waiter = NULL;
	if (waiter)
		audit_heap(waiter, session, error);
	if (waiter && error->code)
		connection_send_error(waiter, session->heap_serial, error);
	else if (waiter)
		connection_send_ok(waiter, session->heap_serial);
}

int server_session_heap(struct server_session *session, struct connection *connection,
			uint32_t serial, struct error *error)
{
	int r = engine_heap_attach(session->server->options.engine, session->id, on_heap, session,
				   error);

	if (r < 0)
		return r;
	session->heap_waiter = connection;
	session->heap_serial = serial;
	return 0;
}

void server_session_close(struct server_session *session)
{
	struct error error;

	if (session->waiter) {
		error_set(&error, -ECANCELED, "session %u was closed meanwhile", session->id);
		connection_send_error(session->waiter, session->waiter_serial, &error);
	}
	forget_looks(session);
	if (session->heap_waiter) {
		error_set(&error, -ECANCELED, "session %u was closed meanwhile", session->id);
		connection_send_error(session->heap_waiter, session->heap_serial, &error);
	}
	engine_heap_forget(session->server->options.engine, session);
	engine_session_close(session->server->options.engine, session->id);
	for (struct server_session **at = &session->server->sessions; *at; at = &(*at)->next) {
		if (*at == session) {
			*at = session->next;
			break;
		}
	}
	session_free(session);
}

void server_sessions_leave(struct server *server, struct connection *connection)
{
	struct server_session *next;

	for (struct server_session *at = server->sessions; at; at = next) {
		next = at->next;
		if (at->waiter == connection)
			at->waiter = NULL;
		if (at->heap_waiter == connection)
			at->heap_waiter = NULL;
		if (at->client != connection)
			continue;
		at->client = NULL;
		if (!at->background)
			server_session_close(at);
		else if (at->end == SESSION_RUNNING)
			event_del(at->timer);
	}
	for (struct snapshot *at = server->snapshots; at; at = at->next) {
		if (at->waiter == connection)
			at->waiter = NULL;
	}
}

static void unlink_snapshot(struct snapshot *snapshot)
{
	for (struct snapshot **at = &snapshot->server->snapshots; *at; at = &(*at)->next) {
		if (*at == snapshot) {
			*at = snapshot->next;
			break;
		}
	}
}

static void on_snapshot(void *context, const struct error *error, struct profile *profile)
{
	struct snapshot *snapshot = context;
	struct error failure;

	unlink_snapshot(snapshot);
	if (snapshot->waiter) {
		if (!profile)
			connection_send_error(snapshot->waiter, snapshot->serial, error);
		else if (send_profile(snapshot->waiter, snapshot->serial, snapshot->session,
				      SESSION_RUNNING, profile, &failure) < 0)
			connection_send_error(snapshot->waiter, snapshot->serial, &failure);
	}
	profile_destroy(profile);
	free(snapshot);
}

static int begin_look(struct connection *connection, uint32_t serial, uint32_t session,
		      struct error *error, struct snapshot **ret)
{
	struct server *server = connection->server;

	for (const struct snapshot *at = server->snapshots; at; at = at->next) {
		if (at->waiter == connection)
			return error_set(error, -EBUSY, "a snapshot for you is under way already");
	}
	*ret = calloc(1, sizeof(**ret));
	if (!*ret)
		return error_set(error, -ENOMEM, "no memory for a snapshot");
	**ret = (struct snapshot){
		.server = server, .waiter = connection, .serial = serial, .session = session};
	return 0;
}

/* `r`: what the engine said to it. */
static int end_look(struct snapshot *snapshot, int r)
{
	if (r < 0) {
		free(snapshot);
		return r;
	}
	snapshot->next = snapshot->server->snapshots;
	snapshot->server->snapshots = snapshot;
	return 0;
}

int server_look(struct connection *connection, uint32_t serial, uint32_t session, bool take,
		struct error *error)
{
	struct engine *engine = connection->server->options.engine;
	struct snapshot *snapshot;
	int r = begin_look(connection, serial, session, error, &snapshot);

	if (r)
		return r;
	r = take ? engine_session_take(engine, session, on_snapshot, snapshot, error)
		 : engine_session_look(engine, session, on_snapshot, snapshot, error);
	return end_look(snapshot, r);
}

int server_recent(struct connection *connection, uint32_t serial, const char *event,
		  const struct engine_range *range, struct error *error)
{
	struct snapshot *snapshot;
	int r = begin_look(connection, serial, 0, error, &snapshot);

	return r ? r
		 : end_look(snapshot, engine_recent(connection->server->options.engine, event,
						    range, on_snapshot, snapshot, error));
}

int server_history(struct connection *connection, uint32_t serial,
		   const struct history_query *query, struct error *error)
{
	struct snapshot *snapshot;
	int r = begin_look(connection, serial, 0, error, &snapshot);

	return r ? r
		 : end_look(snapshot, engine_history(connection->server->options.engine, query,
						     on_snapshot, snapshot, error));
}

static void on_rows(void *context, const struct error *error, json_t *rows)
{
	struct snapshot *snapshot = context;
	struct connection *waiter = snapshot->waiter;
	struct error failure;

	unlink_snapshot(snapshot);
	if (!waiter)
		json_decref(rows);
	else if (!rows)
		connection_send_error(waiter, snapshot->serial, error);
	else if (connection_send_json(waiter, snapshot->serial, rows, &failure) < 0)
		connection_send_error(waiter, snapshot->serial, &failure);
	free(snapshot);
}

int server_history_list(struct connection *connection, uint32_t serial,
			const struct history_query *query, const char *what, struct error *error)
{
	struct snapshot *snapshot;
	int r = begin_look(connection, serial, 0, error, &snapshot);

	return r ? r
		 : end_look(snapshot, engine_history_list(connection->server->options.engine, query,
							  what, on_rows, snapshot, error));
}
