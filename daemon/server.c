/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/server_internal.h"

static struct timeval to_timeval(uint64_t ns)
{
	return (struct timeval){.tv_sec = (time_t)(ns / NSEC_PER_SEC),
				.tv_usec = (suseconds_t)(ns % NSEC_PER_SEC / 1000)};
}

static void connection_free(struct connection *connection)
{
	struct server *server = connection->server;
	void (*gone)(void *context) = connection->gone;
	void *gone_context = connection->gone_context;

	server_sessions_leave(server, connection);
	for (struct connection **at = &server->connections; *at; at = &(*at)->next) {
		if (*at == connection) {
			*at = connection->next;
			server->connection_count--;
			break;
		}
	}
	if (connection->frame_timer)
		event_free(connection->frame_timer);
	bufferevent_free(connection->bev);
	free(connection);
	if (gone)
		gone(gone_context);
}

static size_t output_waiting(const struct connection *connection)
{
	return evbuffer_get_length(bufferevent_get_output(connection->bev));
}

size_t server_output_waiting(const struct server *server)
{
	size_t sum = 0;

	for (const struct connection *at = server->connections; at; at = at->next)
		sum += output_waiting(at);
	return sum;
}

/* Nothing more is read; on_write() frees it when all is sent. A connection is
 * never freed from inside a request: its caller still holds it. */
static void connection_end(struct connection *connection)
{
	connection->closing = true;
	bufferevent_disable(connection->bev, EV_READ);
	if (!output_waiting(connection))
		bufferevent_trigger(connection->bev, EV_WRITE, BEV_OPT_DEFER_CALLBACKS);
}

static void free_reference(const void *data, size_t size, void *extra)
{
	(void)size;
	(void)extra;
	free((void *)(uintptr_t)data);
}

void connection_send(struct connection *connection, struct strbuf *buf)
{
	struct evbuffer *output = bufferevent_get_output(connection->bev);

	if (strbuf_error(buf) ||
	    evbuffer_add_reference(output, buf->data, buf->length, free_reference, NULL) < 0) {
		log_error("no memory for a reply to pid %d", (int)connection->peer.pid);
		strbuf_deinit(buf);
		connection_end(connection);
		return;
	}
	*buf = (struct strbuf){0};
}

void connection_send_ok(struct connection *connection, uint32_t serial)
{
	struct strbuf buf = {0};

	message_end(&buf, message_begin(&buf, MESSAGE_OK, serial));
	connection_send(connection, &buf);
}

void connection_send_error(struct connection *connection, uint32_t serial,
			   const struct error *error)
{
	struct strbuf buf = {0};
	size_t begin = message_begin(&buf, MESSAGE_ERROR, serial);

	connection->server->errors++;
	message_put_number(&buf, FIELD_CODE, (uint32_t)-error->code);
	message_put_text(&buf, FIELD_TEXT, error->text);
	message_end(&buf, begin);
	connection_send(connection, &buf);
}

/* A frame after which the stream cannot be followed any more. */
static void refuse_stream(struct connection *connection, uint32_t serial, const struct error *error)
{
	log_debug("client pid %d: %s; its connection is closed", (int)connection->peer.pid,
		  error->text);
	connection->server->bad_frames++;
	connection_send_error(connection, serial, error);
	connection_end(connection);
}

/* True if a whole frame was there and is dealt with. */
static bool serve_frame(struct connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->bev);
	uint8_t bytes[PROTOCOL_HEADER_SIZE];
	struct protocol_header header;
	struct message message;
	struct error error;
	unsigned char *frame;

	if (evbuffer_copyout(input, bytes, sizeof(bytes)) < (ssize_t)sizeof(bytes))
		return false;
	protocol_header_decode(bytes, &header);
	if (protocol_header_check(&header, PROTOCOL_REQUEST_MAX, &error) < 0) {
		refuse_stream(connection, header.serial, &error);
		return false;
	}
	if (evbuffer_get_length(input) < sizeof(bytes) + header.length)
		return false;
	frame = evbuffer_pullup(input, (ssize_t)(sizeof(bytes) + header.length));
	if (!frame) {
		error_set(&error, -ENOMEM, "no memory for the request");
		refuse_stream(connection, header.serial, &error);
		return false;
	}
	connection->greeted = true;
	connection->server->requests++;
	if (message_decode(&header, frame + sizeof(bytes), &message, &error) < 0)
		connection_send_error(connection, header.serial, &error);
	else
		requests_dispatch(connection, &message);
	evbuffer_drain(input, sizeof(bytes) + header.length);
	event_del(connection->frame_timer);
	return true;
}

static void serve_input(struct connection *connection)
{
	struct timeval timeout = to_timeval(connection->server->options.frame_timeout_ns);

	while (!connection->closing && output_waiting(connection) < SERVER_OUTPUT_HIGH &&
	       serve_frame(connection))
		;
	if (connection->closing)
		return;
	if (output_waiting(connection) >= SERVER_OUTPUT_HIGH) {
		bufferevent_disable(connection->bev, EV_READ);
		event_del(connection->frame_timer);
		return;
	}
	/* Set once a frame, so that one byte now and then does not prolong it. */
	if (evbuffer_get_length(bufferevent_get_input(connection->bev)) &&
	    !event_pending(connection->frame_timer, EV_TIMEOUT, NULL))
		event_add(connection->frame_timer, &timeout);
}

static void on_read(struct bufferevent *bev, void *context)
{
	(void)bev;
	serve_input(context);
}

static void on_write(struct bufferevent *bev, void *context)
{
	struct connection *connection = context;

	if (connection->closing) {
		if (!output_waiting(connection))
			connection_free(connection);
		return;
	}
	if (!(bufferevent_get_enabled(bev) & EV_READ)) {
		bufferevent_enable(bev, EV_READ);
		serve_input(connection);
	}
}

static void on_event(struct bufferevent *bev, short what, void *context)
{
	struct connection *connection = context;

	(void)bev;
	if (what & BEV_EVENT_TIMEOUT) {
		log_warning("client pid %d (uid %u) has not read for %llu s, with %zu bytes "
			    "waiting for it: dropped",
			    (int)connection->peer.pid, connection->peer.uid,
			    connection->server->options.write_timeout_ns / NSEC_PER_SEC,
			    output_waiting(connection));
		connection->server->timeouts++;
	}
	connection_free(connection);
}

static void on_frame_timeout(evutil_socket_t fd, short what, void *context)
{
	struct connection *connection = context;
	struct error error;

	(void)fd;
	(void)what;
	connection->server->timeouts++;
	error_set(&error, -ETIMEDOUT, "no whole request came within %llu ms",
		  connection->server->options.frame_timeout_ns / NSEC_PER_MSEC);
	refuse_stream(connection, 0, &error);
}

static int connection_create(struct server *server, int fd, const struct peer *peer,
			     struct connection **ret)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	struct timeval frame_timeout = to_timeval(server->options.frame_timeout_ns);
	struct timeval write_timeout = to_timeval(server->options.write_timeout_ns);

	if (!connection) {
		close(fd);
		return -ENOMEM;
	}
	connection->server = server;
	connection->peer = *peer;
	evutil_make_socket_nonblocking(fd);
	connection->bev = bufferevent_socket_new(server->options.base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!connection->bev) {
		close(fd);
		free(connection);
		return -ENOMEM;
	}
	connection->frame_timer = evtimer_new(server->options.base, on_frame_timeout, connection);
	if (!connection->frame_timer || event_add(connection->frame_timer, &frame_timeout) < 0) {
		if (connection->frame_timer)
			event_free(connection->frame_timer);
		bufferevent_free(connection->bev);
		free(connection);
		return -ENOMEM;
	}
	bufferevent_setcb(connection->bev, on_read, on_write, on_event, connection);
	bufferevent_set_timeouts(connection->bev, NULL, &write_timeout);
	/* One frame at its longest, and no more is taken from the kernel. */
	bufferevent_setwatermark(connection->bev, EV_READ, 0,
				 PROTOCOL_HEADER_SIZE + PROTOCOL_REQUEST_MAX);
	bufferevent_enable(connection->bev, EV_READ | EV_WRITE);
	connection->next = server->connections;
	server->connections = connection;
	server->connection_count++;
	*ret = connection;
	return 0;
}

/* 0 if there is room for one more connection of this peer. */
static int check_room(const struct server *server, const struct peer *peer, struct error *error)
{
	uint32_t max = server->options.config->clients_max;
	uint32_t own = 0;

	if (server->connection_count >= max)
		return error_set(error, -EBUSY, "too many clients (daemon.clients_max is %u)", max);
	for (const struct connection *at = server->connections; at; at = at->next)
		own += at->peer.uid == peer->uid;
	if (!peer->privileged && own && own >= max / 2)
		return error_set(error, -EBUSY,
				 "too many clients of uid %u (one user gets half of "
				 "daemon.clients_max, which is %u)",
				 peer->uid, max);
	return 0;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
		      int size, void *context)
{
	struct server *server = context;
	struct connection *connection;
	struct strbuf buf = {0};
	struct error error;
	struct peer peer;
	size_t begin;

	(void)listener;
	(void)address;
	(void)size;
	if (peer_from_socket(fd, server->group, &peer) < 0) {
		close(fd);
		return;
	}
	if (!check_room(server, &peer, &error)) {
		connection_create(server, fd, &peer, &connection);
		return;
	}
	/* It fits an empty socket buffer, so there is nobody to wait for. */
	server->refused++;
	begin = message_begin(&buf, MESSAGE_ERROR, 0);
	message_put_number(&buf, FIELD_CODE, EBUSY);
	message_put_text(&buf, FIELD_TEXT, error.text);
	message_end(&buf, begin);
	if (!strbuf_error(&buf))
		(void)!send(fd, buf.data, buf.length, MSG_DONTWAIT | MSG_NOSIGNAL);
	strbuf_deinit(&buf);
	close(fd);
}

static void on_accept_again(evutil_socket_t fd, short what, void *context)
{
	struct server *server = context;

	(void)fd;
	(void)what;
	evconnlistener_enable(server->listener);
}

/* Out of descriptors or memory: the connection waits in the queue, and asking
 * for it again at once would only spin. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
	struct server *server = context;
	struct timeval pause = {.tv_sec = 1};

	log_error_errno(-errno, "cannot accept a client; trying again in 1 s");
	evconnlistener_disable(listener);
	evtimer_add(server->accept_timer, &pause);
}

int server_create(const struct server_options *options, struct server **ret)
{
	struct server *server = calloc(1, sizeof(*server));

	if (!server)
		return -ENOMEM;
	server->options = *options;
	if (!options->frame_timeout_ns)
		server->options.frame_timeout_ns = SERVER_FRAME_TIMEOUT_NS;
	if (!options->write_timeout_ns)
		server->options.write_timeout_ns = SERVER_WRITE_TIMEOUT_NS;
	if (!options->result_keep_ns)
		server->options.result_keep_ns = SERVER_RESULT_KEEP_NS;
	server->group = peer_group(options->config->socket_group);
	*ret = server;
	return 0;
}

void server_reconfigure(struct server *server)
{
	server->group = peer_group(server->options.config->socket_group);
}

void server_destroy(struct server *server)
{
	if (!server)
		return;
	if (server->listener)
		evconnlistener_free(server->listener);
	if (server->accept_timer)
		event_free(server->accept_timer);
	while (server->connections) {
		server->connections->gone = NULL;
		connection_free(server->connections);
	}
	while (server->sessions)
		server_session_close(server->sessions);
	while (server->snapshots) {
		struct snapshot *snapshot = server->snapshots;

		server->snapshots = snapshot->next;
		free(snapshot);
	}
	free(server);
}

int server_listen(struct server *server, const struct listener *listener)
{
	server->accept_timer = evtimer_new(server->options.base, on_accept_again, server);
	if (!server->accept_timer)
		return -ENOMEM;
	/* No flag to close it: the descriptor is the caller's. */
	server->listener = evconnlistener_new(server->options.base, on_accept, server,
					      LEV_OPT_CLOSE_ON_EXEC, 0, listener->fd);
	if (!server->listener)
		return -ENOMEM;
	evconnlistener_set_error_cb(server->listener, on_accept_error);
	snprintf(server->socket, sizeof(server->socket), "%s", listener->path);
	return 0;
}

int server_serve(struct server *server, int fd, void (*gone)(void *context), void *context)
{
	struct connection *connection;
	struct peer peer;
	int r = peer_from_socket(fd, server->group, &peer);

	if (r < 0) {
		close(fd);
		return r;
	}
	r = connection_create(server, fd, &peer, &connection);
	if (r < 0)
		return r;
	connection->gone = gone;
	connection->gone_context = context;
	return 0;
}
