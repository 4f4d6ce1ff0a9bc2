/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/perf_map_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

#define STATUS_MAX 8192

static const char *field(const char *status, const char *name)
{
	const char *at = strstr(status, name); /* begins with a newline */

	return at ? at + strlen(name) : NULL;
}

int perf_map_file_status(const char *status, pid_t *ret_pid, uid_t *ret_uid)
{
	const char *users = field(status, "\nUid:"), *pids = field(status, "\nNSpid:");
	unsigned long effective;
	long pid = 0;
	char *end;

	if (!users || !pids)
		return -EINVAL;
	strtoul(users, &end, 10); /* the real one */
	effective = strtoul(end, &end, 10);
	for (const char *at = pids; *at && *at != '\n'; at = end) {
		long next = strtol(at, &end, 10);

		if (end == at)
			break;
		pid = next;
		while (*end == '\t' || *end == ' ')
			end++;
	}
	if (pid <= 0)
		return -EINVAL;
	*ret_pid = (pid_t)pid;
	*ret_uid = (uid_t)effective;
	return 0;
}

static int read_status(int process, pid_t *ret_pid, uid_t *ret_uid)
{
	_cleanup_close_ int fd = openat(process, "status", O_RDONLY | O_CLOEXEC);
	char status[STATUS_MAX];
	ssize_t n = fd < 0 ? -1 : read(fd, status, sizeof(status) - 1);

	if (n < 0)
		return -errno;
	status[n] = '\0';
	return perf_map_file_status(status, ret_pid, ret_uid);
}

static int look_up(int folder, const char *name, struct statx *ret)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};
	int fd = (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));

	if (fd < 0)
		return -errno;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, ret) < 0) {
		close(fd);
		return -errno;
	}
	return fd;
}

int perf_map_file_open(pid_t pid, const struct opener_care *care, int *ret_fd)
{
	_cleanup_close_ int process = -1, root = -1, tmp = -1, file = -1;
	struct statx st = {0};
	char name[64];
	pid_t inner = 0;
	uid_t user = 0;
	int fd, r;

	snprintf(name, sizeof(name), "/proc/%d", pid);
	process = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (process < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	r = read_status(process, &inner, &user);
	if (r < 0)
		return r;
	root = openat(process, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	/* A folder on which something is mounted is found without asking that. */
	tmp = look_up(root, "/tmp", &st);
	if (tmp < 0)
		return tmp;
	if (opener_care_forbids(care, st.stx_dev_major, st.stx_dev_minor))
		return -EHOSTDOWN;
	snprintf(name, sizeof(name), "perf-%d.map", inner);
	file = look_up(tmp, name, &st);
	if (file < 0)
		return file;
	if (!S_ISREG(st.stx_mode))
		return -ENOEXEC;
	if (st.stx_uid != user)
		return -EPERM;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}
