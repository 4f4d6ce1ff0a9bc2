/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

gid_t peer_group(const char *name)
{
	struct group *group = *name ? getgrnam(name) : NULL;

	return group ? group->gr_gid : PEER_NO_GROUP;
}

/* True if the socket's peer had `group` among its supplementary groups. */
static bool has_group(int fd, gid_t group)
{
	_cleanup_free_ gid_t *groups = NULL;
	socklen_t size = 0;

	/* With no room the kernel answers ERANGE and the size it needs (4.13). */
	if (!getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) || errno != ERANGE)
		return false;
	groups = malloc(size);
	if (!groups || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
		return false;
	for (size_t i = 0; i < size / sizeof(*groups); i++) {
		if (groups[i] == group)
			return true;
	}
	return false;
}

int peer_from_socket(int fd, gid_t group, struct peer *ret)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return -errno;
	*ret = (struct peer){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
	ret->privileged = cred.uid == 0 ||
			  (group != PEER_NO_GROUP && (cred.gid == group || has_group(fd, group)));
	return 0;
}

static int no_such_process(pid_t pid, struct error *error)
{
	return error_set(error, -ESRCH, "there is no process %d", (int)pid);
}

struct credentials {
	uid_t uids[3]; /* real, effective, saved */
	uint64_t capabilities; /* permitted */
	uid_t owner; /* of the file: root for a process that is not dumpable */
};

/* For /proc/PID itself the owner is another: see task_dump_owner() in fs/proc/base.c.
 * A line begins after a newline, and the kernel escapes those in the name above
 * (fs/proc/array.c), so nothing a process calls itself can look like one. */
static int read_credentials(int proc, struct credentials *ret)
{
	char text[4096];
	_cleanup_close_ int fd = openat(proc, "status", O_RDONLY | O_CLOEXEC);
	struct credentials credentials;
	const char *line;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = 0;
	line = strstr(text, "\nUid:");
	if (!line || sscanf(line, "\nUid:%u%u%u", &credentials.uids[0], &credentials.uids[1],
			    &credentials.uids[2]) != 3)
		return -EBADMSG;
	line = strstr(text, "\nCapPrm:");
	if (!line || sscanf(line, "\nCapPrm:%" SCNx64, &credentials.capabilities) != 1)
		return -EBADMSG;
	credentials.owner = st.st_uid;
	*ret = credentials;
	return 0;
}

/* Whether its user namespace is one that the peer made: whoever made one has all rights
 * over what is in it. */
static bool in_namespace_of(int proc, uid_t uid)
{
	_cleanup_close_ int fd = openat(proc, "ns/user", O_RDONLY | O_CLOEXEC);
	struct stat ours, theirs;
	uid_t owner;

	return fd >= 0 && !fstat(fd, &theirs) && !stat("/proc/self/ns/user", &ours) &&
	       (ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev) &&
	       !ioctl(fd, NS_GET_OWNER_UID, &owner) && owner == uid;
}

int peer_may_see(const struct peer *peer, pid_t pid, struct error *error)
{
	struct credentials credentials = {.uids = {-1, -1, -1}, .owner = -1};
	char path[32];
	_cleanup_close_ int proc = -1;

	if (pid <= 0)
		return error_set(error, -ESRCH, "%d is no process id", (int)pid);
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return no_such_process(pid, error);
	if (peer->privileged)
		return 0;
	if (read_credentials(proc, &credentials))
		return no_such_process(pid, error);
	for (size_t i = 0; i < 3; i++) {
		if (credentials.uids[i] != peer->uid)
			return error_set(
				error, -EPERM,
				"process %d belongs to uid %u, not to you (uid %u): only root "
				"and the group of daemon.socket_group may profile it",
				(int)pid, credentials.uids[i], peer->uid);
	}
	if (credentials.owner != peer->uid)
		return error_set(error, -EPERM,
				 "process %d is yours but protected (not dumpable, see prctl(2) "
				 "PR_SET_DUMPABLE): only root and the group of daemon.socket_group "
				 "may profile it",
				 (int)pid);
	if (credentials.capabilities && !in_namespace_of(proc, peer->uid))
		return error_set(error, -EPERM,
				 "process %d is yours but has capabilities that you have not: only "
				 "root and the group of daemon.socket_group may profile it",
				 (int)pid);
	return 0;
}
