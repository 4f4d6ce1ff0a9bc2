/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/debug_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

#define BUILD_ID_MIN 2 /* one byte names the folder, the others the file */
#define BUILD_ID_MAX 64

static int relative_path(const char *folder, const uint8_t *build_id, size_t size,
			 char path[PATH_MAX])
{
	int at;

	if (size < BUILD_ID_MIN || size > BUILD_ID_MAX)
		return -EINVAL;
	at = snprintf(path, PATH_MAX, "%s/%02x/", folder, build_id[0]);
	if (at < 0 || (size_t)at + 2 * size + sizeof(".debug") > PATH_MAX)
		return -ENAMETOOLONG;
	for (size_t i = 1; i < size; i++)
		at += snprintf(path + at, PATH_MAX - (size_t)at, "%02x", build_id[i]);
	snprintf(path + at, PATH_MAX - (size_t)at, ".debug");
	return 0;
}

static int open_below(const char *root_path, const char *path, int *ret_fd)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	_cleanup_close_ int root = -1, file = -1;
	char self[64];
	struct stat st;
	int fd;

	root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	file = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (file < 0 || fstat(file, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return -ENOEXEC;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", file);
	fd = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int debug_file_open_in(const struct debug_file_places *places, pid_t pid, const uint8_t *build_id,
		       size_t size, int *ret_fd)
{
	char path[PATH_MAX], root[PATH_MAX];
	int r, first = -ENOENT;

	r = relative_path(places->folder, build_id, size, path);
	if (r < 0)
		return r;
	if (pid > 0) {
		r = snprintf(root, sizeof(root), "%s/%d/root", places->proc, pid);
		if (r < 0 || (size_t)r >= sizeof(root))
			return -ENAMETOOLONG;
		first = open_below(root, path, ret_fd);
		if (!first)
			return 0;
	}
	r = open_below(places->host_root, path, ret_fd);
	/* That it is not there says less than why it could not be had. */
	return r == -ENOENT ? first : r;
}

int debug_file_open(pid_t pid, const uint8_t *build_id, size_t size, int *ret_fd)
{
	static const struct debug_file_places places = {
		.proc = "/proc", .host_root = "/", .folder = "usr/lib/debug/.build-id"};

	return debug_file_open_in(&places, pid, build_id, size, ret_fd);
}
