/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/* The real, effective and saved user ids, and the owner of the file, which is
 * root for a process that is not dumpable (for /proc/PID itself it is not: see
 * task_dump_owner() in fs/proc/base.c). The line begins after a newline, and
 * the kernel escapes those in the name above it (fs/proc/array.c), so nothing a
 * process calls itself can look like one. */
static int read_uids(int proc, uid_t uids[3], uid_t *ret_owner)
{
	char text[4096];
	_cleanup_close_ int fd = openat(proc, "status", O_RDONLY | O_CLOEXEC);
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
	if (!line || sscanf(line, "\nUid:%u%u%u", &uids[0], &uids[1], &uids[2]) != 3)
		return -EBADMSG;
	*ret_owner = st.st_uid;
	return 0;
}

int peer_may_see(const struct peer *peer, pid_t pid, struct error *error)
{
	char path[32];
	_cleanup_close_ int proc = -1;
	uid_t uids[3] = {-1, -1, -1}, owner = -1;

	if (pid <= 0)
		return error_set(error, -ESRCH, "%d is no process id", (int)pid);
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return no_such_process(pid, error);
	if (peer->privileged)
		return 0;
	if (read_uids(proc, uids, &owner))
		return no_such_process(pid, error);
	for (size_t i = 0; i < 3; i++) {
		if (uids[i] != peer->uid)
			return error_set(
				error, -EPERM,
				"process %d belongs to uid %u, not to you (uid %u): only root "
				"and the group of daemon.socket_group may profile it",
				(int)pid, uids[i], peer->uid);
	}
	if (owner != peer->uid)
		return error_set(error, -EPERM,
				 "process %d is yours but protected (not dumpable, see prctl(2) "
				 "PR_SET_DUMPABLE): only root and the group of daemon.socket_group "
				 "may profile it",
				 (int)pid);
	return 0;
}
