/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file in a parcel: an open file that lies, as a message, in a socket that
 * nobody writes to any more. Who holds the parcel can hand the file on but has
 * no descriptor of it: no read, no map, and no close(2) of it either, which a
 * file system that hangs (FUSE asks its server at each close) would not let
 * return. What closes the parcel lets go of the file without asking anybody.
 *
 * unix(7): the message with its descriptor stays readable when the other end is
 * closed, and MSG_PEEK gives a copy of the descriptor each time.
 */
#pragma once

#include <stdbool.h>

/* *ret: close-on-exec, the caller's, as `fd` still is. -ETOOMANYREFS: this user
 * has more files in parcels than RLIMIT_NOFILE allows; -errno. */
int parcel_pack(int fd, int *ret);
/* Does not look at anything behind the descriptor but a socket. */
bool parcel_is(int fd);
/* A descriptor of the file, the caller's; the parcel stays as it is.
 * -EBADMSG: there is no file in it; -errno. */
int parcel_open(int parcel, int *ret_fd);
