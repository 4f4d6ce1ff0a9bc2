/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as /proc/PID/maps: each mapping that is told is one.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbolizer/proc_maps.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int check(void *context, const struct proc_map *map)
{
	(void)context;
	if (map->end < map->start || !map->path || strlen(map->path) != map->path_length)
		abort();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("maps", MFD_CLOEXEC);
	struct error error = {0};

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	if (proc_maps_parse(fd, check, NULL, &error) && (!error.code || !error.text[0]))
		abort();
	close(fd);
	return 0;
}
