/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/cgroup_table.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

/* enum fid_type: FILEID_KERNFS, include/linux/exportfs.h; not in the headers for us. */
#define HANDLE_TYPE_KERNFS 0xfe

/* Where it is mounted: alone, or beside the controllers of v1. */
static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

void cgroup_table_init(struct cgroup_table *table)
{
	*table = (struct cgroup_table){.mount = -1};
	for (size_t i = 0; table->mount < 0 && i < sizeof(places) / sizeof(places[0]); i++) {
		struct statfs fs;

		if (statfs(places[i], &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
			continue;
		table->mount = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		snprintf(table->root, sizeof(table->root), "%s", places[i]);
	}
}

static void forget(struct cgroup_table *table)
{
	strtab_deinit(&table->paths);
	table->paths = (struct strtab){0};
	hashmap_clear(&table->by_id);
}

void cgroup_table_deinit(struct cgroup_table *table)
{
	if (table->mount >= 0)
		close(table->mount);
	strtab_deinit(&table->paths);
	hashmap_deinit(&table->by_id);
}

/* The path below the mount, into `path`; "" if it cannot be had. */
static void look_up(const struct cgroup_table *table, uint64_t id, char path[PATH_MAX])
{
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + sizeof(id)];
	} of = {.handle = {.handle_bytes = sizeof(id), .handle_type = HANDLE_TYPE_KERNFS}};
	_cleanup_close_ int fd = -1;
	size_t root = strlen(table->root);
	char link[64];
	ssize_t n;

	path[0] = '\0';
	if (table->mount < 0)
		return;
	memcpy(of.handle.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(table->mount, &of.handle, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	path[n > 0 ? n : 0] = '\0';
	if (strncmp(path, table->root, root) != 0) {
		path[0] = '\0';
		return;
	}
	if (path[root])
		memmove(path, path + root, strlen(path + root) + 1);
	else
		memcpy(path, "/", sizeof("/"));
}

const char *cgroup_table_path(struct cgroup_table *table, uint64_t id)
{
	const uint64_t *known = hashmap_get(&table->by_id, id);
	char path[PATH_MAX];
	uint32_t string;

	if (known)
		return strtab_get(&table->paths, (uint32_t)*known);
	if (table->by_id.count >= CGROUPS_MAX)
		forget(table);
	look_up(table, id, path);
	table->unknown += !path[0];
	string = strtab_add(&table->paths, path, strlen(path));
	if (string == UINT32_MAX || hashmap_put(&table->by_id, id, string))
		return "";
	return strtab_get(&table->paths, string);
}
