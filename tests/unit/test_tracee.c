/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A process that makes threads which end at once is stopped again and again: there is always one
 * that is just ending.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/tracee.h"
#include "tests/unit/suite.h"

#define STOPS 1000
#define MAKERS 4

static void *nothing(void *context)
{
	return context;
}

static void *make(void *context)
{
	for (;;) {
		pthread_t thread;

		if (!pthread_create(&thread, NULL, nothing, NULL))
			pthread_join(thread, NULL);
	}
	return context;
}

static pid_t start_makers(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 1; i < MAKERS; i++) {
		pthread_t thread;

		pthread_create(&thread, NULL, make, NULL);
	}
	make(NULL);
	_exit(1);
}

START_TEST(threads_that_end)
{
	pid_t pid = start_makers();
	int stopped = 0;

	ck_assert_int_gt(pid, 0);
	for (int i = 0; i < STOPS; i++) {
		struct tracee tracee;
		struct error error = {0};
		int r = tracee_stop(pid, clock_boot_ns() + 20 * NSEC_PER_SEC, &error, &tracee);

		ck_assert_msg(!r, "stop %d: %s", i, error.text);
		ck_assert_uint_ge(tracee.count, 1);
		stopped++;
		tracee_release(&tracee);
	}
	ck_assert_int_eq(stopped, STOPS);
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tracee");

	SUITE_CASE(suite, "stop", threads_that_end);
	return suite_main(suite);
}
