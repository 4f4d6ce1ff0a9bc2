/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/debug_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

#define BUILD_ID_MIN 2 /* one byte names the folder, the others the file */
#define BUILD_ID_MAX 64

static const struct debug_file_places system_places = {.proc = "/proc",
						       .host_root = "/",
						       .debug = "usr/lib/debug",
						       .folder = "usr/lib/debug/.build-id"};

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

static int find_below(int root, const char *path, struct stat *ret)
{
	struct stat found;
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	int file = (int)syscall(SYS_openat2, root, path, &how, sizeof(how)), r;

	if (file < 0)
		return -errno;
	if (fstat(file, &found) < 0) {
		r = -errno;
		close(file);
		return r;
	}
	*ret = found;
	return file;
}

static bool may_read(const struct debug_file_reader *reader, const struct stat *st)
{
	if (!reader || st->st_mode & S_IROTH)
		return true;
	return st->st_uid == reader->user && !(reader->not_roots_own && !st->st_uid);
}

/* What is wanted of a file besides its path. */
struct wanted {
	const char *except; /* a path below the same root of a file that is not it; NULL */
	const struct debug_file_reader *reader; /* NULL: any file */
};

static int open_below(const char *root_path, const char *path, const struct wanted *wanted,
		      int *ret_fd)
{
	_cleanup_close_ int root = -1, file = -1, other = -1;
	char self[64];
	struct stat st = {0}, not_this = {0};
	int fd;

	root = open(root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return -errno;
	file = find_below(root, path, &st);
	if (file < 0)
		return file;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return -ENOEXEC;
	if (!may_read(wanted->reader, &st))
		return -EACCES;
	other = wanted->except ? find_below(root, wanted->except, &not_this) : -1;
	if (other >= 0 && not_this.st_dev == st.st_dev && not_this.st_ino == st.st_ino)
		return -ENOENT;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", file);
	fd = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/* In the process's own root, then in the daemon's. */
static int open_in_roots(const struct debug_file_places *places, pid_t pid, const char *path,
			 const struct wanted *wanted, int *ret_fd)
{
	char root[PATH_MAX];
	int r, first = -ENOENT;

	if (pid > 0) {
		r = snprintf(root, sizeof(root), "%s/%d/root", places->proc, pid);
		if (r < 0 || (size_t)r >= sizeof(root))
			return -ENAMETOOLONG;
		first = open_below(root, path, wanted, ret_fd);
		if (!first)
			return 0;
	}
	r = open_below(places->host_root, path, wanted, ret_fd);
	/* That it is not there says less than why it could not be had. */
	return r == -ENOENT ? first : r;
}

int debug_file_open_in(const struct debug_file_places *places, pid_t pid, const uint8_t *build_id,
		       size_t size, int *ret_fd)
{
	char path[PATH_MAX];
	int r = relative_path(places->folder, build_id, size, path);

	return r < 0 ? r : open_in_roots(places, pid, path, &(struct wanted){0}, ret_fd);
}

int debug_file_open_path_in(const struct debug_file_places *places, pid_t pid, const char *path,
			    const struct debug_file_reader *reader, int *ret_fd)
{
	return open_in_roots(places, pid, path, &(struct wanted){.reader = reader}, ret_fd);
}

const struct debug_file_places *debug_file_system_places(void)
{
	return &system_places;
}

int debug_file_open(pid_t pid, const uint8_t *build_id, size_t size, int *ret_fd)
{
	return debug_file_open_in(&system_places, pid, build_id, size, ret_fd);
}

int debug_file_open_link_in(const struct debug_file_places *places, pid_t pid, const char *path,
			    const char *name, int *ret_fd)
{
	const char *slash = strrchr(path, '/');
	const char *const before[] = {"", "", places->debug}, *const behind[] = {"", "/.debug", ""};
	int length = slash ? (int)(slash - path) : 0, r = -ENOENT;
	struct wanted wanted = {.except = path};
	char place[PATH_MAX];

	if (path[0] != '/' || !name[0] || strchr(name, '/') || !strcmp(name, ".."))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		int n = snprintf(place, sizeof(place), "%s%.*s%s/%s", before[i], length, path,
				 behind[i], name);
		int again;

		if (n < 0 || (size_t)n >= sizeof(place))
			return -ENAMETOOLONG;
		again = open_in_roots(places, pid, place, &wanted, ret_fd);
		if (!again)
			return 0;
		r = again == -ENOENT ? r : again;
	}
	return r;
}

int debug_file_open_link(pid_t pid, const char *path, const char *name, int *ret_fd)
{
	return debug_file_open_link_in(&system_places, pid, path, name, ret_fd);
}
