/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What goes between the daemon and a fetcher: one packet each way.
 */
#include "symbolizer/fetcher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/reader.h"
#include "daemon/base/strbuf.h"

int fetcher_ask(int socket, const struct fetcher_request *request, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct strbuf packet = {0};
	struct iovec part;
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control.space)};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int r;

	strbuf_u64(&packet, request->timeout_ns);
	strbuf_u64(&packet, request->size_max);
	strbuf_bytes(&packet, request->build_id, (uint32_t)strlen(request->build_id));
	strbuf_bytes(&packet, request->urls, (uint32_t)strlen(request->urls));
	r = strbuf_error(&packet);
	if (!r && packet.length > FETCHER_REQUEST_MAX)
		r = -E2BIG;
	part = (struct iovec){packet.data, packet.length};
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (!r && sendmsg(socket, &message, MSG_NOSIGNAL) < 0)
		r = -errno;
	strbuf_deinit(&packet);
	return r;
}

int fetcher_answer(int socket, struct fetcher_reply *ret)
{
	uint8_t packet[FETCHER_REPLY_MAX];
	ssize_t n = recv(socket, packet, sizeof(packet), MSG_DONTWAIT);
	struct fetcher_reply reply = {0};
	struct reader reader;
	const char *text;
	size_t length;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -EPIPE;
	reader_init(&reader, packet, (size_t)n);
	reply.error = (int)reader_u32(&reader);
	reply.bytes = reader_u64(&reader);
	text = reader_bytes(&reader, sizeof(reply.text) - 1, &length);
	if (!reader_ok(&reader) || reader_left(&reader) || reply.error > 0 || reply.error < -4095)
		return -EBADMSG;
	memcpy(reply.text, text, length);
	for (char *c = reply.text; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
	*ret = reply;
	return 1;
}
