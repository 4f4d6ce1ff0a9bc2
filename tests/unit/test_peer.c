/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/peer.h"

#include <check.h>
#include <errno.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534
#define SOME_GROUP 54321

static struct error error;

START_TEST(socketpair_is_ourselves)
{
	struct peer peer;
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	ck_assert_int_eq(peer_from_socket(fds[0], PEER_NO_GROUP, &peer), 0);
	ck_assert_int_eq(peer.pid, getpid());
	ck_assert_uint_eq(peer.uid, geteuid());
	ck_assert_uint_eq(peer.gid, getegid());
	ck_assert(peer.privileged == !geteuid());
}
END_TEST

START_TEST(no_socket)
{
	struct peer peer = {.pid = 42};

	ck_assert_int_eq(peer_from_socket(0x7fff, PEER_NO_GROUP, &peer), -EBADF);
	ck_assert_int_eq(peer.pid, 42);
}
END_TEST

START_TEST(groups)
{
	ck_assert_uint_eq(peer_group(""), PEER_NO_GROUP);
	ck_assert_uint_eq(peer_group("no such group here"), PEER_NO_GROUP);
	ck_assert_uint_eq(peer_group("root"), 0);
}
END_TEST

START_TEST(own_process_and_others)
{
	struct peer self = {.pid = getpid(), .uid = getuid(), .gid = getgid()};
	struct peer stranger = {.pid = getpid(), .uid = getuid() + 1, .gid = getgid()};

	if (geteuid()) {
		ck_assert_msg(!peer_may_see(&self, getpid(), &error), "%s", error.text);
	} else { /* somebody of that number without its rights */
		ck_assert_int_eq(peer_may_see(&self, getpid(), &error), -EPERM);
		ck_assert_ptr_nonnull(strstr(error.text, "capabilities"));
	}
	ck_assert_int_eq(peer_may_see(&stranger, getpid(), &error), -EPERM);
	ck_assert_ptr_nonnull(strstr(error.text, "daemon.socket_group"));
	stranger.privileged = true;
	ck_assert_int_eq(peer_may_see(&stranger, getpid(), &error), 0);
	ck_assert_int_eq(peer_may_see(&stranger, 4194304 + 1, &error), -ESRCH);
	ck_assert_int_eq(peer_may_see(&self, 4194304 + 1, &error), -ESRCH);
	ck_assert_int_eq(peer_may_see(&self, 0, &error), -ESRCH);
	ck_assert_int_eq(peer_may_see(&self, -1, &error), -ESRCH);
}
END_TEST

/* Runs `act` in a child and judges it, while it waits, as a peer of `uid`. -ECHILD: it could
 * not do that here. */
static int judge_child(void (*act)(void), uid_t uid)
{
	struct peer peer = {.uid = uid};
	int ready[2], done[2], r;
	char c;
	pid_t pid;

	ck_assert_int_eq(pipe(ready) | pipe(done), 0);
	pid = fork();
	if (!pid) {
		close(done[1]);
		act();
		(void)!write(ready[1], "", 1);
		(void)!read(done[0], &c, 1);
		_exit(0);
	}
	close(ready[1]);
	r = read(ready[0], &c, 1) == 1 ? peer_may_see(&peer, pid, &error) : -ECHILD;
	close(ready[0]);
	close(done[1]);
	waitpid(pid, NULL, 0);
	return r;
}

static void hide(void)
{
	prctl(PR_SET_DUMPABLE, 0);
}

static void become_nobody(void)
{
	if (setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY))
		_exit(1);
	prctl(PR_SET_DUMPABLE, 1);
}

/* As after an exec of a set-user-id program that dropped its rights for now. */
static void keep_saved_root(void)
{
	if (setresuid(NOBODY, NOBODY, 0))
		_exit(1);
	prctl(PR_SET_DUMPABLE, 1);
}

static void look_like_nobody(void)
{
	prctl(PR_SET_NAME, "x\nUid:\t65534");
}

static void nobody_undumpable(void)
{
	become_nobody();
	hide();
}

/* As a service that its manager gave one right: dumpable, and no one else's to see. */
static void keep_a_capability(void)
{
	prctl(PR_SET_KEEPCAPS, 1);
	become_nobody();
}

/* Root in a namespace of its own, and nobody outside. */
static void rule_a_namespace(void)
{
	become_nobody();
	if (unshare(CLONE_NEWUSER))
		_exit(1);
	prctl(PR_SET_DUMPABLE, 1);
}

START_TEST(capabilities)
{
	int r;

	ck_assert_int_eq(judge_child(keep_a_capability, NOBODY), -EPERM);
	ck_assert_ptr_nonnull(strstr(error.text, "capabilities"));
	r = judge_child(rule_a_namespace, NOBODY);
	if (r == -ECHILD)
		return; /* in a chroot there are no user namespaces for anybody */
	ck_assert_msg(!r, "%s", error.text);
	ck_assert_int_eq(judge_child(rule_a_namespace, NOBODY - 1), -EPERM);
}
END_TEST

START_TEST(other_ids)
{
	ck_assert_msg(!judge_child(become_nobody, NOBODY), "%s", error.text);
	ck_assert_int_eq(judge_child(keep_saved_root, NOBODY), -EPERM);
	ck_assert_int_eq(judge_child(nobody_undumpable, NOBODY), -EPERM);
	ck_assert_ptr_nonnull(strstr(error.text, "not dumpable"));
	ck_assert_int_eq(judge_child(look_like_nobody, NOBODY), -EPERM);
	ck_assert_ptr_nonnull(strstr(error.text, "uid 0"));
}
END_TEST

/* A member of the group is privileged, by either kind of membership. */
static int privileged_as(gid_t gid, const gid_t *list, size_t count)
{
	int fds[2], status;
	pid_t pid = fork();

	if (!pid) {
		struct peer peer;

		if (setgroups(count, list) || setresgid(gid, gid, gid) ||
		    setresuid(NOBODY, NOBODY, NOBODY) || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) ||
		    peer_from_socket(fds[0], SOME_GROUP, &peer))
			_exit(9);
		_exit(peer.privileged);
	}
	waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

START_TEST(group_members)
{
	static const gid_t list[] = {1, 2, SOME_GROUP, 4};

	ck_assert_int_eq(privileged_as(NOBODY, NULL, 0), 0);
	ck_assert_int_eq(privileged_as(SOME_GROUP, NULL, 0), 1);
	ck_assert_int_eq(privileged_as(NOBODY, list, 4), 1);
	ck_assert_int_eq(privileged_as(NOBODY, list, 2), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("peer");
	TCase *tcase = tcase_create("peer");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, socketpair_is_ourselves);
	tcase_add_test(tcase, no_socket);
	tcase_add_test(tcase, groups);
	tcase_add_test(tcase, own_process_and_others);
	if (!geteuid()) {
		tcase_add_test(tcase, other_ids);
		tcase_add_test(tcase, capabilities);
		tcase_add_test(tcase, group_members);
	} else {
		puts("# SKIP: other_ids, capabilities and group_members need root");
	}
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
