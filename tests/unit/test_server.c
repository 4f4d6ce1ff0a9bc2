/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The server in a process of its own, over a real socket, and clients that
 * behave well and badly. Its exit code counts: the sanitizers speak there.
 */
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

#define SECOND NSEC_PER_SEC
#define PATIENCE (10 * SECOND)

static char directory[64], path[96];
static pid_t server_pid;
static struct server_options times; /* set before serve() */
static unsigned int snapshot_frames;
static struct config config;

/* --- the server's process --- */

static void on_term(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(context);
}

static _Noreturn void serve_here(const struct listener *listener)
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

static void serve(void)
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

static void setup(void)
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

static void teardown(void)
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

static struct client connect_client(void)
{
	struct client client;
	struct error error = {0};

	ck_assert_msg(!client_connect(path, &error, &client), "%s", error.text);
	return client;
}

static struct client greet(void)
{
	struct client client = connect_client();
	struct error error = {0};

	ck_assert_msg(!client_hello(&client, PATIENCE, &error), "%s", error.text);
	return client;
}

/* The server answers a client that has done nothing wrong. */
static void assert_alive(void)
{
	struct client client = greet();

	client_deinit(&client);
}

static void send_bytes(struct client *client, const void *bytes, size_t n)
{
	ck_assert_int_eq(send(client->fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* The next message must be an error of this code whose text has `part`. */
static void expect_error(struct client *client, int code, const char *part)
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

static void expect_closed(struct client *client)
{
	struct message message;
	struct error error = {0};

	ck_assert_int_eq(client_receive(client, clock_boot_ns() + PATIENCE, &error, &message),
			 -ECONNRESET);
}

/* One of the numbers of status, in an object of it. */
static json_int_t status_number(const char *object, const char *key)
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

static uint32_t open_session(struct client *client, bool background, uint64_t duration_ns)
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

static void expect_event(struct client *client, enum message_type type, uint32_t id)
{
	struct message message;
	struct error error = {0};

	do {
		ck_assert_msg(!client_receive(client, clock_boot_ns() + PATIENCE, &error, &message),
			      "%s", error.text);
	} while (message.info->type != type);
	ck_assert_uint_eq(message_u32(&message, FIELD_SESSION), id);
}

/* --- bad input --- */

START_TEST(another_version)
{
	static const uint8_t frame[PROTOCOL_HEADER_SIZE] = {0, 0, 0, 0, 1, 0, 9, 0, 7, 0, 0, 0};
	struct client client;
	struct message message;
	struct error error = {0};

	serve();
	client = connect_client();
	send_bytes(&client, frame, sizeof(frame));
	ck_assert(!client_receive(&client, clock_boot_ns() + PATIENCE, &error, &message));
	ck_assert_uint_eq(message.serial, 7);
	ck_assert_int_eq(message_u32(&message, FIELD_CODE), EPROTO);
	ck_assert_ptr_nonnull(strstr(message_text(&message, FIELD_TEXT), "version 9"));
	ck_assert_ptr_nonnull(strstr(message_text(&message, FIELD_TEXT), "version 1"));
	expect_closed(&client);
	client_deinit(&client);
	assert_alive();
}
END_TEST

START_TEST(half_a_frame)
{
	static const uint8_t half[] = {40, 0, 0, 0, 1, 0, 1, 0, 7, 0};
	uint64_t start;
	struct client client;

	times.frame_timeout_ns = 300 * NSEC_PER_MSEC;
	serve();
	client = connect_client();
	start = clock_boot_ns();
	send_bytes(&client, half, sizeof(half));
	assert_alive();
	expect_error(&client, ETIMEDOUT, "no whole request");
	ck_assert_uint_ge(clock_boot_ns() - start, 250 * NSEC_PER_MSEC);
	expect_closed(&client);
	client_deinit(&client);
	/* The time is for half frames only: whoever is silent between them stays. */
	client = greet();
	ck_assert_int_eq(poll(&(struct pollfd){.fd = client.fd, .events = POLLIN}, 1, 600), 0);
	client_deinit(&client);
}
END_TEST

START_TEST(slow_bytes_do_not_prolong)
{
	static const uint8_t frame[PROTOCOL_HEADER_SIZE] = {8, 0, 0, 0, 1, 0, 1, 0, 7, 0, 0, 0};
	struct client client;
	uint64_t start;

	times.frame_timeout_ns = 300 * NSEC_PER_MSEC;
	serve();
	client = connect_client();
	start = clock_boot_ns();
	for (size_t i = 0; i < sizeof(frame); i++) {
		struct pollfd answer = {.fd = client.fd, .events = POLLIN};

		send(client.fd, frame + i, 1, MSG_NOSIGNAL);
		if (poll(&answer, 1, 100) > 0)
			break;
	}
	ck_assert_uint_lt(clock_boot_ns() - start, 900 * NSEC_PER_MSEC);
	expect_error(&client, ETIMEDOUT, "no whole request");
	client_deinit(&client);
}
END_TEST

START_TEST(four_gigabytes)
{
	static const uint8_t frame[PROTOCOL_HEADER_SIZE] = {0xff, 0xff, 0xff, 0xff, 4, 0,
							    1,    0,    1,    0,    0, 0};
	struct client client;

	serve();
	client = connect_client();
	send_bytes(&client, frame, sizeof(frame));
	expect_error(&client, EMSGSIZE, "4294967295 bytes");
	expect_closed(&client);
	client_deinit(&client);
	assert_alive();
}
END_TEST

START_TEST(garbage)
{
	uint32_t state = 12345;

	serve();
	for (int round = 0; round < 50; round++) {
		struct client client = connect_client();
		uint8_t bytes[777];

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
		/* Some with a header that is good, so that the fields are looked at. */
		if (round & 1) {
			const uint8_t header[] = {100, 0, 0, 0, (uint8_t)(round % 11), 0, 1, 0};

			memcpy(bytes, header, sizeof(header));
		}
		send(client.fd, bytes, sizeof(bytes), MSG_NOSIGNAL);
		client_deinit(&client);
	}
	assert_alive();
}
END_TEST

/* A frame with these fields, as raw bytes. */
static void send_fields(struct client *client, enum message_type type, const struct strbuf *fields)
{
	struct strbuf buf = {0};

	client_begin(client, type, &buf);
	if (fields->length)
		strbuf_append(&buf, fields->data, fields->length);
	message_end(&buf, 0);
	send_bytes(client, buf.data, buf.length);
	strbuf_deinit(&buf);
}

START_TEST(fields_are_named)
{
	static const char title[] =
		"0123456789012345678901234567890123456789012345678901234567890123456789";
	struct strbuf fields = {0};
	struct client client;
	size_t at;

	serve();
	client = connect_client();
	send_fields(&client, MESSAGE_OPEN, &fields);
	expect_error(&client, EBADMSG, "open: field \"pid\" is missing");
	message_put_number(&fields, FIELD_PID, 1);
	message_put_number(&fields, FIELD_PID, 1);
	send_fields(&client, MESSAGE_OPEN, &fields);
	expect_error(&client, EBADMSG, "open: field \"pid\" is there twice");
	strbuf_clear(&fields);
	at = message_begin_bytes(&fields, FIELD_EVENT);
	strbuf_append(&fields, title, sizeof(title));
	message_end_bytes(&fields, at);
	send_fields(&client, MESSAGE_OPEN, &fields);
	expect_error(&client, EBADMSG, "open: field \"event\" has 71 bytes, at most 16");
	strbuf_clear(&fields);
	message_put_number(&fields, FIELD_SAMPLES, 1);
	send_fields(&client, MESSAGE_OPEN, &fields);
	expect_error(&client, EBADMSG, "open: unknown field 19 (samples)");
	send_fields(&client, (enum message_type)33, &fields);
	expect_error(&client, EBADMSG, "unknown message type 33");
	strbuf_clear(&fields);
	send_fields(&client, MESSAGE_OK, &fields);
	expect_error(&client, EBADMSG, "\"ok\" is no request");
	send_fields(&client, MESSAGE_DETACH, &fields);
	expect_error(&client, EINVAL, "\"session\" and \"pid\"");
	strbuf_deinit(&fields);
	client_deinit(&client);
}
END_TEST

START_TEST(never_reads)
{
	struct client deaf;
	struct pollfd hangup;

	times.write_timeout_ns = 500 * NSEC_PER_MSEC;
	snapshot_frames = 20000;
	serve();
	deaf = greet();
	for (int i = 0; i < 200; i++) {
		struct strbuf buf = {0};

		client_begin(&deaf, MESSAGE_RECENT, &buf);
		message_end(&buf, 0);
		send(deaf.fd, buf.data, buf.length, MSG_NOSIGNAL | MSG_DONTWAIT);
		strbuf_deinit(&buf);
	}
	for (int i = 0; i < 20; i++)
		assert_alive();
	hangup = (struct pollfd){.fd = deaf.fd, .events = 0};
	ck_assert_int_eq(poll(&hangup, 1, 10000), 1);
	ck_assert(hangup.revents & POLLHUP);
	ck_assert_int_eq(status_number("server", "client_timeouts"), 1);
	client_deinit(&deaf);
}
END_TEST

START_TEST(too_many_clients)
{
	struct client clients[3], last;

	config.clients_max = 3;
	serve();
	for (size_t i = 0; i < 3; i++)
		clients[i] = greet();
	last = connect_client();
	expect_error(&last, EBUSY, "daemon.clients_max");
	expect_closed(&last);
	client_deinit(&last);
	client_deinit(&clients[0]);
	/* Its place is free when the server has noticed. */
	for (uint64_t end = clock_boot_ns() + PATIENCE;;) {
		struct error error = {0};
		bool greeted;

		last = connect_client();
		greeted = !client_hello(&last, PATIENCE, &error);
		client_deinit(&last);
		if (greeted)
			break;
		ck_assert_uint_lt(clock_boot_ns(), end);
	}
	client_deinit(&clients[1]);
	client_deinit(&clients[2]);
}
END_TEST

/* --- sessions --- */

START_TEST(session_with_events)
{
	struct client_session session = {
		.pid = getpid(), .event = "", .title = "", .progress_ms = 50};
	struct client client;
	struct error error = {0};
	struct profile *profile;
	uint32_t id, frequency;
	const char *end;

	serve();
	client = greet();
	ck_assert(!client_open(&client, &session, &error, &id, &frequency));
	expect_event(&client, MESSAGE_PROGRESS, id);
	expect_event(&client, MESSAGE_PROGRESS, id);
	ck_assert_msg(!client_detach(&client, id, 0, &error, &end, &profile), "%s", error.text);
	ck_assert_str_eq(end, "stopped");
	ck_assert_uint_eq(profile->samples.count, 3);
	profile_destroy(profile);
	ck_assert_int_eq(client_detach(&client, id, 0, &error, &end, &profile), -ENOENT);
	ck_assert_int_eq(status_number("engine", "sessions"), 0);
	client_deinit(&client);
}
END_TEST

START_TEST(ends_by_duration)
{
	struct client client;
	struct error error = {0};
	struct profile *profile;
	const char *end;
	uint32_t id;

	serve();
	client = greet();
	id = open_session(&client, false, 20 * NSEC_PER_MSEC);
	expect_event(&client, MESSAGE_ENDED, id);
	ck_assert(!client_detach(&client, id, 0, &error, &end, &profile));
	ck_assert_str_eq(end, "duration");
	profile_destroy(profile);
	client_deinit(&client);
}
END_TEST

/* Waits until the engine has this many sessions. */
static void expect_sessions(json_int_t count)
{
	for (uint64_t end = clock_boot_ns() + PATIENCE;
	     status_number("engine", "sessions") != count;)
		ck_assert_uint_lt(clock_boot_ns(), end);
}

START_TEST(dies_with_its_client)
{
	struct client client;

	serve();
	client = greet();
	open_session(&client, false, 0);
	open_session(&client, false, 0);
	ck_assert_int_eq(status_number("engine", "sessions"), 2);
	client_deinit(&client);
	expect_sessions(0);
}
END_TEST

START_TEST(background_waits_for_detach)
{
	struct client client;
	struct error error = {0};
	struct profile *profile;
	const char *end;
	uint32_t id;

	serve();
	client = greet();
	id = open_session(&client, true, 20 * NSEC_PER_MSEC);
	client_deinit(&client);
	client = greet();
	ck_assert_msg(!client_detach(&client, 0, getpid(), &error, &end, &profile), "%s",
		      error.text);
	profile_destroy(profile);
	ck_assert_int_eq(client_detach(&client, id, 0, &error, &end, &profile), -ENOENT);
	client_deinit(&client);
	expect_sessions(0);
}
END_TEST

START_TEST(result_is_forgotten_in_time)
{
	struct client client;

	times.result_keep_ns = 200 * NSEC_PER_MSEC;
	serve();
	client = greet();
	open_session(&client, true, NSEC_PER_MSEC);
	client_deinit(&client);
	ck_assert_int_eq(status_number("engine", "sessions"), 1);
	expect_sessions(0);
}
END_TEST

START_TEST(stop_collect_close)
{
	struct client client;
	struct strbuf buf = {0};
	struct message reply;
	struct error error = {0};
	uint32_t id;

	serve();
	client = greet();
	id = open_session(&client, false, 0);
	client_begin(&client, MESSAGE_COLLECT, &buf);
	message_put_number(&buf, FIELD_SESSION, id);
	ck_assert_int_eq(client_call(&client, &buf, MESSAGE_PROFILE, PATIENCE, &error, &reply),
			 -EBUSY);
	client_begin(&client, MESSAGE_STOP, &buf);
	message_put_number(&buf, FIELD_SESSION, id);
	ck_assert(!client_call(&client, &buf, MESSAGE_OK, PATIENCE, &error, &reply));
	expect_event(&client, MESSAGE_ENDED, id);
	for (int i = 0; i < 2; i++) {
		client_begin(&client, MESSAGE_COLLECT, &buf);
		message_put_number(&buf, FIELD_SESSION, id);
		ck_assert(!client_call(&client, &buf, MESSAGE_PROFILE, PATIENCE, &error, &reply));
	}
	client_begin(&client, MESSAGE_CLOSE, &buf);
	message_put_number(&buf, FIELD_SESSION, id);
	ck_assert(!client_call(&client, &buf, MESSAGE_OK, PATIENCE, &error, &reply));
	expect_sessions(0);
	client_deinit(&client);
}
END_TEST

START_TEST(another_pid_namespace)
{
	struct client_session session = {.pid = getpid(), .event = "", .title = ""};
	struct strbuf buf = {0};
	struct message reply;
	struct error error = {0};
	struct client client;
	uint32_t id, frequency;

	serve();
	client = connect_client();
	client_begin(&client, MESSAGE_HELLO, &buf);
	message_put_number(&buf, FIELD_SENDER_PID, 1);
	ck_assert(!client_call(&client, &buf, MESSAGE_WELCOME, PATIENCE, &error, &reply));
	ck_assert_int_eq(client_open(&client, &session, &error, &id, &frequency), -EXDEV);
	ck_assert_ptr_nonnull(strstr(error.text, "pid namespace"));
	client_deinit(&client);
}
END_TEST

START_TEST(recent)
{
	struct client client;
	struct error error = {0};
	struct profile *profile;

	snapshot_frames = 20000; /* more than a socket buffer, in several pieces */
	serve();
	client = greet();
	ck_assert_msg(!client_recent(&client, SECOND, &error, &profile), "%s", error.text);
	ck_assert_uint_eq(profile->samples.count, 20000);
	profile_destroy(profile);
	client_deinit(&client);
}
END_TEST

/* --- other users (root only) --- */

/* What nobody sees; runs in a process that has become nobody. */
static void as_nobody(uint32_t roots_session)
{
	struct client_session session = {.event = "", .title = ""};
	struct client client = greet();
	struct error error = {0};
	struct profile *profile;
	uint32_t id, frequency;
	const char *end;

	session.pid = 1;
	ck_assert_int_eq(client_open(&client, &session, &error, &id, &frequency), -EPERM);
	ck_assert_ptr_nonnull(strstr(error.text, "process 1 belongs to uid 0"));
	session.pid = 4194304 + 5; /* above pid_max */
	ck_assert_int_eq(client_open(&client, &session, &error, &id, &frequency), -ESRCH);
	ck_assert_int_eq(client_recent(&client, 0, &error, &profile), -EPERM);
	ck_assert_int_eq(client_detach(&client, roots_session, 0, &error, &end, &profile), -EPERM);
	prctl(PR_SET_DUMPABLE, 0);
	session.pid = getpid();
	ck_assert_int_eq(client_open(&client, &session, &error, &id, &frequency), -EPERM);
	ck_assert_ptr_nonnull(strstr(error.text, "not dumpable"));
	prctl(PR_SET_DUMPABLE, 1);
	ck_assert_msg(!client_open(&client, &session, &error, &id, &frequency), "%s", error.text);
	client_deinit(&client);
}

START_TEST(other_users)
{
	struct client client;
	uint32_t id;
	int status;
	pid_t pid;

	serve();
	client = greet();
	id = open_session(&client, true, 0);
	pid = fork();
	if (!pid) {
		if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
			_exit(9);
		prctl(PR_SET_DUMPABLE, 1);
		as_nobody(id);
		_exit(0); /* a failed assertion ends otherwise */
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	/* What nobody opened died with it; root's session did not. */
	expect_sessions(1);
	client_deinit(&client);
}
END_TEST

/* --- the socket's path --- */

START_TEST(second_server)
{
	struct listener second;
	struct error error = {0};
	char pid[32];

	serve();
	ck_assert_int_eq(listener_open(path, &error, &second), -EADDRINUSE);
	/* It is the test that called listen(), so it is named. */
	snprintf(pid, sizeof(pid), "(pid %d)", (int)getpid());
	ck_assert_ptr_nonnull(strstr(error.text, pid));
	ck_assert_ptr_nonnull(strstr(error.text, "--socket"));
	assert_alive();
}
END_TEST

START_TEST(no_socket)
{
	struct listener listener;
	struct error error = {0};
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/file", directory);
	fd = open(path, O_CREAT | O_WRONLY, 0644);
	ck_assert_int_eq(write(fd, "precious", 8), 8);
	close(fd);
	ck_assert_int_eq(listener_open(path, &error, &listener), -ENOTSOCK);
	ck_assert_ptr_nonnull(strstr(error.text, "no socket"));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 8);
}
END_TEST

START_TEST(stale_socket)
{
	struct listener listener, next;
	struct error error = {0};
	struct stat st;

	ck_assert(!listener_open(path, &error, &listener));
	close(listener.fd); /* as if killed: the file stays */
	ck_assert_msg(!listener_open(path, &error, &next), "%s", error.text);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0666);
	listener_close(&next);
	ck_assert_int_eq(stat(path, &st), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("server");
	TCase *bad = tcase_create("bad input"), *sessions = tcase_create("sessions");
	TCase *socket_path = tcase_create("socket");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(bad, setup, teardown);
	tcase_add_checked_fixture(sessions, setup, teardown);
	tcase_add_checked_fixture(socket_path, setup, teardown);
	tcase_set_timeout(bad, 30);
	tcase_set_timeout(sessions, 30);
	tcase_add_test(bad, another_version);
	tcase_add_test(bad, half_a_frame);
	tcase_add_test(bad, slow_bytes_do_not_prolong);
	tcase_add_test(bad, four_gigabytes);
	tcase_add_test(bad, garbage);
	tcase_add_test(bad, fields_are_named);
	tcase_add_test(bad, too_many_clients);
	tcase_add_test(sessions, session_with_events);
	tcase_add_test(sessions, ends_by_duration);
	tcase_add_test(sessions, dies_with_its_client);
	tcase_add_test(sessions, background_waits_for_detach);
	tcase_add_test(sessions, result_is_forgotten_in_time);
	tcase_add_test(sessions, stop_collect_close);
	tcase_add_test(sessions, another_pid_namespace);
	/* Without root the peer may not see the whole machine, or be another. */
	if (!geteuid()) {
		tcase_add_test(bad, never_reads);
		tcase_add_test(sessions, recent);
		tcase_add_test(sessions, other_users);
	} else {
		puts("# SKIP: never_reads, recent and other_users need root");
	}
	tcase_add_test(socket_path, second_server);
	tcase_add_test(socket_path, no_socket);
	tcase_add_test(socket_path, stale_socket);
	suite_add_tcase(suite, bad);
	suite_add_tcase(suite, sessions);
	suite_add_tcase(suite, socket_path);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
