/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/debuginfod_cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/vec.h"

#define SUFFIX ".debug"
#define NEW_SUFFIX ".new"
#define STALE_SECONDS 3600 /* a file that nobody fills any more */

static int check_folder(int folder, const char *path, struct error *error)
{
	struct stat st;

	if (fstat(folder, &st) < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return error_set(error, -EPERM, "%s belongs to user %u, not to this one: chown it",
				 path, st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(error, -EPERM,
				 "others may write to %s: chmod 700 it, and remove what is in it",
				 path);
	return 0;
}

int debuginfod_cache_open(struct debuginfod_cache *cache, const char *path, uint64_t limit,
			  struct error *error)
{
	_cleanup_close_ int folder = -1;
	int r;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(error, -errno, "%s cannot be made: %s", path, strerror(errno));
	folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	r = check_folder(folder, path, error);
	if (r < 0)
		return r;
	*cache = (struct debuginfod_cache){.folder = TAKE_FD(folder), .limit = limit};
	return 0;
}

void debuginfod_cache_close(struct debuginfod_cache *cache)
{
	if (cache->folder >= 0)
		close(cache->folder);
	cache->folder = -1;
}

static int name_of(const uint8_t *build_id, size_t size, const char *suffix,
		   char name[DEBUGINFOD_NAME_SIZE])
{
	if (size < 2 || size > DEBUGINFOD_BUILD_ID_MAX)
		return -EINVAL;
	for (size_t i = 0; i < size; i++)
		snprintf(name + 2 * i, 3, "%02x", build_id[i]);
	snprintf(name + 2 * size, DEBUGINFOD_NAME_SIZE - 2 * size, "%s", suffix);
	return 0;
}

int debuginfod_cache_get(struct debuginfod_cache *cache, const uint8_t *build_id, size_t size,
			 int *ret_fd)
{
	char name[DEBUGINFOD_NAME_SIZE];
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r = name_of(build_id, size, SUFFIX, name);

	if (r < 0)
		return r;
	fd = openat(cache->folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -ENOENT;
	if (st.st_size) {
		/* When it was used last, for who makes room. */
		futimens(fd, (const struct timespec[]){{.tv_nsec = UTIME_NOW},
						       {.tv_nsec = UTIME_OMIT}});
		*ret_fd = TAKE_FD(fd);
		return 0;
	}
	return time(NULL) - st.st_mtim.tv_sec < DEBUGINFOD_MISSING_SECONDS ? -ENODATA : -ENOENT;
}

/* One that is being filled for very long is not being filled any more. */
static bool is_stale(const struct debuginfod_cache *cache, const char *name)
{
	struct stat st;

	return !fstatat(cache->folder, name, &st, AT_SYMLINK_NOFOLLOW) &&
	       time(NULL) - st.st_mtim.tv_sec > STALE_SECONDS;
}

int debuginfod_cache_begin(struct debuginfod_cache *cache, const uint8_t *build_id, size_t size,
			   int *ret_fd)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
	char name[DEBUGINFOD_NAME_SIZE];
	int r = name_of(build_id, size, NEW_SUFFIX, name), fd;

	if (r < 0)
		return r;
	fd = openat(cache->folder, name, flags, 0600);
	if (fd < 0 && errno == EEXIST && is_stale(cache, name)) {
		unlinkat(cache->folder, name, 0);
		fd = openat(cache->folder, name, flags, 0600);
	}
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

struct found {
	char name[DEBUGINFOD_NAME_SIZE];
	time_t used;
	uint64_t bytes;
};
typedef VEC(struct found) found_files;

static int compare(const void *left, const void *right)
{
	const struct found *a = left, *b = right;

	return (a->used > b->used) - (a->used < b->used);
}

static bool ends_with(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n > m && !strcmp(name + n - m, suffix);
}

/* All files of the folder, and how much they take. */
static uint64_t look(const struct debuginfod_cache *cache, found_files *ret)
{
	int fd = openat(cache->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *folder = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	uint64_t sum = 0;

	if (!folder) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while ((entry = readdir(folder))) {
		struct found found = {0};
		struct stat st;

		if (strlen(entry->d_name) >= sizeof(found.name) ||
		    (!ends_with(entry->d_name, SUFFIX) && !ends_with(entry->d_name, NEW_SUFFIX)) ||
		    fstatat(cache->folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		memcpy(found.name, entry->d_name, strlen(entry->d_name));
		found.used = st.st_atim.tv_sec;
		found.bytes = (uint64_t)st.st_blocks * 512;
		sum += found.bytes;
		if (ret && (ends_with(found.name, SUFFIX) || is_stale(cache, found.name)))
			(void)vec_push(ret, found); /* without memory it is seen the next time */
	}
	closedir(folder);
	return sum;
}

uint64_t debuginfod_cache_bytes(const struct debuginfod_cache *cache)
{
	return look(cache, NULL);
}

/* Room for what has come: `but` stays. */
static void make_room(struct debuginfod_cache *cache, const char *but)
{
	found_files files = {0};
	uint64_t bytes = look(cache, &files);

	if (files.count)
		qsort(files.items, files.count, sizeof(*files.items), compare);
	for (size_t i = 0; i < files.count && bytes > cache->limit; i++) {
		if (!strcmp(files.items[i].name, but) ||
		    unlinkat(cache->folder, files.items[i].name, 0) < 0)
			continue;
		bytes -= files.items[i].bytes;
		cache->evicted++;
	}
	vec_free(&files);
}

int debuginfod_cache_keep(struct debuginfod_cache *cache, const uint8_t *build_id, size_t size,
			  int *ret_fd)
{
	char from[DEBUGINFOD_NAME_SIZE], to[DEBUGINFOD_NAME_SIZE];
	int r = name_of(build_id, size, NEW_SUFFIX, from);

	if (r < 0)
		return r;
	name_of(build_id, size, SUFFIX, to);
	if (renameat(cache->folder, from, cache->folder, to) < 0)
		return -errno;
	make_room(cache, to);
	return debuginfod_cache_get(cache, build_id, size, ret_fd);
}

void debuginfod_cache_drop(struct debuginfod_cache *cache, const uint8_t *build_id, size_t size)
{
	char name[DEBUGINFOD_NAME_SIZE];

	if (!name_of(build_id, size, NEW_SUFFIX, name))
		unlinkat(cache->folder, name, 0);
}

void debuginfod_cache_missing(struct debuginfod_cache *cache, const uint8_t *build_id, size_t size)
{
	char name[DEBUGINFOD_NAME_SIZE];
	int fd;

	if (name_of(build_id, size, SUFFIX, name))
		return;
	unlinkat(cache->folder, name, 0);
	fd = openat(cache->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
}
