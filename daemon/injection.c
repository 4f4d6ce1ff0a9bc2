/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/injection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

#define SILENCE_NS (20 * NSEC_PER_SEC) /* a call may take ten (tracee_call.c) */

struct injection {
	struct injection_owner owner;
	struct event *event;
	int socket;
	pid_t pid; /* 0: reaped */
	bool over; /* done was called */
	union {
		struct inject_stack stack;
		struct inject_result result;
		uint8_t bytes[sizeof(struct inject_stack) + INJECT_STACK_BYTES];
	} packet;
};

static void reap(struct injection *injection, bool force)
{
	if (!injection->pid)
		return;
	if (force)
		kill(injection->pid, SIGKILL);
	/* A killed one ends at once, unless the kernel holds it in a call of ptrace: it is
	 * left then, and reaped with the daemon. */
	for (int i = 0; i < 100 && waitpid(injection->pid, NULL, WNOHANG) == 0; i++)
		poll(NULL, 0, 1);
	injection->pid = 0;
}

static void finish(struct injection *injection, const struct inject_result *result)
{
	if (injection->over)
		return;
	injection->over = true;
	event_del(injection->event);
	reap(injection, result->error != 0);
	injection->owner.done(injection->owner.context, result);
}

static void fail(struct injection *injection, int code, const char *text)
{
	struct inject_result result = {.kind = INJECT_RESULT, .error = code};

	snprintf(result.text, sizeof(result.text), "%s", text);
	finish(injection, &result);
}

static void take(struct injection *injection, size_t size)
{
	struct inject_stack *stack = &injection->packet.stack;

	switch (size >= sizeof(uint32_t) ? stack->kind : 0) {
	case INJECT_STACK:
		if (size < sizeof(*stack) || stack->raw.bytes > size - sizeof(*stack))
			break;
		injection->owner.on_stack(injection->owner.context, stack);
		return;
	case INJECT_ASK: {
		struct inject_verdict verdict = {
			.kind = INJECT_VERDICT,
			.tid = injection->owner.verdict(injection->owner.context)};

		(void)!send(injection->socket, &verdict, sizeof(verdict),
			    MSG_NOSIGNAL | MSG_DONTWAIT);
		return;
	}
	case INJECT_RESULT:
		if (size != sizeof(injection->packet.result))
			break;
		injection->packet.result.text[INJECT_TEXT_MAX - 1] = 0;
		finish(injection, &injection->packet.result);
		return;
	default:
		break;
	}
	fail(injection, -EPROTO, "the injector said what is no message");
}

static void dispatch(struct injection *injection)
{
	while (!injection->over) {
		ssize_t n = recv(injection->socket, injection->packet.bytes,
				 sizeof(injection->packet.bytes), MSG_DONTWAIT);

		if (n > 0)
			take(injection, (size_t)n);
		else if (n == 0)
			fail(injection, -EPIPE, "the injector died");
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			fail(injection, -errno, "the injector cannot be heard");
	}
}

static void on_event(evutil_socket_t fd, short what, void *context)
{
	struct injection *injection = context;

	(void)fd;
	if (what & EV_TIMEOUT)
		fail(injection, -ETIMEDOUT, "the injector hangs: it was killed");
	else
		dispatch(injection);
}

/* In the child, between fork and exec. */
static _Noreturn void become_injector(const char *program, int socket)
{
	static const char *const argv[] = {"perfd", "--inject", NULL};
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Ctrl-C is not for it: it has a process in its hands. */
	setpgid(0, 0);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	if (socket == INJECT_FD)
		fcntl(socket, F_SETFD, 0);
	else
		dup2(socket, INJECT_FD);
	execv(program, (char *const *)(uintptr_t)argv);
	_exit(EXIT_FAILURE);
}

static int send_order(int socket, const struct inject_order *order, int library)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec data = {(void *)(uintptr_t)order, sizeof(*order)};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};

	if (library >= 0) {
		struct cmsghdr *header;

		message.msg_control = control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		*header = (struct cmsghdr){.cmsg_level = SOL_SOCKET,
					   .cmsg_type = SCM_RIGHTS,
					   .cmsg_len = CMSG_LEN(sizeof(int))};
		memcpy(CMSG_DATA(header), &library, sizeof(library));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int start(struct event_base *base, const char *program, const struct inject_order *order,
		 int library, struct injection *injection)
{
	struct timeval silence = {.tv_sec = SILENCE_NS / NSEC_PER_SEC};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	injection->socket = pair[0];
	injection->pid = fork();
	if (!injection->pid)
		become_injector(program, pair[1]);
	close(pair[1]);
	if (injection->pid < 0) {
		injection->pid = 0;
		return -errno;
	}
	injection->event =
		event_new(base, injection->socket, EV_READ | EV_PERSIST, on_event, injection);
	if (!injection->event || event_add(injection->event, &silence) < 0)
		return -ENOMEM;
	return send_order(injection->socket, order, library);
}

int injection_start(struct event_base *base, const char *program, const struct inject_order *order,
		    int library, const struct injection_owner *owner, struct error *error,
		    struct injection **ret)
{
	_cleanup_close_ int file = library;
	struct injection *injection = calloc(1, sizeof(*injection));
	int r;

	if (!injection)
		return error_set(error, -ENOMEM, "out of memory");
	injection->owner = *owner;
	injection->socket = -1;
	r = start(base, program, order, file, injection);
	if (r < 0) {
		injection_destroy(injection);
		return error_set(error, r, "the injector cannot be started: %s", strerror(-r));
	}
	*ret = injection;
	return 0;
}

void injection_finish(struct injection *injection, uint64_t deadline)
{
	struct pollfd ready = {.fd = injection->socket, .events = POLLIN};

	while (!injection->over && clock_boot_ns() < deadline) {
		poll(&ready, 1, 10);
		dispatch(injection);
	}
}

void injection_destroy(struct injection *injection)
{
	if (!injection)
		return;
	reap(injection, true);
	if (injection->event)
		event_free(injection->event);
	if (injection->socket >= 0)
		close(injection->socket);
	free(injection);
}
