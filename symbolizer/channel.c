/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/channel.h"

#include "symbolizer/parcel.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A buffer that one large message made larger than this is given back. */
#define KEEP_BYTES (1U << 20)

union control { /* room and alignment for one descriptor */
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static void attach_fd(struct msghdr *message, union control *control, int fd)
{
	struct cmsghdr *header;

	memset(control, 0, sizeof(*control));
	message->msg_control = control;
	message->msg_controllen = sizeof(*control);
	header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(int));
}

static int send_fragment(int socket, struct channel_out *out)
{
	size_t left = out->size - out->sent;
	size_t size = left < CHANNEL_FRAGMENT_MAX ? left : CHANNEL_FRAGMENT_MAX;
	uint8_t head[WIRE_HEADER_SIZE];
	struct iovec parts[] = {
		{.iov_base = head, .iov_len = sizeof(head)},
		{.iov_base = size ? (char *)out->payload + out->sent : NULL, .iov_len = size},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = size ? 2 : 1};
	union control control;
	ssize_t n;

	out->header.size = (uint32_t)size;
	out->header.flags = size < left ? WIRE_MORE : 0;
	wire_put_header(head, &out->header);
	if (out->fd >= 0 && !out->started)
		attach_fd(&message, &control, out->fd);
	do {
		n = sendmsg(socket, &message, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	out->started = true;
	out->sent += size;
	return 0;
}

int channel_send(int socket, struct channel_out *out)
{
	int r;

	do {
		r = send_fragment(socket, out);
	} while (!r && out->sent < out->size);
	return r;
}

void channel_in_init(struct channel_in *in)
{
	memset(in, 0, sizeof(*in));
	in->fd = -1;
}

void channel_in_clear(struct channel_in *in)
{
	if (in->fd >= 0)
		close(in->fd);
	in->fd = -1;
	in->partial = false;
	if (in->payload.capacity > KEEP_BYTES)
		strbuf_deinit(&in->payload);
	strbuf_clear(&in->payload);
}

void channel_in_deinit(struct channel_in *in)
{
	channel_in_clear(in);
	strbuf_deinit(&in->payload);
}

/* Every descriptor that came is ours to close, whatever comes of it: one may
 * come with a message's first packet, and more than that is no message. */
static int take_fds(struct msghdr *message, struct channel_in *in, bool answers)
{
	int r = message->msg_flags & (MSG_CTRUNC | MSG_TRUNC) ? -EPROTO : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t count;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (in->fd >= 0 || in->partial || answers) {
				close(fd);
				r = -EPROTO;
			} else {
				in->fd = fd;
			}
		}
	}
	return r;
}

static int append(struct channel_in *in, size_t packet_size, bool answers)
{
	const struct wire_kind_info *info;
	struct wire_header header;
	size_t max;

	if (!wire_get_header(in->packet, packet_size, &header))
		return -EPROTO;
	info = wire_kind_info(header.kind);
	if (!info ||
	    (in->partial && (header.id != in->header.id || header.kind != in->header.kind)))
		return -EPROTO;
	max = answers ? info->answer_max : info->request_max;
	if (answers && header.error)
		max = WIRE_TEXT_MAX;
	if (in->payload.length + header.size > max || (header.flags & WIRE_MORE && !header.size))
		return -EPROTO;
	strbuf_append(&in->payload, in->packet + WIRE_HEADER_SIZE, header.size);
	if (strbuf_error(&in->payload))
		return -ENOMEM;
	in->header = header;
	in->partial = header.flags & WIRE_MORE;
	return in->partial ? 0 : 1;
}

int channel_receive(int socket, struct channel_in *in, bool answers)
{
	int r;

	do {
		struct iovec part = {.iov_base = in->packet, .iov_len = sizeof(in->packet)};
		union control control;
		struct msghdr message = {.msg_iov = &part,
					 .msg_iovlen = 1,
					 .msg_control = &control,
					 .msg_controllen = sizeof(control)};
		ssize_t n;

		do {
			n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
		} while (n < 0 && errno == EINTR);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n <= 0)
			return n == 0 || errno == ECONNRESET ? -EPIPE : -errno;
		r = take_fds(&message, in, answers);
		if (!r)
			r = append(in, (size_t)n, answers);
	} while (r == 0);
	return r;
}

int channel_in_unpack(struct channel_in *in)
{
	int fd, r;

	if (in->fd < 0)
		return 0;
	r = parcel_open(in->fd, &fd);
	if (r == -ENOTSOCK) /* the file itself */
		return 0;
	if (r < 0)
		return r;
	close(in->fd);
	in->fd = fd;
	return 0;
}
