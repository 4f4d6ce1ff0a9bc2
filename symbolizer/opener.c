/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/opener.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

static const char deleted_suffix[] = " (deleted)";

struct opening {
	pid_t pid;
	uint64_t start, end;
	char path[PATH_MAX]; /* without " (deleted)"; "" if it names no file */
	const struct opener_identity *id; /* or NULL */
	const struct opener_care *care; /* or NULL */
	int code; /* the failure that tells most so far */
	char tried[400]; /* "as a mapping: ...; below its root: ..." */
};

static void note(struct opening *opening, const char *what, int code, const char *why)
{
	size_t used = strlen(opening->tried);

	snprintf(opening->tried + used, sizeof(opening->tried) - used, "%s%s: %s", used ? "; " : "",
		 what, why);
	/* That another file is there, or that it could be had if its file system
	 * answered, says more than that one is not. */
	if (opening->code != -ESTALE && opening->code != -EHOSTDOWN)
		opening->code = code;
}

static bool identity_known(const struct opening *opening)
{
	return opening->id && opening->id->inode;
}

static bool same_file(const struct opening *opening, const struct statx *st)
{
	const struct opener_identity *id = opening->id;

	if (!identity_known(opening))
		return true;
	if (st->stx_dev_major == id->dev_major && st->stx_dev_minor == id->dev_minor)
		return st->stx_ino == id->inode;
	return (uint32_t)st->stx_ino == (uint32_t)id->inode;
}

/* What the kernel knows of it without asking a server. */
static int look_at(int path_fd, struct statx *ret)
{
	return statx(path_fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, ret);
}

/* File systems without a device of this machine may hang: NFS, FUSE, but also overlays
 * and others that do not. */
const char *opener_care_forbids(const struct opener_care *care, uint32_t dev_major,
				uint32_t dev_minor)
{
	uint64_t device = makedev(dev_major, dev_minor);

	if (!care || dev_major)
		return NULL;
	for (size_t i = 0; i < care->avoid_count; i++)
		if (care->avoid[i] == device)
			return "its file system gave no answer lately";
	if (care->local_only)
		return "too many file systems give no answer";
	if (care->about)
		care->about(care->context, device);
	return NULL;
}

static bool may_be_opened(struct opening *opening, const char *what, const struct statx *st)
{
	const char *why = opener_care_forbids(opening->care, st->stx_dev_major, st->stx_dev_minor);

	if (why)
		note(opening, what, -EHOSTDOWN, why);
	return !why;
}

/* Takes what was looked up with O_PATH: examines it and opens it for reading. */
static int reopen(struct opening *opening, const char *what, int path_fd)
{
	char self[64];
	struct statx st;
	int fd;

	if (look_at(path_fd, &st) < 0) {
		note(opening, what, -errno, strerror(errno));
		return -1;
	}
	if (!S_ISREG(st.stx_mode)) {
		note(opening, what, -ENOEXEC, "not a regular file");
		return -1;
	}
	if (!same_file(opening, &st)) {
		note(opening, what, -ESTALE, "another file is in its place now");
		return -1;
	}
	if (!st.stx_size) {
		note(opening, what, -ENOEXEC, "an empty file");
		return -1;
	}
	if (!may_be_opened(opening, what, &st))
		return -1;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", path_fd);
	fd = open(self, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		note(opening, what, -errno, strerror(errno));
	return fd;
}

static int try_map_files(struct opening *opening)
{
	static const char what[] = "as a mapping";
	_cleanup_close_ int fd = -1;
	char name[96];

	if (!opening->pid || opening->start >= opening->end)
		return -1;
	snprintf(name, sizeof(name), "/proc/%d/map_files/%" PRIx64 "-%" PRIx64, opening->pid,
		 opening->start, opening->end);
	fd = open(name, O_PATH | O_CLOEXEC);
	if (fd < 0) {
		note(opening, what, -errno,
		     errno == EPERM || errno == EACCES ? "not permitted (CAP_CHECKPOINT_RESTORE)"
						       : strerror(errno));
		return -1;
	}
	return reopen(opening, what, fd);
}

/* *ret_reached: the process's root is there, whatever the path was found to be. */
static int try_root(struct opening *opening, bool *ret_reached)
{
	static const char what[] = "below its root";
	struct open_how how = {.flags = O_PATH | O_CLOEXEC,
			       .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	_cleanup_close_ int root = -1, fd = -1;
	char name[64];

	*ret_reached = false;
	if (!opening->pid)
		return -1;
	snprintf(name, sizeof(name), "/proc/%d/root", opening->pid);
	root = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0) {
		note(opening, what, errno == ENOENT ? -ESRCH : -errno,
		     errno == ENOENT ? "the process is gone" : strerror(errno));
		return -1;
	}
	fd = (int)syscall(SYS_openat2, root, opening->path, &how, sizeof(how));
	if (fd < 0) {
		note(opening, what, -errno, strerror(errno));
		*ret_reached = errno != ENOSYS;
		return -1;
	}
	*ret_reached = true;
	return reopen(opening, what, fd);
}

/* The program file itself can be had without any path. */
static int try_exe(struct opening *opening)
{
	static const char what[] = "as its program";
	char name[64], target[PATH_MAX];
	_cleanup_close_ int fd = -1;
	size_t length = strlen(opening->path);
	struct statx st;
	ssize_t n;

	if (!opening->pid)
		return -1;
	snprintf(name, sizeof(name), "/proc/%d/exe", opening->pid);
	n = readlink(name, target, sizeof(target) - 1);
	fd = open(name, O_PATH | O_CLOEXEC);
	if (n < 0 || fd < 0 || look_at(fd, &st) < 0)
		return -1;
	target[n] = '\0';
	/* Most mappings are of libraries: that the program is another file is
	 * nothing to speak of. */
	if (!same_file(opening, &st) ||
	    (!identity_known(opening) &&
	     (strncmp(target, opening->path, length) ||
	      (target[length] && strcmp(target + length, deleted_suffix)))))
		return -1;
	return reopen(opening, what, fd);
}

static int try_here(struct opening *opening)
{
	static const char what[] = "as a path here";
	_cleanup_close_ int fd = open(opening->path, O_PATH | O_CLOEXEC);

	if (fd < 0) {
		note(opening, what, -errno, strerror(errno));
		return -1;
	}
	return reopen(opening, what, fd);
}

/* "/memfd:..." and "/SYSV..." look like paths and are none. */
static int take_path(struct opening *opening, const char *path)
{
	size_t length = strlen(path), suffix = sizeof(deleted_suffix) - 1;

	if (length > suffix && !strcmp(path + length - suffix, deleted_suffix))
		length -= suffix;
	if (length >= sizeof(opening->path))
		return -ENAMETOOLONG;
	if (path[0] != '/' || path[1] == '/' || !strncmp(path, "/memfd:", 7) ||
	    !strncmp(path, "/SYSV", 5))
		return 0;
	memcpy(opening->path, path, length);
	opening->path[length] = '\0';
	return 0;
}

int opener_open_carefully(pid_t pid, uint64_t map_start, uint64_t map_end, const char *path,
			  const struct opener_identity *id, const struct opener_care *care,
			  struct error *error, int *ret_fd, bool *ret_sure)
{
	struct opening opening = {.pid = pid,
				  .start = map_start,
				  .end = map_end,
				  .id = id,
				  .care = care,
				  .code = -ENOENT};
	bool reached = false, sure;
	int fd;

	if (take_path(&opening, path) < 0)
		return error_set(error, -ENAMETOOLONG, "a path of %zu bytes is too long",
				 strlen(path));
	fd = try_map_files(&opening);
	sure = fd >= 0 || identity_known(&opening);
	/* Its path would lead to the same file system. */
	if (opening.code == -EHOSTDOWN)
		opening.path[0] = '\0';
	if (fd < 0 && opening.path[0])
		fd = try_root(&opening, &reached);
	if (fd < 0 && opening.path[0])
		fd = try_exe(&opening);
	if (fd < 0 && opening.path[0] && !reached)
		fd = try_here(&opening);
	if (fd < 0)
		return error_set(error, opening.code, "%.80s of process %d cannot be opened (%s)",
				 *path ? path : "the mapping", pid,
				 opening.tried[0] ? opening.tried : "it names no file");
	*ret_fd = fd;
	*ret_sure = sure;
	return 0;
}

int opener_open(pid_t pid, uint64_t map_start, uint64_t map_end, const char *path,
		const struct opener_identity *id, struct error *error, int *ret_fd)
{
	bool sure;

	return opener_open_carefully(pid, map_start, map_end, path, id, NULL, error, ret_fd, &sure);
}
