/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * reborn PID UID [RISEN [MS]]: one process after another, all with the number PID, each for some
 * MS milliseconds: one of the user UID, whose work is own_work and whose name is "plain"; one of
 * root's, with secret_work and "secret"; one of the user that executes RISEN, a set-user-id copy
 * of identity, with secret_work. Until its standard input ends. Needs CAP_CHECKPOINT_RESTORE or
 * root (clone3's set_tid).
 */
#include "tests/programs/burn.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void own_work(uint64_t ns)
{
	BURN(ns);
}

static void secret_work(uint64_t ns)
{
	BURN(ns);
}

static void live(int kind, uid_t uid, const char *risen, uint64_t ms)
{
	if (kind == 1) {
		prctl(PR_SET_NAME, "secret");
		secret_work(ms * MS);
		return;
	}
	if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		return;
	prctl(PR_SET_NAME, "plain");
	prctl(PR_SET_DUMPABLE, 1);
	own_work(ms * MS);
	if (kind == 2 && risen)
		execl(risen, risen, "secret", "3", (char *)NULL);
}

int main(int argc, char **argv)
{
	pid_t want = (pid_t)number(argc, argv, 1, 0);
	uid_t uid = (uid_t)number(argc, argv, 2, 65534);
	const char *risen = argc > 3 ? argv[3] : NULL;
	uint64_t ms = number(argc, argv, 4, 3), lives = 0;
	struct pollfd end = {.fd = STDIN_FILENO, .events = POLLIN};

	for (int kind = 0; poll(&end, 1, 0) == 0; kind = (kind + 1) % 3) {
		struct clone_args how = {.exit_signal = SIGCHLD,
					 .set_tid = (uint64_t)(uintptr_t)&want,
					 .set_tid_size = 1};
		long pid = syscall(SYS_clone3, &how, sizeof(how));

		if (!pid) {
			live(kind, uid, risen, ms);
			_exit(0);
		}
		if (pid < 0 && errno != EEXIST) {
			perror("clone3");
			return 1;
		}
		lives += pid > 0;
		waitpid(-1, NULL, 0);
	}
	printf("%llu\n", (unsigned long long)lives);
	return 0;
}
