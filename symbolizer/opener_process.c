/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The opener: takes a request, opens what it names, sends it back in a parcel, and
 * waits for the next. It reads no byte of what it opens (but for /proc/PID/status, to
 * know a process's user), so what it has to fear is only that a call never returns.
 *
 * Of the daemon's capabilities it keeps those that reach other users' processes and
 * files (opener_sandbox.c), as another user where that is possible, so that it can
 * write nothing; and only the system calls that this takes.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/base/log.h"
#include "symbolizer/opener_sandbox.h"
#include "symbolizer/openers.h"
#include "symbolizer/parcel.h"
#include "symbolizer/sandbox.h"

#define EXIT_PROTOCOL 76 /* sysexits.h's EX_PROTOCOL */

struct serving {
	int socket;
	uint32_t id;
	bool failed; /* the daemon cannot be reached */
};

static void send_reply(struct serving *serving, const struct opener_reply *reply, int parcel)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct strbuf bytes = {0};
	struct msghdr message = {0};
	struct iovec part;

	opener_reply_encode(reply, &bytes);
	part = (struct iovec){.iov_base = bytes.data, .iov_len = bytes.length};
	message.msg_iov = &part;
	message.msg_iovlen = 1;
	if (parcel >= 0) {
		struct cmsghdr *header;

		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &parcel, sizeof(int));
	}
	if (strbuf_error(&bytes) || sendmsg(serving->socket, &message, MSG_NOSIGNAL) < 0)
		serving->failed = true;
	strbuf_deinit(&bytes);
}

static void about(void *context, uint64_t device)
{
	struct serving *serving = context;
	struct opener_reply reply = {.id = serving->id, .about = true, .device = device};

	send_reply(serving, &reply, -1);
}

static void serve_one(struct serving *serving, struct opener_request_in *in)
{
	struct opener_reply reply = {.id = in->id, .file.fd = -1};
	struct error error = {0};
	int parcel = -1;

	serving->id = in->id;
	in->care.about = about;
	in->care.context = serving;
	reply.error = opener_request_serve(&in->request, &in->care, &error, &reply.file);
	if (!reply.error) {
		reply.error = parcel_pack(reply.file.fd, &parcel);
		if (reply.error)
			error_set(&error, reply.error, "it cannot be handed over: %s",
				  strerror(-reply.error));
	}
	memcpy(reply.text, error.text, sizeof(reply.text));
	send_reply(serving, &reply, parcel);
	if (parcel >= 0)
		close(parcel);
	/* After the answer: this may hang too, and is nobody's business then. */
	if (reply.file.fd >= 0)
		close(reply.file.fd);
}

int openers_opener_main(int fd)
{
	struct serving serving = {.socket = fd};
	char bytes[OPENER_REQUEST_MAX];
	struct opener_request_in in;
	ssize_t n;

	sandbox_ignore_signals();
	opener_sandbox_enter(fd);
	while (!serving.failed) {
		do {
			n = recv(fd, bytes, sizeof(bytes), MSG_TRUNC);
		} while (n < 0 && errno == EINTR);
		if (n <= 0)
			break;
		if ((size_t)n > sizeof(bytes) || opener_request_decode(bytes, (size_t)n, &in) < 0)
			_exit(EXIT_PROTOCOL);
		serve_one(&serving, &in);
	}
	_exit(0);
}
