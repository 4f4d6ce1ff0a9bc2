/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who is on the other end of the control socket, as the kernel knows it
 * (SO_PEERCRED and SO_PEERGROUPS, unix(7)), and which processes it may see.
 *
 * root and members of the configured group see all. Anyone else sees a process
 * only if its real, effective and saved user ids are all the peer's, it has no
 * capabilities (but in a user namespace that the peer made), and it is dumpable
 * (it holds no secret of a file the user may not read): the rule of ptrace(2)
 * without capabilities. That is a look at a moment; samples are judged by the
 * kernel side when they are taken (bpf/owner.h).
 *
 * The groups are those the peer had when it connected, so nobody has to be
 * asked about them (a name service may block), and what `newgrp` or a service
 * manager took away stays away.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/base/error.h"

#define PEER_NO_GROUP ((gid_t)-1)

struct peer {
	pid_t pid; /* in our pid namespace; 0: outside of it */
	uid_t uid;
	gid_t gid;
	bool privileged; /* may see all */
};

/* The group's id, or PEER_NO_GROUP if there is none of that name. May block
 * in the name service: call it once, at the start. */
gid_t peer_group(const char *name);
/* `group`: whose members are privileged, or PEER_NO_GROUP. */
int peer_from_socket(int fd, gid_t group, struct peer *ret);
/* 0, -ESRCH or -EPERM with a sentence for the peer. */
int peer_may_see(const struct peer *peer, pid_t pid, struct error *error);
