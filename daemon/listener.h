/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The socket that perfd listens on: made, guarded against a second perfd, and
 * removed again.
 *
 * Its mode is 0666: every local user may connect, and each request is judged
 * by who sent it (daemon/peer.h). Only that lets people profile their own
 * processes without being in a group.
 */
#pragma once

#include <sys/types.h>
#include <sys/un.h>

#include "daemon/base/error.h"

struct listener {
	int fd; /* -1: not listening */
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	dev_t dev; /* of our socket's file, so that we never remove another's */
	ino_t ino;
};

/* Creates the directory if it is missing, and replaces a socket that nobody
 * serves any more. -EADDRINUSE if somebody does (the text names the process),
 * -ENOTSOCK if the path is something else, which is left alone. */
int listener_open(const char *path, struct error *error, struct listener *ret);
/* Likewise for another one: `key` is the setting that errors name, `mode` the file's. */
int listener_open_as(const char *key, const char *path, mode_t mode, struct error *error,
		     struct listener *ret);
/* Closes, and removes the socket if it is still ours. */
void listener_close(struct listener *listener);
