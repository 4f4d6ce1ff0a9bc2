/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/privileges.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/suite.h"

#define BIT(name) (1ULL << CAP_##name)

START_TEST(what_is_needed)
{
	uint64_t kept = privileges_needed(~0ULL);

	ck_assert(kept & BIT(PERFMON) && kept & BIT(BPF) && kept & BIT(SYS_PTRACE) &&
		  kept & BIT(KILL));
	ck_assert(!(kept & (BIT(SETPCAP) | BIT(DAC_OVERRIDE) | BIT(NET_ADMIN) | BIT(SYS_MODULE) |
			    BIT(SYS_RAWIO) | BIT(CHOWN) | BIT(FOWNER) | BIT(SYS_RESOURCE))));
	/* Nothing is made up. */
	ck_assert_uint_eq(privileges_needed(BIT(BPF) | BIT(NET_RAW)), BIT(BPF));
	ck_assert_uint_eq(privileges_needed(0), 0);
}
END_TEST

static int capability_of_a_new_program(void)
{
	char *const words[] = {"sh", "-c",
			       "chown 1:1 /dev/null/x; grep -q 'NoNewPrivs:.1' "
			       "/proc/self/status && ! grep -q 'CapPrm:.*ffffff' "
			       "/proc/self/status",
			       NULL};
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	dup2(null, STDERR_FILENO);
	execv("/bin/sh", words);
	return 9;
}

/* In a child: this program goes on with what it has. */
START_TEST(they_are_gone_for_good)
{
	struct error error;
	pid_t pid = fork();
	int status;

	if (!pid) {
		/* Twice: there is nothing to drop any more.
		 * NOLINTNEXTLINE(misc-redundant-expression) */
		if (privileges_drop(&error) || privileges_drop(&error))
			_exit(8);
		if (!prctl(PR_CAPBSET_DROP, CAP_CHOWN, 0, 0, 0) ||
		    prctl(PR_CAPBSET_READ, CAP_SYS_MODULE, 0, 0, 0))
			_exit(geteuid() ? 0 : 7);
		_exit(capability_of_a_new_program());
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("privileges");
	TCase *tc = tcase_create("privileges");

	tcase_add_test(tc, what_is_needed);
	tcase_add_test(tc, they_are_gone_for_good);
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}
