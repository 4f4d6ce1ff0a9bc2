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
	strtab_deinit(&map->names);
	vec_free(&map->functions);
	vec_free(&map->fresh);
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

static int add_line(struct perf_map *map, const char *at, const char *end)
{
	struct perf_map_function function;
	uint64_t size;

	if (!take_hex(&at, end, &function.start) || !take_spaces(&at, end) ||
	    !take_hex(&at, end, &size) || !take_spaces(&at, end) || !size ||
	    function.start + size < function.start)
		return 0;
	while (end > at && (end[-1] == '\r' || end[-1] == ' '))
		end--;
	if (at == end || !*at)
		return 0;
	if (map->functions.count + map->fresh.count >= PERF_MAP_FUNCTIONS_MAX ||
	    map->names.bytes.count >= PERF_MAP_NAMES_MAX) {
		map->refused++;
		return 0;
	}
	function.end = function.start + size;
	size = (size_t)(end - at) < PERF_MAP_NAME_MAX ? (size_t)(end - at) : PERF_MAP_NAME_MAX;
	function.name = strtab_add(&map->names, at, strnlen(at, size));
	return function.name == UINT32_MAX ? -ENOMEM : vec_push(&map->fresh, function);
}

int perf_map_add(struct perf_map *map, const char *lines, size_t size)
{
	const char *end = lines + size;
	int r = 0;

	while (lines < end && !r) {
		const char *newline = memchr(lines, '\n', (size_t)(end - lines));
		const char *stop = newline ? newline : end;

		r = add_line(map, lines, stop);
		lines = stop + 1;
		/* Most of what comes first may be gone again: that makes room. */
		if (!r && map->functions.count + map->fresh.count >= PERF_MAP_FUNCTIONS_MAX &&
		    map->fresh.count > PERF_MAP_FUNCTIONS_MAX / 4)
			r = perf_map_settle(map);
	}
	return r;
}

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

/* The address space is cut where any function begins or ends; the pieces are given
 * out from the last line to the first, each to the first that comes for it. */
struct painting {
	uint64_t *bounds; /* sorted, each once */
	uint32_t *owner; /* of the piece from bounds[i] on; number of a function plus 1 */
	uint32_t *next; /* from here on, the first piece that may be free */
	size_t count;
};

static const struct perf_map_function *nth(const struct perf_map *map, size_t i)
{
	return i < map->functions.count ? &map->functions.items[i]
					: &map->fresh.items[i - map->functions.count];
}

static uint32_t first_free(struct painting *painting, uint32_t at)
{
	while (painting->next[at] != at) {
		painting->next[at] = painting->next[painting->next[at]];
		at = painting->next[at];
	}
	return at;
}

static uint32_t piece_at(const struct painting *painting, uint64_t address)
{
	const uint64_t *found = bsearch(&address, painting->bounds, painting->count,
					sizeof(*painting->bounds), compare);

	return (uint32_t)(found - painting->bounds);
}

static void paint(struct painting *painting, const struct perf_map *map)
{
	size_t count = map->functions.count + map->fresh.count, kept = 0;

	for (size_t i = 0; i < count; i++) {
		painting->bounds[2 * i] = nth(map, i)->start;
		painting->bounds[2 * i + 1] = nth(map, i)->end;
	}
	qsort(painting->bounds, 2 * count, sizeof(*painting->bounds), compare);
	for (size_t i = 0; i < 2 * count; i++) {
		if (!kept || painting->bounds[kept - 1] != painting->bounds[i])
			painting->bounds[kept++] = painting->bounds[i];
	}
	painting->count = kept;
	for (uint32_t i = 0; i < kept; i++)
		painting->next[i] = i;
	for (size_t i = count; i-- > 0;) {
		const struct perf_map_function *function = nth(map, i);
		uint32_t at = first_free(painting, piece_at(painting, function->start));

		while (painting->bounds[at] < function->end) {
			painting->owner[at] = (uint32_t)i + 1;
			painting->next[at] = at + 1;
			at = first_free(painting, at);
		}
	}
}

static int collect(const struct painting *painting, struct perf_map *map)
{
	VEC(struct perf_map_function) settled = {0};
	uint32_t before = 0;

	for (size_t i = 0; i + 1 < painting->count; i++) {
		uint32_t owner = painting->owner[i];
		struct perf_map_function function = {painting->bounds[i], painting->bounds[i + 1],
						     0};

		if (owner && owner == before) {
			settled.items[settled.count - 1].end = function.end;
		} else if (owner) {
			function.name = nth(map, owner - 1)->name;
			if (vec_push(&settled, function) < 0) {
				vec_free(&settled);
				return -ENOMEM;
			}
		}
		before = owner;
	}
	vec_free(&map->functions);
	map->functions.items = settled.items;
	map->functions.count = settled.count;
	map->functions.capacity = settled.capacity;
	vec_clear(&map->fresh);
	return 0;
}

int perf_map_settle(struct perf_map *map)
{
	size_t count = 2 * (map->functions.count + map->fresh.count);
	_cleanup_free_ uint64_t *bounds = NULL;
	_cleanup_free_ uint32_t *owner = NULL, *next = NULL;
	struct painting painting;

	if (!map->fresh.count)
		return 0;
	bounds = malloc(count * sizeof(*bounds));
	owner = calloc(count, sizeof(*owner));
	next = malloc(count * sizeof(*next));
	if (!bounds || !owner || !next)
		return -ENOMEM;
	painting = (struct painting){.bounds = bounds, .owner = owner, .next = next};
	paint(&painting, map);
	return collect(&painting, map);
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
			map->skipping = true;
			*ret_used = size;
		}
		return 0;
	}
	if (map->skipping)
		begin = (const char *)memchr(bytes, '\n', size) + 1;
	map->skipping = false;
	return perf_map_add(map, begin, (size_t)(last + 1 - begin));
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
		int settled = perf_map_settle(map);

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
	const struct perf_map_function *functions = map->functions.items;
	size_t low = 0, high = map->functions.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (functions[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address >= functions[low - 1].end)
		return NULL;
	return strtab_get(&map->names, functions[low - 1].name);
}
