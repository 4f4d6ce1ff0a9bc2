/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/image_key.h"

#include <string.h>
#include <sys/sysmacros.h>
#include <xxhash.h>

bool image_key_is_memory(const char *path)
{
	return !path[0] || !strncmp(path, "//anon", 6) || !strncmp(path, "[anon", 5) ||
	       !strcmp(path, "[heap]") || !strcmp(path, "[stack]") ||
	       !strncmp(path, "/memfd:", 7) || !strncmp(path, "/dev/zero", 9);
}

uint64_t image_key_of_build_id(const uint8_t *build_id, uint8_t size)
{
	return XXH3_64bits_withSeed(build_id, size, 3);
}

uint64_t image_key_of_inode(uint32_t dev_major, uint32_t dev_minor, uint64_t inode)
{
	struct {
		uint64_t inode;
		uint32_t dev_major, dev_minor;
	} place = {inode, dev_major, dev_minor};

	return XXH3_64bits_withSeed(&place, sizeof(place), 4);
}

uint64_t image_key_of_state(const struct unwind_inode *file)
{
	const struct unwind_inode key = {
		.inode = file->inode, .changed = file->changed, .device = file->device};

	return XXH3_64bits_withSeed(&key, sizeof(key), 8);
}

uint32_t image_device(uint32_t dev_major, uint32_t dev_minor)
{
	return dev_major << 20 | dev_minor;
}

uint64_t image_key(const struct abi_mmap *mmap)
{
	if (image_key_is_memory(mmap->path))
		return 1;
	if (!strcmp(mmap->path, "[vdso]"))
		return 2;
	if (mmap->build_id_size)
		return image_key_of_build_id(mmap->build_id, mmap->build_id_size);
	if (mmap->inode)
		return image_key_of_inode(mmap->dev_major, mmap->dev_minor, mmap->inode);
	return XXH3_64bits_withSeed(mmap->path, strlen(mmap->path), 5);
}

struct unwind_inode image_state(const struct stat *st)
{
	return (struct unwind_inode){
		.inode = st->st_ino,
		.changed = (uint64_t)st->st_ctim.tv_sec * 1000000000ULL +
			   (uint64_t)st->st_ctim.tv_nsec,
		.device = image_device(major(st->st_dev), minor(st->st_dev)),
	};
}
