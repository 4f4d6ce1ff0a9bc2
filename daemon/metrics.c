/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/metrics.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/listener.h"
#include "daemon/metrics_address.h"
#include "daemon/metrics_server.h"
#include "daemon/metrics_text.h"
#include "daemon/peer.h"
#include "symbolizer/process.h"

#define SOCKET_MODE 0660
#define BACKLOG 16
#define RETRY_FIRST_S 1
#define RETRY_MAX_S 60
#define GOOD_LIFE_NS (60 * NSEC_PER_SEC)
/* The asker makes one a second at most; one that does not is not believed. */
#define TEXT_INTERVAL_NS (NSEC_PER_SEC / 2)

struct metrics {
	struct server *server;
	struct event_base *base;
	const char *program;
	struct listener path; /* of a Unix socket */
	int socket; /* the one that is listened on; of `path`, if that is open */
	struct worker_process process;
	pid_t left; /* that did not die yet; 0: none */
	struct event *readable, *retry;
	int retry_s;
	uint64_t started; /* boot time, ns */
	uint64_t scrapes, restarts;
	uint64_t made[METRICS_FORM_COUNT]; /* boot time, ns */
};

static void start(struct metrics *metrics);

/* ---- the socket ---- */

static int open_path(struct metrics *metrics, const struct config *config, struct error *error)
{
	gid_t group = peer_group(config->socket_group);
	int r = listener_open_as("metrics.listen", config->metrics_listen, SOCKET_MODE, error,
				 &metrics->path);

	if (r)
		return r;
	metrics->socket = metrics->path.fd;
	if (group != PEER_NO_GROUP && chown(metrics->path.path, (uid_t)-1, group) < 0)
		log_warning_errno(-errno, "metrics.listen: the socket cannot be given to group %s",
				  config->socket_group);
	return 0;
}

static int open_port(struct metrics *metrics, const struct config *config,
		     const struct metrics_address *address, struct error *error)
{
	int one = 1;

	metrics->socket =
		socket(address->at.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (metrics->socket >= 0)
		setsockopt(metrics->socket, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (metrics->socket < 0 || bind(metrics->socket, &address->at.any, address->size) < 0 ||
	    listen(metrics->socket, BACKLOG) < 0)
		return error_set(error, -errno, "cannot listen on metrics.listen = %s: %s%s",
				 config->metrics_listen, strerror(errno),
				 errno == EAFNOSUPPORT
					 ? " (the unit allows Unix sockets only: docs/metrics.md)"
					 : "");
	return 0;
}

/* ---- its process ---- */

/* Soon, where it lived for a while; later and later, where it does not live. */
static void plan_retry(struct metrics *metrics)
{
	struct timeval later = {0};

	if (clock_boot_ns() - metrics->started > GOOD_LIFE_NS)
		metrics->retry_s = RETRY_FIRST_S;
	later.tv_sec = metrics->retry_s;
	metrics->retry_s = metrics->retry_s * 2 < RETRY_MAX_S ? metrics->retry_s * 2 : RETRY_MAX_S;
	event_add(metrics->retry, &later);
}

static void end_process(struct metrics *metrics, bool expected)
{
	char how[128];

	if (metrics->readable)
		event_free(metrics->readable);
	metrics->readable = NULL;
	if (metrics->process.pid)
		worker_process_end(&metrics->process, expected, how, sizeof(how), &metrics->left);
	else
		return;
	metrics->process.pid = 0;
	if (!expected)
		log_warning("the process that serves metrics has ended: %s; another one follows",
			    how);
}

/* {"cpu-clock": 99, …}: of the views that are always on, one of an event. */
static json_t *view_rates(const json_t *status)
{
	const json_t *streams = json_object_get(json_object_get(status, "rates"), "streams");
	json_t *rates = json_object();
	json_t *stream;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)streams, i, stream)
	{
		const char *event;
		json_int_t session;
		double rate;

		if (!json_unpack(stream, "{s:s, s:I, s:F}", "event", &event, "session", &session,
				 "rate", &rate) &&
		    !session)
			json_object_set_new(rates, event, json_real(rate));
	}
	return rates;
}

static void send_text(struct metrics *metrics, enum metrics_form form)
{
	_cleanup_(strbuf_deinit) struct strbuf packet = {0};
	json_t *status = server_status(metrics->server);

	metrics->scrapes++;
	if (status)
		json_object_set_new(status, "metrics",
				    json_pack("{s:I, s:I, s:o}", "scrapes",
					      (json_int_t)metrics->scrapes, "restarts",
					      (json_int_t)metrics->restarts, "rates",
					      view_rates(status)));
	strbuf_u8(&packet, (uint8_t)form);
	if (status && !metrics_text(status, form, &packet) &&
	    send(metrics->process.socket, packet.data, packet.length, MSG_NOSIGNAL | MSG_DONTWAIT) <
		    0)
		log_debug("metrics: the text could not be sent: %s", strerror(errno));
	json_decref(status);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
	struct metrics *metrics = context;
	uint64_t now = clock_boot_ns();
	uint8_t form;
	ssize_t n = recv(fd, &form, 1, MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_process(metrics, false);
		plan_retry(metrics);
		return;
	}
	if (form >= METRICS_FORM_COUNT || now - metrics->made[form] < TEXT_INTERVAL_NS)
		return;
	metrics->made[form] = now;
	send_text(metrics, form);
}

static int start_process(struct metrics *metrics, struct error *error)
{
	static const char *const argv[] = {"perfd", "--metrics", NULL};
	const struct symbolizer_config config = {
		.program = metrics->program, .argv = argv, .memory_bytes = METRICS_SERVER_MEMORY};
	int r = worker_process_start(&config, error, &metrics->process);

	metrics->started = clock_boot_ns();
	if (r)
		return r;
	r = metrics_server_hand_over(metrics->process.socket, metrics->socket);
	if (r)
		return error_set(error, r, "its socket cannot be handed over: %s", strerror(-r));
	metrics->readable = event_new(metrics->base, metrics->process.socket, EV_READ | EV_PERSIST,
				      on_readable, metrics);
	if (!metrics->readable || event_add(metrics->readable, NULL) < 0)
		return error_set(error, -ENOMEM, "no memory for its event");
	return 0;
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
	struct metrics *metrics = context;

	(void)fd;
	(void)what;
	if (metrics->left && worker_process_reap(metrics->left))
		metrics->left = 0;
	metrics->restarts++;
	start(metrics);
}

static void start(struct metrics *metrics)
{
	struct error error;

	if (!start_process(metrics, &error))
		return;
	log_warning("metrics are not served: %s", error.text);
	end_process(metrics, true);
	plan_retry(metrics);
}

int metrics_create(const struct config *config, struct server *server, struct event_base *base,
		   const char *program, struct error *error, struct metrics **ret)
{
	struct metrics *metrics;
	struct metrics_address address;
	int r;

	*ret = NULL;
	if (!config->metrics_listen[0])
		return 0;
	r = metrics_address_parse(config->metrics_listen, &address, error);
	if (r)
		return error_prefix(error, "metrics");
	metrics = calloc(1, sizeof(*metrics));
	if (!metrics)
		return error_set(error, -ENOMEM, "no memory for metrics");
	*metrics = (struct metrics){.server = server,
				    .base = base,
				    .program = program,
				    .path = {.fd = -1},
				    .socket = -1,
				    .process = {.socket = -1},
				    .retry_s = RETRY_FIRST_S};
	metrics->retry = evtimer_new(base, on_retry, metrics);
	if (!metrics->retry)
		r = error_set(error, -ENOMEM, "no memory for metrics");
	else if (address.at.any.sa_family == AF_UNIX)
		r = open_path(metrics, config, error);
	else
		r = open_port(metrics, config, &address, error);
	if (r) {
		metrics_destroy(metrics);
		return r;
	}
	start(metrics);
	*ret = metrics;
	return 0;
}

void metrics_destroy(struct metrics *metrics)
{
	if (!metrics)
		return;
	end_process(metrics, true);
	if (metrics->left)
		worker_process_reap(metrics->left);
	if (metrics->retry)
		event_free(metrics->retry);
	if (metrics->path.fd >= 0)
		listener_close(&metrics->path);
	else if (metrics->socket >= 0)
		close(metrics->socket);
	free(metrics);
}
