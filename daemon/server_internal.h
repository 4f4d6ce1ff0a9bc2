/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the server's parts share: server.c has the connections and their bytes,
 * requests.c what is asked, server_session.c the sessions and their results.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "daemon/audit.h"
#include "daemon/engine.h"
#include "daemon/peer.h"
#include "daemon/protocol.h"
#include "daemon/server.h"

struct connection {
	struct connection *next;
	struct server *server;
	struct bufferevent *bev;
	struct event *frame_timer; /* pending while a frame is awaited in full */
	struct peer peer;
	uint32_t sender_pid; /* the client's own pid as it sees it; 0: not said */
	bool greeted; /* sent a whole frame */
	bool closing; /* ends when what waits for it is sent */
	void (*gone)(void *context); /* of server_serve() */
	void *gone_context;
};

/* A session that a connection opened. */
struct server_session {
	struct server_session *next;
	struct server *server;
	uint32_t id;
	pid_t pid;
	uid_t owner;
	bool background;
	bool privileged; /* its owner was */
	enum session_end end;
	struct connection *client; /* gets the events; NULL: gone */
	uint32_t serial; /* of the open, for the events */
	struct event *timer; /* progress while it runs, then the end of its keeping */
	struct connection *waiter; /* asked for the result */
	uint32_t waiter_serial;
	bool collecting;
	bool close_after; /* the waiter's request was a detach */
	struct profile *result; /* collected */
	struct connection *heap_waiter; /* asked for libperfd-heap.so */
	uint32_t heap_serial;
};

/* A `recent` or a `look` that the engine works on. */
struct snapshot {
	struct snapshot *next;
	struct server *server;
	struct connection *waiter; /* NULL: left meanwhile */
	uint32_t serial;
	uint32_t session; /* 0: the system-wide view */
};

struct server {
	struct server_options options; /* times filled in */
	gid_t group; /* whose members see all */
	char socket[CONFIG_PATH_MAX]; /* "" when private */
	struct evconnlistener *listener;
	struct event *accept_timer; /* after running out of descriptors */
	struct connection *connections;
	uint32_t connection_count;
	struct server_session *sessions;
	struct snapshot *snapshots;
	uint64_t requests, errors; /* served; of these refused or failed */
	uint64_t bad_frames, timeouts, refused; /* connections that were ended, and why */
	struct audit_log audit;
};

/* --- server.c --- */

/* Sends a finished message; the buffer's memory moves to the connection. A
 * failure (memory) ends the connection. */
void connection_send(struct connection *connection, struct strbuf *buf);
void connection_send_ok(struct connection *connection, uint32_t serial);
void connection_send_error(struct connection *connection, uint32_t serial,
			   const struct error *error);
size_t server_output_waiting(const struct server *server);

/* --- requests.c --- */

/* Answers one request, or arranges that it will be. */
void requests_dispatch(struct connection *connection, const struct message *message);

/* --- server_session.c --- */

int server_session_open(struct connection *connection, const struct message *message,
			struct error *error, struct server_session **ret);
/* The session, if the peer may have it: -ENOENT, -EPERM. */
int server_session_get(struct connection *connection, uint32_t id, struct error *error,
		       struct server_session **ret);
/* The newest background session of a pid that the peer may have. */
int server_session_find(struct connection *connection, pid_t pid, struct error *error,
			struct server_session **ret);
/* Sends the result to the connection as soon as it is there; `close` forgets the
 * session then. A session that still runs is stopped if `stop`. */
int server_session_collect(struct server_session *session, struct connection *connection,
			   uint32_t serial, bool stop, bool close, struct error *error);
/* Puts libperfd-heap.so into the session's process, and says so to the connection. */
int server_session_heap(struct server_session *session, struct connection *connection,
			uint32_t serial, struct error *error);
void server_session_close(struct server_session *session);
/* The connection is going: its sessions end or go on without it. */
void server_sessions_leave(struct server *server, struct connection *connection);
/* Sends what there is so far of a session; `take`: of what no take has had. */
int server_look(struct connection *connection, uint32_t serial, uint32_t session, bool take,
		struct error *error);
/* Sends what the history on disk has. */
int server_history(struct connection *connection, uint32_t serial,
		   const struct history_query *query, struct error *error);
int server_history_list(struct connection *connection, uint32_t serial,
			const struct history_query *query, const char *what, struct error *error);
/* A reply of JSON, whose reference is taken; NULL: no memory. */
int connection_send_json(struct connection *connection, uint32_t serial, json_t *json,
			 struct error *error);
/* Sends what is kept of the system-wide view of an event. */
int server_recent(struct connection *connection, uint32_t serial, const char *event,
		  const struct engine_range *range, struct error *error);
