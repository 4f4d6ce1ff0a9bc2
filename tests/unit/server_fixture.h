/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For suites that talk to a real server over its socket: the server in a process of
 * its own, above a fake engine, and clients that say what they expect. The process's
 * exit code counts: the sanitizers speak there.
 */
#pragma once

#include "daemon/server.h"

#include <check.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/client.h"
#include "tests/unit/fake_engine.h"
#include "tests/unit/workshop.h"

#define SECOND NSEC_PER_SEC
#define PATIENCE (10 * SECOND)

static char directory[64], path[96];
static pid_t server_pid;
static struct server_options times; /* set before serve() */
static unsigned int snapshot_frames;
static struct config config;

/* --- the server's process --- */

static inline void on_term(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(context);
}

static inline _Noreturn void serve_here(const struct listener *listener)
{
	struct server_options options = times;
	struct event_base *base = event_base_new();
	struct event *term = evsignal_new(base, SIGTERM, on_term, base);
	struct engine_options engine_options = {.config = &config};
	struct server *server;

	signal(SIGPIPE, SIG_IGN);
	event_add(term, NULL);
	options.config = &config;
	options.base = base;
	engine_create(&engine_options, base, NULL, &options.engine);
	options.engine->snapshot_frames = snapshot_frames;
	if (server_create(&options, &server) || server_listen(server, listener))
		exit(3);
	event_base_dispatch(base);
	server_destroy(server);
	engine_destroy(options.engine);
	event_free(term);
	event_base_free(base);
	exit(0);
}

static inline void serve(void)
{
	struct listener listener;
	struct error error = {0};
	pid_t parent = getpid();

	ck_assert_msg(!listener_open(path, &error, &listener), "%s", error.text);
	server_pid = fork();
	ck_assert_int_ge(server_pid, 0);
	if (!server_pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			exit(4);
		serve_here(&listener);
	}
	close(listener.fd);
}

static inline void setup(void)
{
	snprintf(directory, sizeof(directory), "/tmp/perfd-test-server-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	chmod(directory, 0755);
	snprintf(path, sizeof(path), "%s/run/perfd.sock", directory);
	config_init(&config);
	times = (struct server_options){0};
	snapshot_frames = 1;
	server_pid = 0;
}

static inline void teardown(void)
{
	char parent[96];
	int status = 0;

	if (server_pid) {
		kill(server_pid, SIGTERM);
		ck_assert_int_eq(waitpid(server_pid, &status, 0), server_pid);
		ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "server status %x",
			      status);
	}
	unlink(path);
	snprintf(parent, sizeof(parent), "%s/run", directory);
	rmdir(parent);
	rmdir(directory);
}

/* --- clients --- */

static inline struct client connect_client(void)
{
	struct client client;
	struct error error = {0};

	ck_assert_msg(!client_connect(path, &error, &client), "%s", error.text);
	return client;
}

static inline struct client greet(void)
{
	struct client client = connect_client();
	struct error error = {0};

	ck_assert_msg(!client_hello(&client, PATIENCE, &error), "%s", error.text);
	return client;
}

/* The server answers a client that has done nothing wrong. */
static inline void assert_alive(void)
{
	struct client client = greet();

	client_deinit(&client);
}

static inline void send_bytes(struct client *client, const void *bytes, size_t n)
{
	ck_assert_int_eq(send(client->fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* The next message must be an error of this code whose text has `part`. */
static inline void expect_error(struct client *client, int code, const char *part)
{
	struct message message;
	struct error error = {0};

	ck_assert_msg(!client_receive(client, clock_boot_ns() + PATIENCE, &error, &message), "%s",
		      error.text);
	ck_assert_int_eq(message.info->type, MESSAGE_ERROR);
	ck_assert_int_eq(message_u32(&message, FIELD_CODE), code);
	ck_assert_msg(strstr(message_text(&message, FIELD_TEXT), part) != NULL,
		      "\"%s\" lacks \"%s\"", message_text(&message, FIELD_TEXT), part);
}

static inline void expect_closed(struct client *client)
{
	struct message message;
	struct error error = {0};

	ck_assert_int_eq(client_receive(client, clock_boot_ns() + PATIENCE, &error, &message),
			 -ECONNRESET);
}

/* One of the numbers of status, in an object of it. */
static inline json_int_t status_number(const char *object, const char *key)
{
	struct client client = greet();
	struct error error = {0};
	const char *text;
	json_t *root;
	json_int_t value;

	ck_assert_msg(!client_json(&client, MESSAGE_STATUS, &error, &text), "%s", error.text);
	root = json_loads(text, 0, NULL);
	ck_assert_ptr_nonnull(root);
	value = json_integer_value(json_object_get(json_object_get(root, object), key));
	json_decref(root);
	client_deinit(&client);
	return value;
}

static inline uint32_t open_session(struct client *client, bool background, uint64_t duration_ns)
{
	struct client_session session = {.pid = getpid(),
					 .background = background,
					 .duration_ns = duration_ns,
					 .event = "",
					 .title = "a test"};
	struct error error = {0};
	uint32_t id, frequency;

	ck_assert_msg(!client_open(client, &session, &error, &id, &frequency), "%s", error.text);
	ck_assert_uint_eq(frequency, 99);
	return id;
}

static inline void expect_event(struct client *client, enum message_type type, uint32_t id)
{
	struct message message;
	struct error error = {0};

	do {
		ck_assert_msg(!client_receive(client, clock_boot_ns() + PATIENCE, &error, &message),
			      "%s", error.text);
	} while (message.info->type != type);
	ck_assert_uint_eq(message_u32(&message, FIELD_SESSION), id);
}
