/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The names that a just-in-time compiler writes down for the code it makes, in the
 * form that perf has defined (linux, tools/perf/Documentation/jit-interface.txt): a
 * line "START SIZE name" for each function, both in hex. Foreign bytes: to be used in
 * the worker only.
 *
 * The file grows while it is read: each reading goes on where the last one stopped, at
 * the last whole line. Where lines overlap the later one is right (jit_functions.h). A
 * line that is none is passed over, and noted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/damage.h"
#include "symbolizer/jit_functions.h"

#define PERF_MAP_LINE_MAX 65536u /* bytes; a longer line is passed over */
#define PERF_MAP_READ_MAX (16ull << 20) /* bytes at a time; the next time goes on */

struct perf_map {
	uint64_t offset; /* up to which the file has been read */
	uint64_t device, inode; /* of that file */
	bool more; /* there was more than is read at a time */
	bool skipping; /* in the middle of a line that is too long */
	struct jit_functions functions;
	struct damage damage;
};

void perf_map_deinit(struct perf_map *map);
/* Reads what has been added to the file; all of it, if it is another file than the
 * last time or has become shorter. -EIO with offset; -ENOMEM: the map is empty then. */
int perf_map_update(struct perf_map *map, int fd, struct error *error);
/* Lines, the last of them whole: for the fuzzer and the above; to be settled then. 0 or
 * -ENOMEM. */
int perf_map_add(struct perf_map *map, const char *lines, size_t size);
/* The name of the function that covers the address, or NULL. */
const char *perf_map_find(const struct perf_map *map, uint64_t address);
