/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/image_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <xxhash.h>

#include "daemon/base/cleanup.h"
#include "daemon/image_key.h"
#include "symbolizer/vdso.h"

#define ATTEMPTS_MAX 3
#define NEXT_USE_NS 10000000000ULL

void image_table_init(struct image_table *table, uint32_t max, uint32_t held_max)
{
	*table = (struct image_table){.max = max, .held_max = held_max};
}

static void image_close(struct image_table *table, struct image *image)
{
	if (image->fd < 0)
		return;
	close(image->fd);
	image->fd = -1;
	table->held--;
}

static void image_destroy(struct image_table *table, struct image *image)
{
	if (!image)
		return;
	image_close(table, image);
	free(image->path);
	free(image);
}

void image_table_deinit(struct image_table *table)
{
	for (size_t i = 0; i < table->images.count; i++)
		image_destroy(table, table->images.items[i]);
	vec_free(&table->images);
	vec_free(&table->rest);
	hashmap_deinit(&table->index);
}

/* Another way to know a file: /proc tells its inode, an event its build id. */
static void also_known_as(struct image_table *table, const struct image *image, uint64_t key)
{
	const uint64_t *known = hashmap_get(&table->index, key);
	const struct image *other = known ? image_table_get(table, (uint32_t)*known) : NULL;

	if (!other || (image->roots && !other->roots))
		hashmap_put(&table->index, key, image->id);
}

static uint64_t file_key(const struct image *image)
{
	return image_key_of_inode(image->file_device >> 20, image->file_device & 0xfffff,
				  image->file_inode);
}

struct unwind_inode image_opened(const struct image *image)
{
	return (struct unwind_inode){.inode = image->file_inode,
				     .changed = image->file_changed,
				     .device = image->file_device};
}

static bool is_roots(const struct stat *st)
{
	return st->st_uid == 0 && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static struct image *create(const struct abi_mmap *mmap)
{
	struct image *image = calloc(1, sizeof(*image));

	if (!image)
		return NULL;
	image->path = strdup(mmap->path);
	if (!image->path) {
		free(image);
		return NULL;
	}
	image->fd = -1;
	image->dev_major = mmap->dev_major;
	image->dev_minor = mmap->dev_minor;
	image->inode = mmap->inode;
	image->build_id_size = mmap->build_id_size;
	memcpy(image->build_id, mmap->build_id, sizeof(image->build_id));
	image->anonymous = image_key_is_memory(mmap->path);
	image->vdso = !strcmp(mmap->path, "[vdso]");
	if (image->anonymous) {
		image->state = IMAGE_FAILED;
		snprintf(image->why, sizeof(image->why), "memory without a file");
	}
	return image;
}

size_t image_table_count(const struct image_table *table)
{
	return table->images.count - (table->rest.count - table->next_rest);
}

/* A place for one more: a new one, or that of one that was released long ago. IMAGE_NONE
 * above the limit. */
static uint32_t take_id(struct image_table *table)
{
	bool full = table->images.count >= table->max;
	size_t resting = table->rest.count - table->next_rest;

	if (resting > IMAGE_REST || (full && resting))
		return table->rest.items[table->next_rest++];
	if (full) {
		table->refused++;
		return IMAGE_NONE;
	}
	return vec_push(&table->images, NULL) ? IMAGE_NONE : (uint32_t)table->images.count;
}

static uint32_t add(struct image_table *table, const struct abi_mmap *mmap, uint64_t key)
{
	const uint64_t *known = hashmap_get(&table->index, key);
	struct image *image;
	uint32_t id;

	if (known)
		return (uint32_t)*known;
	id = take_id(table);
	if (id == IMAGE_NONE)
		return id;
	image = create(mmap);
	if (!image) {
		vec_push(&table->rest, id);
		return IMAGE_NONE;
	}
	image->id = id;
	table->images.items[id - 1] = image;
	hashmap_put(&table->index, key, id);
	return id;
}

/* An image is known under several keys: all of them go, in one walk over all. */
static int forget_keys(struct image_table *table, const bool *gone)
{
	VEC(uint64_t) keys = {0};
	uint64_t key, id;
	size_t at = 0;
	int r = 0;

	while (!r && hashmap_next(&table->index, &at, &key, &id))
		if (gone[id - 1])
			r = vec_push(&keys, key);
	for (size_t i = 0; !r && i < keys.count; i++)
		hashmap_remove(&table->index, keys.items[i]);
	vec_free(&keys);
	return r;
}

void image_table_release(struct image_table *table, const bool *gone)
{
	if (vec_reserve(&table->rest, table->rest.count + table->images.count) ||
	    forget_keys(table, gone))
		return; /* the next time */
	memmove(table->rest.items, table->rest.items + table->next_rest,
		(table->rest.count - table->next_rest) * sizeof(*table->rest.items));
	table->rest.count -= table->next_rest;
	table->next_rest = 0;
	for (size_t i = 0; i < table->images.count; i++) {
		if (!gone[i] || !table->images.items[i])
			continue;
		image_destroy(table, table->images.items[i]);
		table->images.items[i] = NULL;
		table->rest.items[table->rest.count++] = (uint32_t)i + 1;
		table->released++;
	}
}

uint32_t image_table_add(struct image_table *table, const struct abi_mmap *mmap)
{
	return add(table, mmap, image_key(mmap));
}

uint32_t image_table_add_jit(struct image_table *table, uint32_t pid)
{
	union {
		struct abi_mmap mmap;
		uint8_t bytes[sizeof(struct abi_mmap) + 8];
	} named = {0};
	struct image *image;
	uint32_t id;

	/* No identity's hash: nothing else is to be taken for it. */
	memcpy(named.mmap.path, "[jit]", sizeof("[jit]"));
	id = add(table, &named.mmap,
		 XXH3_64bits_withSeed(&table->jit_made, sizeof(table->jit_made), 7));
	image = image_table_get(table, id);
	if (!image)
		return IMAGE_NONE;
	table->jit_made++;
	image->jit = image->anonymous = true;
	image->state = IMAGE_READY;
	image->use.pid = pid;
	return id;
}

void image_table_jit_again(struct image_table *table, struct image *image, uint32_t pid)
{
	image_close(table, image);
	image->state = IMAGE_READY;
	image->use.pid = pid;
	image->jit_dump = IMAGE_NONE;
	image->jit_due = false;
	image->jit_over = image->jit_look = 0;
	image->jit_looked = image->jit_next = image->jit_wait = 0;
}

void image_table_jit_file(struct image_table *table, struct image *image, int fd)
{
	uint32_t *slot = &table->jit[table->next_jit % IMAGE_JIT_MAX];
	struct image *oldest = image_table_get(table, *slot);

	image_close(table, image);
	if (oldest && oldest != image)
		image_close(table, oldest);
	*slot = image->id;
	table->next_jit++;
	image->fd = fd;
	table->held++;
}

/* The file behind a mapping, while the process has it: owner, mode and place. Its
 * file system is not asked, for that may be a user's or far away. */
static bool stat_mapping(const struct abi_mmap *mmap, struct stat *ret)
{
	struct statx found;
	char name[96];

	snprintf(name, sizeof(name), "/proc/%u/map_files/%llx-%llx", mmap->pid,
		 (unsigned long long)mmap->start, (unsigned long long)(mmap->start + mmap->length));
	if (statx(AT_FDCWD, name, AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &found) < 0)
		return false;
	*ret = (struct stat){.st_dev = makedev(found.stx_dev_major, found.stx_dev_minor),
			     .st_ino = found.stx_ino,
			     .st_uid = found.stx_uid,
			     .st_mode = found.stx_mode,
			     .st_ctim = {found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec}};
	return true;
}

static struct image *known_as(const struct image_table *table, const struct stat *st)
{
	const uint64_t *known =
		hashmap_get(&table->index,
			    image_key_of_inode(major(st->st_dev), minor(st->st_dev), st->st_ino));

	return known ? image_table_get(table, (uint32_t)*known) : NULL;
}

/* A build id that is new may be that of a file which is known by its inode. */
static void recognise(struct image_table *table, const struct abi_mmap *mmap)
{
	uint64_t build_id = image_key_of_build_id(mmap->build_id, mmap->build_id_size);
	struct image *image;
	struct stat st;

	/* The vDSO has one too, but no file. */
	if (!mmap->build_id_size || mmap->build_id_size > ABI_BUILD_ID_MAX ||
	    image_key(mmap) != build_id || hashmap_get(&table->index, build_id) ||
	    !stat_mapping(mmap, &st))
		return;
	image = known_as(table, &st);
	if (!image || !image->sure || !image->file_inode || image->build_id_size)
		return; /* not opened, so not sure; or written anew since */
	memcpy(image->build_id, mmap->build_id, mmap->build_id_size);
	image->build_id_size = mmap->build_id_size;
	also_known_as(table, image, build_id);
}

/* A new image for one state of a file, which no other one may be opened for. */
static uint32_t add_state(struct image_table *table, const struct abi_mmap *mmap,
			  const struct unwind_inode *file)
{
	uint32_t id = add(table, mmap, image_key_of_state(file));
	struct image *image = image_table_get(table, id);

	if (image && !image->found.inode && !image->file_inode)
		image->found = *file;
	return id;
}

/* Numbers of inodes are given anew, and files written anew: what was opened under that number may
 * be another one. */
static uint32_t in_its_state(struct image_table *table, const struct abi_mmap *mmap,
			     const struct image *image)
{
	struct unwind_inode file;
	struct stat st;

	if (!image->file_inode || !stat_mapping(mmap, &st))
		return image->id;
	file = image_state(&st);
	if (file.changed == image->file_changed)
		return image->id;
	return add_state(table, mmap, &file);
}

uint32_t image_table_map(struct image_table *table, const struct abi_mmap *mmap)
{
	const struct image *image;
	uint32_t id, apart;
	uint64_t build_id, place[2];
	struct stat st;

	recognise(table, mmap);
	id = image_table_add(table, mmap);
	image = image_table_get(table, id);
	if (image && !image->anonymous && !image->vdso && !mmap->build_id_size)
		return in_its_state(table, mmap, image);
	if (!image || image->vdso || !image->sure || image->roots || !image->file_inode ||
	    !mmap->build_id_size || !stat_mapping(mmap, &st))
		return id;
	if (image->file_device == image_device(major(st.st_dev), minor(st.st_dev)) &&
	    image->file_inode == st.st_ino)
		return id;
	build_id = image_key_of_build_id(mmap->build_id, mmap->build_id_size);
	place[0] = image_key_of_inode(major(st.st_dev), minor(st.st_dev), st.st_ino);
	place[1] = build_id;
	apart = add(table, mmap, XXH3_64bits_withSeed(place, sizeof(place), 6));
	if (apart != IMAGE_NONE && is_roots(&st))
		hashmap_put(&table->index, build_id, apart);
	return apart;
}

uint32_t image_table_find(struct image_table *table, const struct abi_mmap *mmap,
			  const struct unwind_inode *file)
{
	uint64_t key = image_key_of_state(file);
	const uint64_t *known = hashmap_get(&table->index, key);
	const struct image *image;
	struct stat st;

	if (known)
		return (uint32_t)*known;
	if (!mmap->path[0])
		return IMAGE_NONE;
	/* All memory is one image, whatever it is a file of. */
	if (image_key_is_memory(mmap->path))
		return add(table, mmap, image_key(mmap));
	/* File systems that lie upon others have numbers of their own. */
	image = stat_mapping(mmap, &st) && image_state(&st).changed == file->changed
			? known_as(table, &st)
			: NULL;
	if (image && image->sure && image->file_inode && image->file_changed == file->changed &&
	    !hashmap_put(&table->index, key, image->id))
		return image->id;
	return add_state(table, mmap, file);
}

struct image *image_table_get(const struct image_table *table, uint32_t id)
{
	return id && id <= table->images.count ? table->images.items[id - 1] : NULL;
}

/* Makes room for one more descriptor. */
static void close_one(struct image_table *table)
{
	for (size_t tried = 0; tried < table->images.count; tried++) {
		struct image *image =
			table->images.items[table->next_close++ % table->images.count];

		if (image && image->state == IMAGE_OPENED) {
			image_close(table, image);
			image->state = IMAGE_KNOWN;
			return;
		}
	}
}

void image_table_fail(struct image_table *table, struct image *image, const char *why)
{
	image_close(table, image);
	if (image->state != IMAGE_FAILED && !image->counted)
		table->failed++;
	image->counted = true;
	image->state = IMAGE_FAILED;
	snprintf(image->why, sizeof(image->why), "%.119s", why);
}

bool image_table_wants_file(const struct image *image)
{
	return !image->anonymous && (image->state == IMAGE_KNOWN || image->state == IMAGE_FAILED) &&
	       image->attempts < ATTEMPTS_MAX;
}

bool image_table_wants_use(struct image *image, uint64_t now)
{
	if (image->state == IMAGE_FAILED && image->attempts >= ATTEMPTS_MAX &&
	    now >= image->next_use) {
		image->attempts = ATTEMPTS_MAX - 1;
		image->next_use = now + NEXT_USE_NS;
	}
	return image_table_wants_file(image);
}

static void hold(struct image_table *table, struct image *image, int fd)
{
	if (table->held >= table->held_max)
		close_one(table);
	image->fd = fd;
	image->state = IMAGE_OPENED;
	image->attempts = 0;
	image->counted = false;
	table->held++;
}

bool image_table_open_vdso(struct image_table *table, struct image *image)
{
	int fd;

	if (!image->vdso)
		return false;
	fd = vdso_image_open();
	if (fd < 0)
		image_table_not_opened(table, image, "the vDSO cannot be copied");
	else
		hold(table, image, fd);
	image->sure = true;
	return true;
}

void image_table_opening(struct image *image, struct opener_request *ret)
{
	*ret = (struct opener_request){
		.kind = OPENER_MAPPED,
		.pid = (pid_t)image->use.pid,
		.start = image->use.start,
		.end = image->use.end,
		.path = image->path,
		.id = {image->dev_major, image->dev_minor, image->inode},
	};
	image->state = IMAGE_OPENING;
}

void image_table_opened(struct image_table *table, struct image *image, struct opener_file *file)
{
	uint32_t attempts = file->sure ? 0 : image->attempts;
	int fd = TAKE_FD(file->fd);

	/* What was root's file is a user's now. */
	if (image->roots && !file->roots) {
		close(fd);
		image->attempts++;
		image->state = IMAGE_KNOWN;
		return;
	}
	/* It was written anew since. */
	if (image->found.inode && image->found.changed != file->changed_ns) {
		close(fd);
		image->attempts++;
		image_table_fail(table, image, "the file has been changed since it was mapped");
		return;
	}
	image->file_changed = file->changed_ns;
	image->identified = file->identified;
	image->identity = file->identity;
	image->roots = file->roots;
	image->file_device = image_device(file->dev_major, file->dev_minor);
	image->file_inode = file->inode;
	image->file_uid = file->uid;
	image->sure = file->sure;
	if (image->sure) {
		const struct unwind_inode opened = image_opened(image);

		also_known_as(table, image, file_key(image));
		also_known_as(table, image, image_key_of_state(&opened));
	}
	hold(table, image, fd);
	image->attempts = attempts;
}

void image_table_not_opened(struct image_table *table, struct image *image, const char *why)
{
	image->attempts++;
	image_table_fail(table, image, why);
}

int image_table_hand_over(struct image_table *table, struct image *image)
{
	int fd = image->fd;

	if (fd < 0)
		return -1;
	image->fd = -1;
	image->state = IMAGE_HANDED;
	table->held--;
	return fd;
}

int image_table_ready(struct image_table *table, struct image *image, const uint8_t *build_id,
		      uint8_t build_id_size)
{
	bool checked = image->build_id_size;

	if (image->build_id_size && (build_id_size != image->build_id_size ||
				     memcmp(build_id, image->build_id, build_id_size))) {
		/* A file of the same name, but not the one that was mapped. */
		image->attempts++;
		image->sure = image->roots = image->identified = false;
		image_table_fail(table, image, "the file has been replaced since it was mapped");
		return -EINVAL;
	}
	if (build_id_size <= ABI_BUILD_ID_MAX) {
		memcpy(image->build_id, build_id, build_id_size);
		image->build_id_size = build_id_size;
	}
	if (image->build_id_size)
		also_known_as(table, image, image_key_of_build_id(build_id, build_id_size));
	if (!image->sure && checked && image->file_inode) {
		image->sure = true;
		also_known_as(table, image, file_key(image));
	}
	image->state = IMAGE_READY;
	return 0;
}

const char *image_module(const struct image *image)
{
	const char *slash;

	if (image->anonymous)
		return "[anon]";
	slash = strrchr(image->path, '/');
	return slash && slash[1] ? slash + 1 : image->path;
}
