/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

#define EXIT_EXEC_FAILED 127 /* as a shell says it */
#define END_WAIT_NS (200 * NSEC_PER_MSEC)
/* Of one that we killed it is known why; and the caller's loop waits. */
#define KILLED_WAIT_NS (20 * NSEC_PER_MSEC)
#define SOCKET_BUFFER_BYTES (1 << 20)

/* In the child, between fork and exec: only calls that are safe there. */
static void become_worker(const struct symbolizer_config *config, int socket)
{
	struct rlimit memory = {.rlim_cur = config->memory_bytes, .rlim_max = config->memory_bytes};
	sigset_t none;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Data that the daemon writes to stdout is not to be mixed with anything,
	 * and a reader of it must see its end though the worker lives on. */
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (socket == SYMBOLIZER_WORKER_FD)
		fcntl(socket, F_SETFD, 0);
	else if (dup2(socket, SYMBOLIZER_WORKER_FD) < 0)
		_exit(EXIT_EXEC_FAILED);
#if !defined(__SANITIZE_ADDRESS__)
	if (memory.rlim_cur)
		setrlimit(RLIMIT_AS, &memory);
#else
	(void)memory;
#endif
	execv(config->program, (char *const *)(uintptr_t)config->argv);
	_exit(EXIT_EXEC_FAILED);
}

int worker_process_start(const struct symbolizer_config *config, struct error *error,
			 struct worker_process *ret)
{
	_cleanup_close_ int ours = -1, theirs = -1;
	int pair[2], size = SOCKET_BUFFER_BYTES;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(error, -errno, "the worker's socket cannot be made: %s",
				 strerror(errno));
	ours = pair[0];
	theirs = pair[1];
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return error_set(error, -errno, "the worker's socket cannot be set up: %s",
				 strerror(errno));
	/* Only for speed; what the system allows is enough. */
	setsockopt(ours, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(theirs, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	pid = fork();
	if (pid < 0)
		return error_set(error, -errno, "the worker cannot be started: %s",
				 strerror(errno));
	if (!pid)
		become_worker(config, theirs);
	ret->pid = pid;
	ret->socket = TAKE_FD(ours);
	return 0;
}

static enum worker_end judge(int status, bool expected, char *text, size_t size)
{
	if (WIFEXITED(status)) {
		int code = WEXITSTATUS(status);

		if (code == EXIT_EXEC_FAILED) {
			snprintf(text, size, "its program cannot be executed");
			return WORKER_END_NOT_STARTED;
		}
		snprintf(text, size, "it ended with exit code %d", code);
		return WORKER_END_FAULT;
	}
	if (WIFSIGNALED(status)) {
		int number = WTERMSIG(status);
		const char *name = sigabbrev_np(number);

		snprintf(text, size, "it was ended by signal %d (SIG%s)%s", number,
			 name ? name : "?",
			 number == SIGSYS ? ", a system call that it may not use" : "");
		/* SIGXCPU: the CPU time of a worker's whole life is used up. */
		if (number != SIGKILL && number != SIGTERM && number != SIGXCPU)
			return WORKER_END_FAULT;
	} else {
		snprintf(text, size, "it ended");
	}
	return expected ? WORKER_END_FAULT : WORKER_END_KILLED;
}

enum worker_end worker_process_end(struct worker_process *process, bool expected, char *text,
				   size_t size, pid_t *ret_left)
{
	const struct timespec pause = {.tv_nsec = (long)(NSEC_PER_MSEC / 2)};
	uint64_t until = clock_boot_ns() + (expected ? KILLED_WAIT_NS : END_WAIT_NS);
	pid_t pid = process->pid, got = 0;
	bool signalled = false;
	int status = 0;

	/* Its own death is to be seen as it was, so no signal until it is clear
	 * that it goes on: the socket's end comes a little before the zombie. */
	close(process->socket);
	*process = (struct worker_process){.socket = -1};
	*ret_left = 0;
	if (expected)
		kill(pid, SIGKILL);
	do {
		got = waitpid(pid, &status, WNOHANG);
		if (!got)
			nanosleep(&pause, NULL);
		if (!got && !expected && !signalled && clock_boot_ns() + END_WAIT_NS / 2 > until) {
			kill(pid, SIGKILL);
			signalled = true;
		}
	} while (!got && clock_boot_ns() < until);
	if (got == pid)
		return judge(status, expected, text, size);
	snprintf(text, size, "it is gone");
	if (!got)
		*ret_left = pid;
	return expected ? WORKER_END_FAULT : WORKER_END_KILLED;
}

bool worker_process_cpu(pid_t pid, uint64_t *ret)
{
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &used) < 0)
		return false;
	*ret = (uint64_t)used.tv_sec * NSEC_PER_SEC + (uint64_t)used.tv_nsec;
	return true;
}

/* As proc(5) has it; '?': that cannot be told. */
static char state_of(pid_t pid)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], state = '?';

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	/* Its name has no brackets: it is ours. */
	if (!file || fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		return '?';
	return state;
}

bool worker_process_starves(pid_t pid, uint64_t enough)
{
	uint64_t used;

	return worker_process_cpu(pid, &used) && used < enough && state_of(pid) == 'R';
}

bool worker_process_is_stopped(pid_t pid)
{
	char state = state_of(pid);

	return state == 'T' || state == 't';
}

bool worker_process_reap(pid_t pid)
{
	return waitpid(pid, NULL, WNOHANG) != 0;
}
