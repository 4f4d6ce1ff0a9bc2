/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/table_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/strbuf.h"
#include "daemon/base/vec.h"

#define SUFFIX ".table"
#define TEMPORARY "new-"
#define NAME_SIZE 64u
#define USED_GRAIN_NS (60 * NSEC_PER_SEC)
#define LOOK_AFTER 64u /* files written: others may have written too */
#define DISK_BLOCK 4096u /* the least that a file takes */

static void file_name(const struct table_key *key, char name[NAME_SIZE])
{
	XXH128_hash_t hash = XXH3_128bits(key, sizeof(*key));

	snprintf(name, NAME_SIZE, "%016" PRIx64 "%016" PRIx64 SUFFIX, (uint64_t)hash.high64,
		 (uint64_t)hash.low64);
}

/* ---- the folder ---- */

static int check_folder(int folder, const char *path, struct error *error)
{
	struct stat st;

	if (fstat(folder, &st) < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return error_set(error, -EPERM,
				 "%s belongs to user %u, not to perfd's own: chown it", path,
				 st.st_uid);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(error, -EPERM,
				 "others may write to %s: chmod 700 it, and remove "
				 "what is in it",
				 path);
	if (faccessat(folder, ".", R_OK | W_OK | X_OK, AT_EACCESS) < 0)
		return error_set(error, -errno, "%s cannot be written to: %s", path,
				 strerror(errno));
	return 0;
}

int table_store_open(struct table_store *store, const char *path, uint64_t limit,
		     struct error *error)
{
	_cleanup_close_ int folder = -1;
	int r;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(error, -errno,
				 "%s cannot be made: %s; make it, or name another "
				 "folder in unwind.cache_dir (empty: none)",
				 path, strerror(errno));
	folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		return error_set(error, -errno, "%s: %s", path,
				 errno == ENOTDIR || errno == ELOOP
					 ? "a symbolic link, or no folder: name the folder itself "
					   "in unwind.cache_dir"
					 : strerror(errno));
	r = check_folder(folder, path, error);
	if (r < 0)
		return r;
	*store = (struct table_store){.folder = TAKE_FD(folder), .limit = limit};
	return 0;
}

void table_store_close(struct table_store *store)
{
	close(store->folder);
	store->folder = -1;
}

static uint64_t on_disk(uint64_t size)
{
	return (size + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
}

struct found {
	char name[NAME_SIZE];
	uint64_t used, bytes;
};
typedef VEC(struct found) found_files;

static bool is_table(const char *name)
{
	size_t n = strlen(name), suffix = sizeof(SUFFIX) - 1;

	return n < NAME_SIZE && n > suffix && !strcmp(name + n - suffix, SUFFIX);
}

/* NULL with errno. */
static DIR *open_list(const struct table_store *store)
{
	int fd = openat(store->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);

	if (fd >= 0 && !list)
		close(fd);
	return list;
}

/* Lists the tables and counts their bytes. Files of other names are others'. */
static int look_through(struct table_store *store, found_files *found)
{
	DIR *folder = open_list(store);
	const struct dirent *entry;
	int r;

	if (!folder)
		return -errno;
	r = vec_reserve(found, 1);
	store->unseen = 0;
	store->stats.bytes = 0;
	while (!r && (entry = readdir(folder))) {
		struct found one = {0};
		struct stat st;

		if (!is_table(entry->d_name) ||
		    fstatat(store->folder, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		memcpy(one.name, entry->d_name, strlen(entry->d_name));
		one.used =
			(uint64_t)st.st_mtim.tv_sec * NSEC_PER_SEC + (uint64_t)st.st_mtim.tv_nsec;
		one.bytes = on_disk((uint64_t)st.st_size);
		store->stats.bytes += one.bytes;
		r = vec_push(found, one);
	}
	closedir(folder);
	return r;
}

static int by_use(const void *left, const void *right)
{
	const struct found *a = left, *b = right;

	return a->used < b->used ? -1 : a->used > b->used;
}

/* Removes what was used longest ago until `bytes` more fit, and an eighth of the
 * limit besides, for this is work. */
static int make_room(struct table_store *store, uint64_t bytes)
{
	uint64_t want = store->limit - store->limit / 8;
	found_files found = {0};
	int r = look_through(store, &found);

	if (want < bytes)
		want = bytes;
	if (!r && found.items && store->stats.bytes + bytes > store->limit) {
		qsort(found.items, found.count, sizeof(*found.items), by_use);
		for (size_t i = 0; i < found.count && store->stats.bytes + bytes > want; i++) {
			if (unlinkat(store->folder, found.items[i].name, 0) < 0 && errno != ENOENT)
				continue;
			store->stats.bytes -= found.items[i].bytes;
			store->stats.evicted++;
		}
		if (store->stats.bytes + bytes > store->limit)
			r = -EDQUOT;
	}
	vec_free(&found);
	return r;
}

/* A writer holds a lock on what it writes: what can be locked is nobody's. */
static void remove_leftover(const struct table_store *store, const char *name)
{
	_cleanup_close_ int fd =
		openat(store->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB))
		unlinkat(store->folder, name, 0);
}

void table_store_recover(struct table_store *store)
{
	DIR *folder = open_list(store);
	const struct dirent *entry;

	if (!folder)
		return;
	while ((entry = readdir(folder)))
		if (!strncmp(entry->d_name, TEMPORARY, sizeof(TEMPORARY) - 1))
			remove_leftover(store, entry->d_name);
	closedir(folder);
	make_room(store, 0); /* the limit may be another one now */
}

/* ---- reading ---- */

static int read_whole(int fd, size_t size, uint8_t *bytes)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -EBADMSG;
		done += (size_t)n;
	}
	return 0;
}

static void note_use(int fd, const struct stat *st)
{
	uint64_t now = clock_real_ns();
	uint64_t used = (uint64_t)st->st_mtim.tv_sec * NSEC_PER_SEC + (uint64_t)st->st_mtim.tv_nsec;

	if (used + USED_GRAIN_NS < now || used > now + USED_GRAIN_NS)
		futimens(fd, NULL);
}

static int read_file(int fd, const struct table_key *key, struct table_record *ret)
{
	_cleanup_free_ uint8_t *bytes = NULL;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size < (off_t)TABLE_RECORD_HEADER ||
	    st.st_size > (off_t)TABLE_RECORD_MAX)
		return -EBADMSG;
	bytes = malloc((size_t)st.st_size);
	if (!bytes)
		return -ENOMEM;
	r = read_whole(fd, (size_t)st.st_size, bytes);
	if (!r)
		r = table_record_parse(bytes, (size_t)st.st_size, key, ret);
	if (!r)
		note_use(fd, &st);
	return r;
}

int table_store_get(struct table_store *store, const struct table_key *key,
		    struct table_record *ret)
{
	_cleanup_close_ int fd = -1;
	char name[NAME_SIZE];
	int r;

	file_name(key, name);
	fd = openat(store->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno != ELOOP)
		return -errno;
	r = fd < 0 ? -EBADMSG : read_file(fd, key, ret);
	if (r == -EBADMSG) {
		unlinkat(store->folder, name, 0);
		store->stats.damaged++;
	}
	return r;
}

/* ---- writing ---- */

static int write_all(int fd, const void *bytes, size_t size)
{
	for (const char *at = bytes; size;) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Under a name of its own, locked while it is written, then under the right one. */
static int write_file(struct table_store *store, const char *name, const struct strbuf *header,
		      const void *bytes, size_t size)
{
	char temporary[NAME_SIZE];
	_cleanup_close_ int fd = -1;
	int r;

	snprintf(temporary, sizeof(temporary), TEMPORARY "%d-%u", (int)getpid(),
		 store->temporaries++);
	fd = openat(store->folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -errno;
	r = flock(fd, LOCK_EX) < 0 ? -errno : 0;
	if (!r)
		r = write_all(fd, header->data, header->length);
	if (!r)
		r = write_all(fd, bytes, size);
	if (!r && renameat(store->folder, temporary, store->folder, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(store->folder, temporary, 0);
	return r;
}

/* Bytes on disk of what has the name now, which the new file replaces. */
static uint64_t replaced(const struct table_store *store, const char *name)
{
	struct stat st;

	return fstatat(store->folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0
		       ? 0
		       : on_disk((uint64_t)st.st_size);
}

static int put(struct table_store *store, const struct table_key *key,
	       const struct table_record *record, const void *bytes, size_t size)
{
	_cleanup_(strbuf_deinit) struct strbuf header = {0};
	uint64_t space = on_disk(TABLE_RECORD_HEADER + size), old;
	char name[NAME_SIZE];
	int r = 0;

	if (size > TABLE_RECORD_MAX - TABLE_RECORD_HEADER)
		return -EFBIG;
	if (store->stats.bytes + space > store->limit || store->unseen >= LOOK_AFTER)
		r = make_room(store, space);
	if (!r)
		r = table_record_header(record, key, bytes, size, &header);
	if (r < 0)
		return r;
	file_name(key, name);
	old = replaced(store, name);
	r = write_file(store, name, &header, bytes, size);
	if (r < 0)
		return r;
	store->stats.bytes -= old < store->stats.bytes ? old : store->stats.bytes;
	store->unseen++;
	store->stats.bytes += space;
	store->stats.stored++;
	return 0;
}

int table_store_put(struct table_store *store, const struct table_key *key,
		    const struct table_record *record, const void *table, size_t size)
{
	int r = record->error ? put(store, key, record, record->text,
				    strnlen(record->text, sizeof(record->text) - 1))
			      : put(store, key, record, table, size);

	store->stats.failed += r < 0;
	return r;
}
