/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sessions over the server's socket: their events and ends, whose they are and who may
 * see them.
 */
#include "tests/unit/server_fixture.h"
#include "tests/unit/suite.h"

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
	ck_assert_msg(!client_recent(&client, "", &(struct client_range){.last_ns = SECOND}, &error,
				     &profile),
		      "%s", error.text);
	ck_assert_uint_eq(profile->samples.count, 20000);
	profile_destroy(profile);
	client_deinit(&client);
}
END_TEST

START_TEST(a_look_at_a_session)
{
	struct client_session session = {.pid = getpid(), .event = "", .title = ""};
	struct client client;
	struct error error = {0};
	struct profile *profile;
	uint32_t id, frequency;
	const char *end;

	serve();
	client = greet();
	ck_assert_msg(!client_open(&client, &session, &error, &id, &frequency), "%s", error.text);
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_msg(!client_look(&client, id, &error, &profile), "%s", error.text);
		ck_assert_uint_eq(profile->samples.count, 3);
		profile_destroy(profile);
	}
	ck_assert_int_eq(client_look(&client, id + 7, &error, &profile), -ENOENT);
	/* It still runs, and has its result. */
	ck_assert_msg(!client_detach(&client, id, 0, &error, &end, &profile), "%s", error.text);
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
	ck_assert_int_eq(client_recent(&client, "", &(struct client_range){0}, &error, &profile),
			 -EPERM);
	ck_assert_int_eq(client_detach(&client, roots_session, 0, &error, &end, &profile), -EPERM);
	ck_assert_int_eq(client_look(&client, roots_session, &error, &profile), -EPERM);
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
int main(void)
{
	Suite *suite = suite_create("server_session");
	TCase *sessions = tcase_create("sessions");

	tcase_add_checked_fixture(sessions, setup, teardown);
	tcase_set_timeout(sessions, 30);
	tcase_add_test(sessions, session_with_events);
	tcase_add_test(sessions, ends_by_duration);
	tcase_add_test(sessions, dies_with_its_client);
	tcase_add_test(sessions, background_waits_for_detach);
	tcase_add_test(sessions, result_is_forgotten_in_time);
	tcase_add_test(sessions, stop_collect_close);
	tcase_add_test(sessions, another_pid_namespace);
	tcase_add_test(sessions, a_look_at_a_session);
	/* Without root the peer may not see the whole machine, or be another. */
	workshop_add(sessions, !geteuid(), "needs root", recent);
	workshop_add(sessions, !geteuid(), "needs root", other_users);
	suite_add_tcase(suite, sessions);
	return suite_main(suite);
}
