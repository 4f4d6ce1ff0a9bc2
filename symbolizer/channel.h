/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whole messages over a SOCK_SEQPACKET pair: each packet is a wire header and
 * at most CHANNEL_FRAGMENT_MAX bytes; all but the last packet of a message have
 * WIRE_MORE. A descriptor travels with a message's first packet. One message at
 * a time in each direction. Works on blocking and non-blocking sockets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/strbuf.h"
#include "symbolizer/wire.h"

#define CHANNEL_FRAGMENT_MAX (32u << 10)

/* A message on its way out. The payload and the descriptor are the caller's
 * and must live until it is sent. */
struct channel_out {
	struct wire_header header; /* flags and size are filled in here */
	const void *payload;
	size_t size;
	int fd; /* -1: none */
	size_t sent;
	bool started;
};
/* 0 when all is sent; -EAGAIN: go on when the socket is writable; -EPIPE: the
 * other side is gone; -errno. Raises no SIGPIPE. */
int channel_send(int socket, struct channel_out *out);

/* A message on its way in. Zero-initialised with fd = -1 is empty. */
struct channel_in {
	struct wire_header header; /* of the last fragment */
	struct strbuf payload;
	int fd; /* the descriptor that came; -1: none */
	bool partial;
	uint8_t packet[WIRE_HEADER_SIZE + CHANNEL_FRAGMENT_MAX];
};
void channel_in_init(struct channel_in *in);
void channel_in_deinit(struct channel_in *in);
/* Forgets the message that came (its descriptor is closed unless taken). */
void channel_in_clear(struct channel_in *in);
/* 1: a message is there, until channel_in_clear(); 0: none yet (non-blocking);
 * -EPIPE: the other side is gone; -EPROTO: what came is no message, or one
 * above its kind's limit; -ENOMEM; -errno. `answers`: the limit is that of
 * answers, and no descriptor may come. */
int channel_receive(int socket, struct channel_in *in, bool answers);
/* What came may lie in a parcel (parcel.h): then the file is taken out. -errno: it
 * did not come. */
int channel_in_unpack(struct channel_in *in);
