/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The names that a just-in-time compiler writes down for the code it makes, in the
 * form that perf has defined (linux, tools/perf/Documentation/jit-interface.txt): a
 * line "START SIZE name" for each function, both in hex. Foreign bytes: to be used in
 * the worker only.
 *
 * The file grows while it is read: each reading goes on where the last one stopped, at
 * the last whole line. Code is thrown away and its place used again: where lines
 * overlap the later one is right, and what it covers of an earlier one is forgotten.
 * A line that is none is passed over.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"

#define PERF_MAP_LINE_MAX 65536u /* bytes; a longer line is passed over */
#define PERF_MAP_NAME_MAX 4096u /* bytes; a longer name is cut */
#define PERF_MAP_READ_MAX (256ull << 20) /* bytes at a time; the next time goes on */
#define PERF_MAP_FUNCTIONS_MAX (2u << 20) /* at one time; what is beyond has no name */
#define PERF_MAP_NAMES_MAX (128u << 20) /* bytes; likewise */

struct perf_map_function {
	uint64_t start, end; /* process addresses */
	uint32_t name;
};

struct perf_map {
	uint64_t offset; /* up to which the file has been read */
	uint64_t device, inode; /* of that file */
	bool skipping; /* in the middle of a line that is too long */
	uint64_t refused; /* functions above a limit */
	struct strtab names;
	VEC(struct perf_map_function) functions; /* by address, disjoint */
	VEC(struct perf_map_function) fresh; /* in the order of the lines */
};

void perf_map_deinit(struct perf_map *map);
/* Reads what has been added to the file; all of it, if it is another file than the
 * last time or has become shorter. -EIO with offset; -ENOMEM: the map is empty then. */
int perf_map_update(struct perf_map *map, int fd, struct error *error);
/* Lines, the last of them whole: for the fuzzer and the above. 0 or -ENOMEM. */
int perf_map_add(struct perf_map *map, const char *lines, size_t size);
/* Sorts out what was added. 0 or -ENOMEM. */
int perf_map_settle(struct perf_map *map);
/* The name of the function that covers the address, or NULL. */
const char *perf_map_find(const struct perf_map *map, uint64_t address);
