/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * many_maps [MAPPINGS] [CPU_MS]: maps a page of libplugin.so's code so many times, says
 * "ready", waits for a line, and burns CPU_MS by way of the copies, mapping a new one
 * every 10 ms.
 */
#include "tests/programs/burn.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ULL
#define BETWEEN (10 * MS)

/* plugin_call(): without relocations, so that its bytes work anywhere. */
typedef void call_fn(void (*function)(uint64_t ns), uint64_t ns);

void burn(uint64_t ns);

void burn(uint64_t ns)
{
	BURN(ns);
}

static void *copy_at(int fd, uint64_t page, char *place)
{
	void *copy = mmap(place, 2 * PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd,
			  (off_t)page);

	if (copy == MAP_FAILED) {
		perror("mmap (is vm.max_map_count large enough?)");
		exit(1);
	}
	return copy;
}

int main(int argc, char **argv)
{
	uint64_t count = number(argc, argv, 1, 100000), ns = number(argc, argv, 2, 2000) * MS;
	const char *slash = strrchr(argv[0], '/');
	struct link_map *map;
	char path[4096], *room;
	void *plugin;
	uint64_t function;
	int fd;

	snprintf(path, sizeof(path), "%.*s/libplugin.so", slash ? (int)(slash - argv[0]) : 1,
		 slash ? argv[0] : ".");
	plugin = dlopen(path, RTLD_NOW);
	fd = open(path, O_RDONLY);
	if (!plugin || fd < 0 || dlinfo(plugin, RTLD_DI_LINKMAP, &map)) {
		fprintf(stderr, "%s cannot be loaded\n", path);
		return 1;
	}
	/* File offsets and addresses are the same in the code of this library. */
	function = (uint64_t)dlsym(plugin, "plugin_call") - map->l_addr;
	/* A page between each two, or the kernel would make one of them. */
	room = mmap(NULL, (count + 1000000) * 3 * PAGE, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (uint64_t i = 0; i < count; i++)
		copy_at(fd, function & ~(PAGE - 1), room + i * 3 * PAGE);
	puts("ready");
	fflush(stdout);
	getchar();
	for (uint64_t done = 0; done < ns; done += BETWEEN) {
		char *copy = copy_at(fd, function & ~(PAGE - 1), room + count++ * 3 * PAGE);

		/* Code in the newest, and in one of the middle. */
		((call_fn *)(copy + (function & (PAGE - 1))))(burn, BETWEEN / 2);
		copy = room + (count / 2) * 3 * PAGE;
		((call_fn *)(copy + (function & (PAGE - 1))))(burn, BETWEEN / 2);
	}
	return 0;
}
