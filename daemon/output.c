/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

/* The place a name stands for. */
struct place {
	char path[PATH_MAX]; /* symbolic links followed */
	char directory[PATH_MAX];
	bool exists;
	bool in_place; /* no regular file: never renamed over */
	struct stat st; /* if it exists */
};

static int find_place(const char *path, struct place *ret, struct error *error)
{
	struct place place = {0};
	char *slash;

	if (!*path)
		return error_set(error, -EINVAL, "-o needs a file name, or - for standard output");
	if (strlen(path) >= sizeof(place.path))
		return error_set(error, -ENAMETOOLONG, "-o: the name has more than %zu bytes",
				 sizeof(place.path) - 1);
	/* stat() first: /dev/stdout may lead to a pipe, which has no path. */
	place.exists = !stat(path, &place.st);
	if (!place.exists && errno != ENOENT)
		return error_set(error, -errno, "-o %s: %s", path, strerror(errno));
	if (place.exists && S_ISDIR(place.st.st_mode))
		return error_set(error, -EISDIR, "-o %s is a directory: name a file in it", path);
	place.in_place = place.exists && !S_ISREG(place.st.st_mode);
	/* A link to a deleted file (/dev/stdout of `>file; rm file`) has a path that
	 * leads nowhere: it can only be written through. */
	if (place.exists && (place.in_place || !realpath(path, place.path)))
		place.in_place = true;
	if (!place.exists || place.in_place)
		snprintf(place.path, sizeof(place.path), "%s", path);
	snprintf(place.directory, sizeof(place.directory), "%s", place.path);
	slash = strrchr(place.directory, '/');
	if (!slash)
		snprintf(place.directory, sizeof(place.directory), ".");
	else
		slash[slash == place.directory] = 0; /* "/" keeps its slash */
	*ret = place;
	return 0;
}

/* /dev/stdout and /proc/self/fd/N lead to a file that somebody holds open: it is
 * that open file which is meant, with its position, not the name. */
static bool is_descriptor(const char *path)
{
	return !strncmp(path, "/dev/std", 8) || !strncmp(path, "/dev/fd/", 8) ||
	       !strncmp(path, "/proc/self/fd/", 14);
}

int output_check(const char *path, struct error *error)
{
	struct place place = {0};
	struct stat st;
	int r;

	if (!strcmp(path, "-"))
		return 0;
	r = find_place(path, &place, error);
	if (r)
		return r;
	if (place.in_place || is_descriptor(path)) {
		if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0)
			return error_set(error, -errno, "-o %s: %s", path, strerror(errno));
		return 0;
	}
	if (stat(place.directory, &st) < 0)
		return error_set(error, -errno, "-o %s: its directory %s: %s", path,
				 place.directory, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return error_set(error, -ENOTDIR, "-o %s: %s is no directory", path,
				 place.directory);
	if (faccessat(AT_FDCWD, place.directory, W_OK | X_OK, AT_EACCESS) < 0)
		return error_set(error, -errno, "-o %s: cannot write to its directory %s: %s", path,
				 place.directory, strerror(errno));
	return 0;
}

static int write_all(int fd, const char *bytes, size_t n)
{
	while (n) {
		ssize_t written = write(fd, bytes, n);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -errno;
		bytes += written;
		n -= (size_t)written;
	}
	return 0;
}

/* -EDQUOT and the like say enough by their own text. */
static int failed(int code, const char *path, size_t n, struct error *error)
{
	return error_set(error, code, "cannot write %s (%zu bytes needed): %s", path, n,
			 strerror(-code));
}

static int write_in_place(const char *path, const void *bytes, size_t n, struct error *error)
{
	_cleanup_close_ int fd = -1;
	int r;

	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_APPEND);
	if (fd < 0)
		return failed(-errno, path, n, error);
	r = write_all(fd, bytes, n);
	return r < 0 ? failed(r, path, n, error) : 0;
}

/* Gives an unnamed file the name that it will be renamed from. */
static int name_file(int fd, const char *name)
{
	char self[64];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (!linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW))
		return 0;
	if (errno != EEXIST)
		return -errno;
	/* Left by a process with our pid that was killed at the wrong moment. */
	if (unlink(name) < 0 || linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return 0;
}

static int write_beside(const struct place *place, const char *name, const void *bytes, size_t n)
{
	_cleanup_close_ int fd = -1;
	bool named = false;
	int r;

	fd = open(place->directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	if (fd < 0) {
		unlink(name);
		fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
		if (fd < 0)
			return -errno;
		named = true;
	}
	r = write_all(fd, bytes, n);
	if (!r && place->exists) {
		/* Another's file stays another's if we may do that. */
		if (fchown(fd, place->st.st_uid, place->st.st_gid) < 0 && errno != EPERM)
			r = -errno;
		if (!r && fchmod(fd, place->st.st_mode & 0777) < 0)
			r = -errno;
	}
	if (!r && !named)
		r = name_file(fd, name);
	if (!r && rename(name, place->path) < 0)
		r = -errno;
	if (r < 0)
		unlink(name);
	return r;
}

int output_write(const char *path, const void *bytes, size_t n, struct error *error)
{
	char name[PATH_MAX + 32];
	struct place place = {0};
	int r;

	if (!strcmp(path, "-")) {
		r = write_all(STDOUT_FILENO, bytes, n);
		return r < 0 ? failed(r, "standard output", n, error) : 0;
	}
	r = find_place(path, &place, error);
	if (r)
		return r;
	if (place.in_place || is_descriptor(path))
		return write_in_place(path, bytes, n, error);
	/* Short, whatever the length of the final name (NAME_MAX). */
	snprintf(name, sizeof(name), "%s/.perfctl-%d.tmp", place.directory, (int)getpid());
	r = write_beside(&place, name, bytes, n);
	return r < 0 ? failed(r, path, n, error) : 0;
}
