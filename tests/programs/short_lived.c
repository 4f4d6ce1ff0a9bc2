/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * short_lived [COUNT] [AT_ONCE] [MS]: runs itself COUNT times, AT_ONCE side by
 * side. Each run names itself w0000, w0001, ... and burns MS of CPU time in
 * spin_<number % 8>. Prints {"pids": [pid of w0000, ...]} at the end.
 */
#include "tests/programs/burn.h"

#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPIN(n)                                                                                    \
	static void spin_##n(uint64_t ns)                                                          \
	{                                                                                          \
		BURN(ns);                                                                          \
	}
SPIN(0)
SPIN(1)
SPIN(2)
SPIN(3)
SPIN(4)
SPIN(5)
SPIN(6)
SPIN(7)

static void (*const spins[])(uint64_t) = {spin_0, spin_1, spin_2, spin_3,
					  spin_4, spin_5, spin_6, spin_7};

static int child(unsigned index, uint64_t ns)
{
	char name[16];

	snprintf(name, sizeof(name), "w%04u", index);
	prctl(PR_SET_NAME, name);
	spins[index % 8](ns);
	return 0;
}

static pid_t start(const char *self, unsigned index, const char *ms)
{
	char number_text[16];
	pid_t pid = fork();

	if (pid)
		return pid;
	snprintf(number_text, sizeof(number_text), "%u", index);
	execl(self, self, "--child", number_text, ms, (char *)NULL);
	_exit(127);
}

/* Waits for one child; false if it did not end well. */
static int reap(void)
{
	int status;

	return wait(&status) > 0 && WIFEXITED(status) && !WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
	unsigned count = (unsigned)number(argc, argv, 1, 1000);
	unsigned at_once = (unsigned)number(argc, argv, 2, 4), running = 0;
	const char *ms = argc > 3 ? argv[3] : "10";
	pid_t *pids;

	if (argc > 3 && !strcmp(argv[1], "--child"))
		return child((unsigned)number(argc, argv, 2, 0), number(argc, argv, 3, 10) * MS);
	pids = calloc(count, sizeof(*pids));
	if (!pids)
		return 1;
	for (unsigned i = 0; i < count; i++) {
		if (running == at_once) {
			if (!reap())
				return 1;
			running--;
		}
		pids[i] = start(argv[0], i, ms);
		if (pids[i] < 0)
			return 1;
		running++;
	}
	for (; running; running--) {
		if (!reap())
			return 1;
	}
	printf("{\"pids\": [");
	for (unsigned i = 0; i < count; i++)
		printf("%s%d", i ? ", " : "", pids[i]);
	printf("]}\n");
	free(pids);
	return 0;
}
