/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

/* Maps the program as code, as its exec will: perfd learns of the file from the
 * kernel, with this user's rights, and can make its tables before it runs. What
 * fails here will be told by the exec itself. */
static void map_program(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size > 0)
		(void)!mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
	close(fd);
}

/* Where execvp() will find it: the first executable of that name in $PATH. */
static void announce_program(const char *name)
{
	const char *folders = getenv("PATH");
	char path[PATH_MAX];

	if (strchr(name, '/')) {
		map_program(name);
		return;
	}
	while (folders && *folders) {
		size_t n = strcspn(folders, ":");

		if (snprintf(path, sizeof(path), "%.*s/%s", (int)n, folders, name) <
			    (int)sizeof(path) &&
		    !access(path, X_OK)) {
			map_program(path);
			return;
		}
		folders += n + (folders[n] == ':');
	}
}

/* Runs in the child. perfctl has one thread, so any call is safe here. */
static _Noreturn void hold_and_run(char **argv, const sigset_t *mask, int go_fd, int error_fd)
{
	ssize_t n;
	char go;
	int code;

	do
		n = read(go_fd, &go, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1) /* perfctl is gone, or gave up */
		_exit(EXIT_FAILURE);
	signal(SIGPIPE, SIG_DFL); /* perfctl ignores it, and that would be inherited */
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(argv[0], argv);
	code = errno;
	(void)!write(error_fd, &code, sizeof(code));
	_exit(EXIT_FAILURE);
}

int child_spawn(char **argv, const sigset_t *mask, struct error *error, struct child *ret)
{
	_cleanup_close_ int go_read = -1, go_write = -1, error_read = -1, error_write = -1;
	int go[2], errors[2], pidfd;
	pid_t pid;

	if (pipe2(go, O_CLOEXEC) < 0)
		return error_set(error, -errno, "cannot create a pipe: %s", strerror(errno));
	go_read = go[0];
	go_write = go[1];
	if (pipe2(errors, O_CLOEXEC) < 0)
		return error_set(error, -errno, "cannot create a pipe: %s", strerror(errno));
	error_read = errors[0];
	error_write = errors[1];
	pid = fork();
	if (pid < 0)
		return error_set(error, -errno, "cannot start a process: %s", strerror(errno));
	if (!pid) {
		close(go_write); /* or it would never see perfctl's end */
		announce_program(argv[0]);
		hold_and_run(argv, mask, go_read, error_write);
	}
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0) {
		int r = -errno;

		close(TAKE_FD(go_write));
		waitpid(pid, NULL, 0);
		return error_set(error, r, "cannot watch the command (pidfd_open): %s",
				 strerror(-r));
	}
	*ret = (struct child){.pid = pid,
			      .pidfd = pidfd,
			      .go_fd = TAKE_FD(go_write),
			      .error_fd = TAKE_FD(error_read),
			      .running = true};
	return 0;
}

int child_release(struct child *child)
{
	int code = 0;
	ssize_t n;

	if (write(child->go_fd, "", 1) != 1) { /* somebody killed it */
		child_reap(child);
		return 0;
	}
	close(TAKE_FD(child->go_fd));
	/* The other end closes itself when the command's image is in place. */
	do
		n = read(child->error_fd, &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	close(TAKE_FD(child->error_fd));
	if (n != sizeof(code))
		return 0;
	child_reap(child);
	return -code;
}

void child_reap(struct child *child)
{
	int status = 0;

	if (!child->running)
		return;
	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	child->running = false;
	child->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void child_deinit(struct child *child)
{
	if (!child->pid)
		return;
	if (child->go_fd >= 0) { /* never released: it sees the end of the pipe */
		close(TAKE_FD(child->go_fd));
		child_reap(child);
	}
	if (child->error_fd >= 0)
		close(TAKE_FD(child->error_fd));
	close(TAKE_FD(child->pidfd));
	child->pid = 0;
}
