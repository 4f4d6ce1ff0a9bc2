/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/private_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

#define END_TIMEOUT_MS 5000
#define PRIVATE_FD 3

/* perfd in the directory of this program, or just its name for $PATH. */
static void find_program(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	if (n > 0) {
		path[n] = 0;
		slash = strrchr(path, '/');
		if (slash && (size_t)(slash - path) + sizeof("/perfd") <= size) {
			memcpy(slash, "/perfd", sizeof("/perfd"));
			if (!access(path, X_OK))
				return;
		}
	}
	snprintf(path, size, "perfd");
}

static _Noreturn void run(const char *program, const char *config, const sigset_t *mask, int fd,
			  pid_t parent)
{
	/* No budget: somebody asked for it, at that rate. */
	const char *argv[] = {"perfd",
			      "--private-fd",
			      "3",
			      "--set",
			      "cpu.frequency_hz=0",
			      "--set",
			      "history.dir=",
			      "--set",
			      "budget.machine=0",
			      "--set",
			      "budget.process=0",
			      "--log-level",
			      "warning",
			      config ? "--config" : NULL,
			      config,
			      NULL};

	/* Ctrl-C is for perfctl and the command: out of the terminal's group. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	unsetenv("NOTIFY_SOCKET");
	/* perfctl's standard output is for the result alone. */
	dup2(STDERR_FILENO, STDOUT_FILENO);
	if (fd == PRIVATE_FD)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, PRIVATE_FD);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(program, (char **)(uintptr_t)argv);
	fprintf(stderr, "perfctl: cannot start %s, neither beside perfctl nor in $PATH: %s\n",
		program, strerror(errno));
	_exit(EXIT_FAILURE);
}

int private_daemon_start(const char *config, const sigset_t *mask, struct error *error,
			 struct private_daemon *ret, struct client *ret_client)
{
	char program[PATH_MAX];
	pid_t parent = getpid(), pid;
	int fds[2];

	find_program(program, sizeof(program));
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return error_set(error, -errno, "cannot create a socket pair: %s", strerror(errno));
	pid = fork();
	if (!pid)
		run(program, config, mask, fds[1], parent);
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return error_set(error, -errno, "cannot start a private perfd: %s",
				 strerror(errno));
	}
	ret->pid = pid;
	client_init(ret_client, fds[0]);
	return 0;
}

void private_daemon_end(struct private_daemon *daemon)
{
	_cleanup_close_ int pidfd = -1;
	struct pollfd poll_fd;

	if (!daemon->pid)
		return;
	pidfd = pidfd_open(daemon->pid, 0);
	poll_fd = (struct pollfd){.fd = pidfd, .events = POLLIN};
	if (pidfd >= 0 && poll(&poll_fd, 1, END_TIMEOUT_MS) == 0) {
		fprintf(stderr, "perfctl: the private perfd (pid %d) does not end: killed\n",
			(int)daemon->pid);
		kill(daemon->pid, SIGKILL);
	}
	while (waitpid(daemon->pid, NULL, 0) < 0 && errno == EINTR)
		;
	daemon->pid = 0;
}
