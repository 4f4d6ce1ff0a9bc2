/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/found_event.h"

#include <string.h>

void found_event_name(struct found_event *event, const char *path, size_t length)
{
	struct abi_mmap *mmap = &event->mmap;

	if (length > ABI_PATH_MAX - 1)
		length = ABI_PATH_MAX - 1;
	memcpy(mmap->path, path, length);
	mmap->path[length] = '\0';
	mmap->hdr.size = (uint16_t)((sizeof(*mmap) + length + 1 + 7) & ~(size_t)7);
}

/* Its parts come the last one first. */
static void put_parts(struct found_event *event, const struct abi_found *found)
{
	static const char deleted[] = " (deleted)";
	char path[ABI_PATH_MAX + 1] = {0};
	size_t at = sizeof(path) - 1, size = found->path_size, length;

	if (!size || size > found->hdr.size - sizeof(*found))
		return;
	if (found->flags & ABI_FOUND_DELETED) {
		at -= sizeof(deleted) - 1;
		memcpy(path + at, deleted, sizeof(deleted) - 1);
	}
	for (size_t from = 0; from < size; from += length + 1) {
		length = strnlen(found->path + from, size - from);
		if (from + length >= size || at < length + 1)
			return; /* not ended, or longer than paths are */
		if (!length || found->path[from] == '/')
			continue; /* a root's own name */
		at -= length;
		memcpy(path + at, found->path + from, length);
		path[--at] = '/';
	}
	if (path[at] != '/')
		return;
	found_event_name(event, path + at, sizeof(path) - 1 - at);
}

void found_event_make(const struct abi_found *found, struct found_event *ret)
{
	struct abi_mmap *mmap = &ret->mmap;

	*ret = (struct found_event){0};
	mmap->hdr = found->hdr;
	mmap->hdr.type = ABI_MMAP;
	mmap->hdr.size = sizeof(*mmap) + 8;
	mmap->pid = mmap->tid = found->pid;
	mmap->start = found->start;
	mmap->length = found->length;
	mmap->offset = found->offset;
	mmap->inode = found->inode;
	mmap->dev_major = found->device >> 20;
	mmap->dev_minor = found->device & 0xfffff;
	if (found->flags & ABI_FOUND_VDSO)
		found_event_name(ret, "[vdso]", strlen("[vdso]"));
	else if (found->flags & ABI_FOUND_MEMORY)
		found_event_name(ret, "//anon", strlen("//anon"));
	else
		put_parts(ret, found);
}
