/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * identity STEP...: one who changes, step by step:
 *
 *	own MS		burns in own_work, under the name "plain"
 *	secret MS	burns in secret_work, under the name "secret"
 *	hide, show	is not dumpable, is dumpable again
 *	become UID	sets all its user ids
 *	namespace	a user namespace of its own
 *	fork		a child goes on; its parent waits for it, and ends as it did
 *	wait		until a line (or the end) comes on standard input
 *	exec FILE STEP...	executes another program (a set-user-id copy of itself)
 */
#include "tests/programs/burn.h"

#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
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

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int go_on_in_a_child(void)
{
	pid_t pid = fork();
	int status;

	if (pid <= 0)
		return pid;
	if (waitpid(pid, &status, 0) != pid)
		_exit(1);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *step = argv[i];
		char line[16];

		if (!strcmp(step, "own")) {
			prctl(PR_SET_NAME, "plain");
			own_work(number(argc, argv, ++i, 100) * MS);
		} else if (!strcmp(step, "secret")) {
			prctl(PR_SET_NAME, "secret");
			secret_work(number(argc, argv, ++i, 100) * MS);
		} else if (!strcmp(step, "hide")) {
			prctl(PR_SET_DUMPABLE, 0);
		} else if (!strcmp(step, "show")) {
			prctl(PR_SET_DUMPABLE, 1);
		} else if (!strcmp(step, "become")) {
			uid_t uid = (uid_t)number(argc, argv, ++i, 65534);

			if (setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
				return fail("setresuid");
		} else if (!strcmp(step, "namespace")) {
			if (unshare(CLONE_NEWUSER))
				return fail("unshare");
		} else if (!strcmp(step, "fork")) {
			if (go_on_in_a_child() < 0)
				return fail("fork");
		} else if (!strcmp(step, "wait")) {
			(void)!fgets(line, sizeof(line), stdin);
		} else if (!strcmp(step, "exec") && i + 1 < argc) {
			execv(argv[i + 1], argv + i + 1);
			return fail(argv[i + 1]);
		} else {
			fprintf(stderr, "identity: no step \"%s\"\n", step);
			return 2;
		}
	}
	return 0;
}
