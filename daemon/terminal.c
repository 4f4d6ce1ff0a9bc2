/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <curses.h>
#include <term.h>

/* What ends a full-screen program: colours off, the cursor seen, the screen before. */
static void leave_screen(void)
{
	static const char *const capabilities[] = {"sgr0", "cnorm", "rmcup", "rmkx"};
	int problem;

	if (setupterm(NULL, STDOUT_FILENO, &problem) == ERR)
		return;
	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		const char *text = tigetstr(capabilities[i]);

		if (text && text != (const char *)-1)
			putp(text);
	}
	putp("\r\n");
	fflush(stdout);
}

static int code_of(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Until the child has ended; a terminal's own Ctrl-C has reached it already. */
static int wait_for(pid_t child, const sigset_t *signals, int *ret_status)
{
	for (;;) {
		siginfo_t info;
		int number = sigwaitinfo(signals, &info);

		if (waitpid(child, ret_status, WNOHANG) == child)
			return 0;
		if (number > 0 && number != SIGCHLD && number != SIGWINCH &&
		    info.si_code != SI_KERNEL)
			kill(child, number);
	}
}

int terminal_run(int (*body)(void *context), void *context)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGCHLD};
	struct termios before;
	bool known = !tcgetattr(STDIN_FILENO, &before);
	pid_t parent = getpid(), child;
	sigset_t signals, old;
	int status = 0;

	sigemptyset(&signals);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaddset(&signals, numbers[i]);
	sigprocmask(SIG_BLOCK, &signals, &old);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		_exit(getppid() == parent ? body(context) : EXIT_FAILURE);
	}
	if (child < 0) {
		int r = -errno;

		sigprocmask(SIG_SETMASK, &old, NULL);
		return r;
	}
	wait_for(child, &signals, &status);
	if (WIFSIGNALED(status))
		leave_screen();
	if (known)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return code_of(status);
}
