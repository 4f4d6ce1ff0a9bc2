/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "daemon/audit.h"
#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/server_internal.h"
#include "daemon/settings.h"

/* Each handler answers, or arranges that an answer will come, and gives 0; or
 * gives -errno with a text, which is then the answer. */
typedef int handler_fn(struct connection *connection, const struct message *message,
		       struct error *error);

int connection_send_json(struct connection *connection, uint32_t serial, json_t *json,
			 struct error *error)
{
	struct strbuf buf = {0};
	_cleanup_free_ char *text = NULL;
	size_t begin;

	text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	if (!text)
		return error_set(error, -ENOMEM, "no memory for the answer");
	begin = message_begin(&buf, MESSAGE_JSON, serial);
	message_put_text(&buf, FIELD_JSON, text);
	message_end(&buf, begin);
	connection_send(connection, &buf);
	return 0;
}

static int on_hello(struct connection *connection, const struct message *message,
		    struct error *error)
{
	struct strbuf buf = {0};
	size_t begin = message_begin(&buf, MESSAGE_WELCOME, message->serial);

	(void)error;
	connection->sender_pid = message_u32(message, FIELD_SENDER_PID);
	message_put_text(&buf, FIELD_PROGRAM, "perfd " PERFD_VERSION);
	message_put_number(&buf, FIELD_SENDER_PID, (uint32_t)getpid());
	message_put_number(&buf, FIELD_PRIVILEGED, connection->peer.privileged);
	message_end(&buf, begin);
	connection_send(connection, &buf);
	return 0;
}

json_t *server_status(struct server *server)
{
	json_t *status = engine_status(server->options.engine);
	json_int_t sessions = 0;

	for (const struct server_session *at = server->sessions; at; at = at->next)
		sessions++;
	if (status)
		json_object_set_new(status, "server",
				    json_pack("{s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I}",
					      "socket", server->socket, "clients",
					      (int)server->connection_count, "clients_max",
					      (int)server->options.config->clients_max, "sessions",
					      sessions, "requests", (json_int_t)server->requests,
					      "request_errors", (json_int_t)server->errors,
					      "bad_frames", (json_int_t)server->bad_frames,
					      "client_timeouts", (json_int_t)server->timeouts,
					      "clients_refused", (json_int_t)server->refused));
	return status;
}

static int on_status(struct connection *connection, const struct message *message,
		     struct error *error)
{
	json_t *status = server_status(connection->server);

	/* Titles are command lines: what others record is theirs. */
	if (status && !connection->peer.privileged) {
		json_object_del(status, "sessions");
		json_object_del(json_object_get(status, "rates"), "streams");
		json_object_del(status, "quarantine"); /* paths of anybody's files */
		json_object_del(status, "damaged");
	}
	return connection_send_json(connection, message->serial, status, error);
}

static json_t *session_json(const struct session_info *info)
{
	return json_pack("{s:I, s:s, s:I, s:I, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s}",
			 "id", (json_int_t)info->id, "state", session_end_name(info->end), "pid",
			 (json_int_t)info->pid, "owner_uid", (json_int_t)info->owner, "background",
			 info->background, "frequency_hz", (json_int_t)info->frequency_hz,
			 "elapsed_ns", (json_int_t)info->elapsed_ns, "duration_ns",
			 (json_int_t)info->duration_ns, "samples", (json_int_t)info->samples,
			 "lost", (json_int_t)info->lost, "processes", (json_int_t)info->processes,
			 "first_sample_ns", (json_int_t)info->first_sample_ns, "title", info->title,
			 "event", info->event);
}

static int on_sessions(struct connection *connection, const struct message *message,
		       struct error *error)
{
	const struct server *server = connection->server;
	json_t *list = json_array();

	for (const struct server_session *at = server->sessions; at; at = at->next) {
		struct session_info info;

		if (!connection->peer.privileged && at->owner != connection->peer.uid)
			continue;
		/* Newest first in our list, oldest first for people. */
		if (!engine_session_info(server->options.engine, at->id, &info))
			json_array_insert_new(list, 0, session_json(&info));
	}
	return connection_send_json(
		connection, message->serial,
		json_pack("{s:s, s:o}", "schema", "perfd.sessions/1", "sessions", list), error);
}

static int on_open(struct connection *connection, const struct message *message,
		   struct error *error)
{
	struct server_session *session;
	struct session_info info = {0};
	struct strbuf buf = {0};
	size_t begin;
	int r = server_session_open(connection, message, error, &session);

	if (r < 0)
		return r;
	engine_session_info(connection->server->options.engine, session->id, &info);
	begin = message_begin(&buf, MESSAGE_OPENED, message->serial);
	message_put_number(&buf, FIELD_SESSION, session->id);
	message_put_number(&buf, FIELD_ACTUAL_FREQUENCY, info.frequency_hz);
	message_end(&buf, begin);
	connection_send(connection, &buf);
	return 0;
}

static int on_stop(struct connection *connection, const struct message *message,
		   struct error *error)
{
	struct server_session *session;
	int r = server_session_get(connection, message_u32(message, FIELD_SESSION), error,
				   &session);

	if (r < 0)
		return r;
	if (session->end == SESSION_RUNNING) {
		r = engine_session_stop(connection->server->options.engine, session->id);
		if (r < 0)
			return error_set(error, r, "cannot stop session %u: %s", session->id,
					 strerror(-r));
	}
	connection_send_ok(connection, message->serial);
	return 0;
}

static int on_collect(struct connection *connection, const struct message *message,
		      struct error *error)
{
	struct server_session *session;
	int r = server_session_get(connection, message_u32(message, FIELD_SESSION), error,
				   &session);

	if (r < 0)
		return r;
	return server_session_collect(session, connection, message->serial, false, false, error);
}

static int on_close(struct connection *connection, const struct message *message,
		    struct error *error)
{
	struct server_session *session;
	int r = server_session_get(connection, message_u32(message, FIELD_SESSION), error,
				   &session);

	if (r < 0)
		return r;
	server_session_close(session);
	connection_send_ok(connection, message->serial);
	return 0;
}

static int on_detach(struct connection *connection, const struct message *message,
		     struct error *error)
{
	struct server_session *session;
	int r;

	if (message_has(message, FIELD_SESSION) == message_has(message, FIELD_PID))
		return error_set(error, -EINVAL,
				 "detach: it takes one of the fields \"session\" and \"pid\"");
	if (message_has(message, FIELD_SESSION))
		r = server_session_get(connection, message_u32(message, FIELD_SESSION), error,
				       &session);
	else
		r = server_session_find(connection, (pid_t)message_u32(message, FIELD_PID), error,
					&session);
	if (r < 0)
		return r;
	return server_session_collect(session, connection, message->serial, true, true, error);
}

/* A moment of CLOCK_REALTIME as boot time; before the boot is its beginning. */
static uint64_t to_boot(uint64_t time, uint64_t real, uint64_t boot)
{
	if (time > real)
		return boot + (time - real) < boot ? UINT64_MAX : boot + (time - real);
	return boot > real - time ? boot - (real - time) : 1;
}

static void copy_filter(char to[HISTORY_FILTER_MAX], const struct message *message,
			enum protocol_field field)
{
	snprintf(to, HISTORY_FILTER_MAX, "%s", message_text(message, field));
}

/* Whose, and of what event and time. */
static int read_query(const struct message *message, struct history_query *ret, struct error *error)
{
	uint64_t last = message_u64(message, FIELD_DURATION), now = clock_real_ns();
	struct history_query query = {
		.since_ns = message_u64(message, FIELD_SINCE),
		.until_ns = message_u64(message, FIELD_UNTIL),
		.steps = message_u32(message, FIELD_STEPS),
		.pid = message_u32(message, FIELD_PID),
	};

	if (last && (query.since_ns || query.until_ns))
		return error_set(
			error, -EINVAL,
			"%s: \"duration_ns\" and \"since_ns\" or \"until_ns\" exclude each "
			"other",
			message->info->name);
	if (last)
		query.since_ns = last < now ? now - last : 1;
	if (!query.until_ns)
		query.until_ns = UINT64_MAX;
	snprintf(query.event, sizeof(query.event), "%s", message_text(message, FIELD_EVENT));
	copy_filter(query.comm, message, FIELD_COMM);
	copy_filter(query.cgroup, message, FIELD_CGROUP);
	copy_filter(query.unit, message, FIELD_UNIT);
	copy_filter(query.container, message, FIELD_CONTAINER);
	copy_filter(query.host, message, FIELD_HOST);
	*ret = query;
	return 0;
}

static int on_history(struct connection *connection, const struct message *message,
		      struct error *error)
{
	struct history_query query;
	int r = read_query(message, &query, error);

	return r ? r
		 : server_history_list(connection, message->serial, &query,
				       message_text(message, FIELD_LIST), error);
}

static int on_recent(struct connection *connection, const struct message *message,
		     struct error *error)
{
	uint64_t boot = clock_boot_ns(), real = clock_real_ns();
	struct history_query query;
	uint64_t since = message_u64(message, FIELD_SINCE);
	uint64_t until = message_u64(message, FIELD_UNTIL);
	uint64_t last = message_u64(message, FIELD_DURATION);
	struct engine_range range = {
		.since = since ? to_boot(since, real, boot) : 0,
		.until = until ? to_boot(until, real, boot) : 0,
	};

	int r = read_query(message, &query, error);

	if (r)
		return r;
	if (engine_has_history(connection->server->options.engine) ||
	    history_query_has_filter(&query) || query.host[0])
		return server_history(connection, message->serial, &query, error);
	if (last) {
		range.since = last < boot ? boot - last : 1;
		range.touching = true;
	}
	return server_recent(connection, message->serial, message_text(message, FIELD_EVENT),
			     &range, error);
}

static int on_look(struct connection *connection, const struct message *message,
		   struct error *error)
{
	struct server_session *session;
	int r = server_session_get(connection, message_u32(message, FIELD_SESSION), error,
				   &session);

	return r < 0 ? r
		     : server_look(connection, message->serial, session->id,
				   message_u64(message, FIELD_TAKE), error);
}

static int on_heap(struct connection *connection, const struct message *message,
		   struct error *error)
{
	struct server_session *session;
	int r = server_session_get(connection, message_u32(message, FIELD_SESSION), error,
				   &session);

	return r < 0 ? r : server_session_heap(session, connection, message->serial, error);
}

static int on_config(struct connection *connection, const struct message *message,
		     struct error *error)
{
	const struct settings *settings = connection->server->options.settings;
	const struct config_key *only = NULL;
	int r = 0;

	if (!settings)
		return error_set(error, -ENOTSUP, "this perfd does not tell its settings");
	if (message_has(message, FIELD_KEY))
		r = config_key_parse(message_text(message, FIELD_KEY), error, &only);
	return r ? r
		 : connection_send_json(connection, message->serial,
					settings_json(settings, only, true), error);
}

/* The group sees; what perfd does is for whoever runs it to say. */
static int on_reload(struct connection *connection, const struct message *message,
		     struct error *error)
{
	const struct server_options *options = &connection->server->options;
	json_t *changes;
	int r;

	if (connection->peer.uid && connection->peer.uid != geteuid())
		return error_set(error, -EPERM, "only root may have perfd read its settings again");
	if (!options->reload)
		return error_set(error, -ENOTSUP, "this perfd does not read its settings again");
	r = options->reload(options->reload_context, error, &changes);
	return r ? r : connection_send_json(connection, message->serial, changes, error);
}

static int set_rate(struct connection *connection, const struct message *message,
		    struct error *error)
{
	struct engine *engine = connection->server->options.engine;
	uint32_t id = message_u32(message, FIELD_SESSION);
	struct server_session *session;
	int r;

	if (!message_has(message, FIELD_SESSION) || !message_has(message, FIELD_FREQUENCY))
		return error_set(error, -EINVAL,
				 "rates: \"session\" and \"frequency_hz\" go together");
	if (!id && !connection->peer.privileged)
		return error_set(error, -EPERM,
				 "the system-wide view's rate is for root and the group of "
				 "daemon.socket_group (%s) to set",
				 connection->server->options.config->socket_group);
	r = id ? server_session_get(connection, id, error, &session) : 0;
	return r < 0 ? r
		     : engine_set_rate(engine, id, message_u32(message, FIELD_FREQUENCY), error);
}

static int on_rates(struct connection *connection, const struct message *message,
		    struct error *error)
{
	bool sets = message_has(message, FIELD_SESSION) || message_has(message, FIELD_FREQUENCY);
	int r = sets ? set_rate(connection, message, error) : 0;

	if (r < 0)
		return r;
	return connection_send_json(connection, message->serial,
				    engine_rates(connection->server->options.engine,
						 connection->peer.privileged, connection->peer.uid),
				    error);
}

static handler_fn *const handlers[] = {
	[MESSAGE_HELLO] = on_hello,       [MESSAGE_STATUS] = on_status,
	[MESSAGE_SESSIONS] = on_sessions, [MESSAGE_OPEN] = on_open,
	[MESSAGE_STOP] = on_stop,         [MESSAGE_COLLECT] = on_collect,
	[MESSAGE_CLOSE] = on_close,       [MESSAGE_DETACH] = on_detach,
	[MESSAGE_RECENT] = on_recent,     [MESSAGE_LOOK] = on_look,
	[MESSAGE_HISTORY] = on_history,   [MESSAGE_HEAP] = on_heap,
	[MESSAGE_CONFIG] = on_config,     [MESSAGE_RELOAD] = on_reload,
	[MESSAGE_RATES] = on_rates,
};
#define HANDLER_COUNT (sizeof(handlers) / sizeof(handlers[0]))

/* Requests are numbered from 1 without gaps, so a new one without a handler
 * makes these differ. */
#define X(name, type, text, kind, must, may, meaning)                                              \
	+(MESSAGE_##kind <= MESSAGE_REQUEST_PRIVILEGED)
_Static_assert(HANDLER_COUNT == 1 PROTOCOL_MESSAGES(X), "a request has no handler");
#undef X

void requests_dispatch(struct connection *connection, const struct message *message)
{
	const struct message_info *info = message->info;
	struct error error = {0};
	struct audit audit;
	int r;

	audit_begin(connection, message, &audit);
	if (info->type >= HANDLER_COUNT || !handlers[info->type])
		r = error_set(&error, -EBADMSG, "\"%s\" is no request", info->name);
	else if (info->kind == MESSAGE_REQUEST_PRIVILEGED && !connection->peer.privileged)
		r = error_set(&error, -EPERM,
			      "\"%s\" shows all processes: only root and the group of "
			      "daemon.socket_group (%s) may ask",
			      info->name, connection->server->options.config->socket_group);
	else
		r = handlers[info->type](connection, message, &error);
	audit_request(connection, &audit, r, &error);
	if (r < 0)
		connection_send_error(connection, message->serial, &error);
}
