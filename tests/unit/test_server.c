/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The server and clients that break the rules: each is told what was wrong or let go,
 * and the others notice nothing. And the path of its socket.
 */
#include "tests/unit/server_fixture.h"
#include "tests/unit/suite.h"

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
	TCase *bad = tcase_create("bad input"), *socket_path = tcase_create("socket");

	tcase_add_checked_fixture(bad, setup, teardown);
	tcase_add_checked_fixture(socket_path, setup, teardown);
	tcase_set_timeout(bad, 30);
	tcase_add_test(bad, another_version);
	tcase_add_test(bad, half_a_frame);
	tcase_add_test(bad, slow_bytes_do_not_prolong);
	tcase_add_test(bad, four_gigabytes);
	tcase_add_test(bad, garbage);
	tcase_add_test(bad, fields_are_named);
	tcase_add_test(bad, too_many_clients);
	/* Without root the peer may not see the whole machine. */
	workshop_add(bad, !geteuid(), "needs root", never_reads);
	tcase_add_test(socket_path, second_server);
	tcase_add_test(socket_path, no_socket);
	tcase_add_test(socket_path, stale_socket);
	suite_add_tcase(suite, bad);
	suite_add_tcase(suite, socket_path);
	return suite_main(suite);
}
