/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/proc_maps.h"

#include <errno.h>
#include <string.h>

#include "symbolizer/lines.h"

static const char deleted_suffix[] = " (deleted)";

static bool take(const char **at, char c)
{
	if (**at != c)
		return false;
	(*at)++;
	return true;
}

static bool hex_then(const char **at, char c, uint64_t *ret)
{
	unsigned long long value;

	if (!lines_hex(at, &value) || !take(at, c))
		return false;
	*ret = value;
	return true;
}

static bool flags(const char **at, struct proc_map *map)
{
	const char *p = *at;

	if (strnlen(p, 5) < 5 || (p[0] != 'r' && p[0] != '-') || (p[1] != 'w' && p[1] != '-') ||
	    (p[2] != 'x' && p[2] != '-') || (p[3] != 'p' && p[3] != 's') || p[4] != ' ')
		return false;
	map->readable = p[0] == 'r';
	map->writable = p[1] == 'w';
	map->executable = p[2] == 'x';
	map->shared = p[3] == 's';
	*at = p + 5;
	return true;
}

static bool inode(const char **at, uint64_t *ret)
{
	const char *p = *at;
	uint64_t value = 0;

	for (; *p >= '0' && *p <= '9'; p++) {
		if (value > (UINT64_MAX - 9) / 10)
			return false;
		value = value * 10 + (uint64_t)(*p - '0');
	}
	if (p == *at)
		return false;
	*at = p;
	*ret = value;
	return true;
}

static size_t undo_escapes(char *path, size_t length)
{
	size_t to = 0;

	for (size_t from = 0; from < length;) {
		if (length - from >= 4 && !memcmp(path + from, "\\012", 4)) {
			path[to++] = '\n';
			from += 4;
		} else {
			path[to++] = path[from++];
		}
	}
	path[to] = '\0';
	return to;
}

static void take_path(char *path, size_t length, struct proc_map *map)
{
	size_t suffix = sizeof(deleted_suffix) - 1;

	length = undo_escapes(path, length);
	if (length > suffix && !memcmp(path + length - suffix, deleted_suffix, suffix + 1)) {
		length -= suffix;
		path[length] = '\0';
		map->deleted = true;
	}
	map->path = path;
	map->path_length = length;
}

bool proc_maps_line(char *line, size_t length, struct proc_map *ret)
{
	struct proc_map map = {0};
	uint64_t major, minor;
	const char *at = line;

	if (strlen(line) != length)
		return false;
	if (!hex_then(&at, '-', &map.start) || !hex_then(&at, ' ', &map.end) || !flags(&at, &map) ||
	    !hex_then(&at, ' ', &map.offset) || !hex_then(&at, ':', &major) ||
	    !hex_then(&at, ' ', &minor) || !inode(&at, &map.inode))
		return false;
	if (map.end < map.start || major > UINT32_MAX || minor > UINT32_MAX || (*at && *at != ' '))
		return false;
	map.dev_major = (uint32_t)major;
	map.dev_minor = (uint32_t)minor;
	/* Padding up to column 73, then the name, which may begin with a space
	 * only in theory: the kernel's names begin with '/', '[' or a letter. */
	at += strspn(at, " ");
	take_path(line + (at - line), length - (size_t)(at - line), &map);
	*ret = map;
	return true;
}

int proc_maps_parse(int fd, proc_maps_fn *each, void *context, struct error *error)
{
	struct lines lines;
	size_t length;
	char *line;
	int r;

	lines_init(&lines, fd);
	while ((r = lines_next(&lines, &line, &length)) > 0) {
		struct proc_map map;

		if (lines.number > PROC_MAPS_MAX)
			return error_set(error, -E2BIG, "more than %u mappings", PROC_MAPS_MAX);
		if (!proc_maps_line(line, length, &map))
			return error_set(error, -EBADMSG,
					 "line %zu is not of the form of /proc/PID/maps",
					 lines.number);
		r = each(context, &map);
		if (r)
			return r;
	}
	if (r < 0)
		return error_set(error, r, "after line %zu: %s", lines.number, strerror(-r));
	return 0;
}
