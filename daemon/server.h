/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The daemon's face: takes connections, reads requests (daemon/protocol.h),
 * asks the engine, and answers. One connection cannot harm another:
 *
 *	- a frame that is wrong gets an error reply; one after which the stream
 *	  cannot be read on (another version, too long) also ends the connection;
 *	- half a frame, or a connection that never says anything, is dropped after
 *	  `frame_timeout_ns`;
 *	- a client that stops reading gets no new requests served while
 *	  SERVER_OUTPUT_HIGH bytes wait for it, and is dropped when it takes
 *	  nothing for `write_timeout_ns`; what waits for all clients together is
 *	  bounded too;
 *	- there are at most daemon.clients_max connections and limits.sessions_max
 *	  sessions; a user who is not privileged gets at most half of either.
 *
 * A session ends with the connection that opened it, unless it was opened for
 * the background: then it runs to its end, and its result waits for `detach`
 * for `result_keep_ns` (the time is counted from its end).
 *
 * Ownership: the server borrows the engine, the config and the event base,
 * which must outlive it. Destroy it before the engine.
 */
#pragma once

#include <stdint.h>

#include <event2/event.h>
#include <jansson.h>

#include "daemon/base/error.h"
#include "daemon/config.h"
#include "daemon/engine.h"
#include "daemon/listener.h"

#define SERVER_OUTPUT_HIGH (1024u * 1024) /* bytes that may wait before we stop reading */
#define SERVER_OUTPUT_TOTAL (512u * 1024 * 1024) /* of all clients together */
#define SERVER_FRAME_TIMEOUT_NS (30 * 1000000000ull)
#define SERVER_WRITE_TIMEOUT_NS (30 * 1000000000ull)
#define SERVER_RESULT_KEEP_NS (3600 * 1000000000ull)

struct server;
struct settings;

struct server_options {
	const struct config *config;
	struct engine *engine;
	struct event_base *base;
	/* NULL: not told. */
	const struct settings *settings;
	/* Reads the settings again: what holds now, a new reference, or -errno and why they stay
	 * as they were. NULL: not to be had. */
	int (*reload)(void *context, struct error *error, json_t **ret);
	void *reload_context;
	/* 0: the defaults above; tests want shorter ones */
	uint64_t frame_timeout_ns;
	uint64_t write_timeout_ns;
	uint64_t result_keep_ns;
};

int server_create(const struct server_options *options, struct server **ret);
/* What `status` tells, all of it: a new reference; NULL: no memory. */
json_t *server_status(struct server *server);
/* Ends all connections and closes all sessions. */
void server_destroy(struct server *server);
/* Takes over what the config, which has changed, says now; connections that are there keep
 * what they may see. */
void server_reconfigure(struct server *server);
/* Takes connections from the listener, which stays the caller's. */
int server_listen(struct server *server, const struct listener *listener);
/* Serves one connected socket (the server's from then on, on error too). When
 * that client leaves, `gone` is called. */
int server_serve(struct server *server, int fd, void (*gone)(void *context), void *context);
