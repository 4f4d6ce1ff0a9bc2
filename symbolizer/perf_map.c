/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/perf_map.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"

void perf_map_deinit(struct perf_map *map)
{
	jit_functions_deinit(&map->functions);
	*map = (struct perf_map){0};
}

/* False if there is no number, or one of more than 64 bits. */
static bool take_hex(const char **at, const char *end, uint64_t *ret)
{
	unsigned digits = 0;

	if (end - *at > 2 && (*at)[0] == '0' && ((*at)[1] == 'x' || (*at)[1] == 'X'))
		*at += 2;
	for (*ret = 0; *at < end; (*at)++, digits++) {
		char c = **at;
		unsigned digit;

		if (c >= '0' && c <= '9')
			digit = (unsigned)(c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (unsigned)((c | 0x20) - 'a') + 10;
		else
			break;
		if (*ret >> 60)
			return false;
		*ret = *ret << 4 | digit;
	}
	return digits > 0;
}

static bool take_spaces(const char **at, const char *end)
{
	const char *begin = *at;

	while (*at < end && (**at == ' ' || **at == '\t'))
		(*at)++;
	return *at > begin;
}

/* 1: it is none. */
static int add_line(struct perf_map *map, const char *at, const char *end)
{
	struct jit_function function = {0};
	uint64_t size;
	int r;

	if (!take_hex(&at, end, &function.start) || !take_spaces(&at, end) ||
	    !take_hex(&at, end, &size) || !take_spaces(&at, end) || !size ||
	    function.start + size < function.start)
		return 1;
	while (end > at && (end[-1] == '\r' || end[-1] == ' '))
		end--;
	if (at == end || !*at)
		return 1;
	function.end = function.start + size;
	r = jit_functions_make_room(&map->functions);
	if (!r)
		r = jit_functions_name(&map->functions, at, (size_t)(end - at), &function.name);
	if (!r)
		r = jit_functions_add(&map->functions, function);
	return r;
}

/* offset: where the first one begins in the file. */
static int add_lines(struct perf_map *map, const char *lines, size_t size, uint64_t offset)
{
	const char *begin = lines, *end = lines + size;
	int r = 0;

	while (lines < end && !r) {
		const char *newline = memchr(lines, '\n', (size_t)(end - lines));
		const char *stop = newline ? newline : end;

		r = stop > lines ? add_line(map, lines, stop) : 0;
		if (r == 1) {
			damage_note(&map->damage, "the perf map, offset %" PRIu64 ": no function",
				    offset + (uint64_t)(lines - begin));
			r = 0;
		}
		lines = stop + 1;
	}
	return r;
}

int perf_map_add(struct perf_map *map, const char *lines, size_t size)
{
	return add_lines(map, lines, size, 0);
}

/* One piece of the file: *ret_used bytes of it are done with. */
static int take_piece(struct perf_map *map, const char *bytes, size_t size, size_t *ret_used)
{
	const char *last = memrchr(bytes, '\n', size);
	const char *begin = bytes;

	*ret_used = last ? (size_t)(last + 1 - bytes) : 0;
	if (!last) {
		/* A line that has no end yet waits for it, unless it is too long. */
		if (size == PERF_MAP_LINE_MAX || map->skipping) {
			if (!map->skipping)
				damage_note(&map->damage,
					    "the perf map, offset %" PRIu64
					    ": a line of more than %u bytes",
					    map->offset, PERF_MAP_LINE_MAX);
			map->skipping = true;
			*ret_used = size;
		}
		return 0;
	}
	if (map->skipping)
		begin = (const char *)memchr(bytes, '\n', size) + 1;
	map->skipping = false;
	return add_lines(map, begin, (size_t)(last + 1 - begin),
			 map->offset + (uint64_t)(begin - bytes));
}

static int read_on(struct perf_map *map, int fd, struct error *error)
{
	_cleanup_free_ char *bytes = malloc(PERF_MAP_LINE_MAX);
	size_t used = 1;
	int r = bytes ? 0 : -ENOMEM;

	for (uint64_t done = 0; !r && used && done < PERF_MAP_READ_MAX; done += used) {
		ssize_t n = pread(fd, bytes, PERF_MAP_LINE_MAX, (off_t)map->offset);

		if (n < 0)
			return error_set(error, -EIO, "the perf map, offset %" PRIu64 ": %s",
					 map->offset, strerror(errno));
		used = 0;
		r = n ? take_piece(map, bytes, (size_t)n, &used) : 0;
		map->offset += used;
	}
	map->more = !r && used;
	return r;
}

int perf_map_update(struct perf_map *map, int fd, struct error *error)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(error, -EIO, "the perf map is no regular file");
	if (st.st_dev != map->device || st.st_ino != map->inode ||
	    (uint64_t)st.st_size < map->offset)
		perf_map_deinit(map);
	map->device = st.st_dev;
	map->inode = st.st_ino;
	r = read_on(map, fd, error);
	if (!r || r == -EIO) {
		int settled = jit_functions_settle(&map->functions);

		r = settled < 0 ? settled : r;
	}
	if (r == -ENOMEM) {
		perf_map_deinit(map);
		error_set(error, r, "out of memory for a perf map");
	}
	return r;
}

const char *perf_map_find(const struct perf_map *map, uint64_t address)
{
	const struct jit_function *function = jit_functions_find(&map->functions, address);

	return function ? strtab_get(&map->functions.names, function->name) : NULL;
}
