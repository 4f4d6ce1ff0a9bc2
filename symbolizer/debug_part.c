/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/debug_part.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct looking {
	const struct debug_file_places *places;
	pid_t pid;
	struct debug_file_reader reader;
	int *ret_fd;
	int code; /* why not, so far */
};

/* True when the search is over: it is there. */
static bool try(struct looking *looking, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static bool try(struct looking *looking, const char *format, ...)
{
	char path[PATH_MAX];
	va_list arguments;
	int n, r;

	va_start(arguments, format);
	n = vsnprintf(path, sizeof(path), format, arguments);
	va_end(arguments);
	if (n < 0 || (size_t)n >= sizeof(path))
		r = -ENAMETOOLONG;
	else
		r = debug_file_open_path_in(looking->places, looking->pid, path, &looking->reader,
					    looking->ret_fd);
	if (!r)
		return true;
	/* That it is not there says less than why it could not be had. */
	if (r != -ENOENT && r != -ENOTDIR)
		looking->code = r;
	return false;
}

static bool ends_in(const char *text, const char *end)
{
	size_t length = strlen(text), tail = strlen(end);

	return length > tail && !strcmp(text + length - tail, end);
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool try_build_id(struct looking *looking, const struct symbolizer_part *part,
			 const char *suffix)
{
	char rest[2 * sizeof(part->build_id) + 1] = "";

	if (part->build_id_size < 2 || part->build_id_size > sizeof(part->build_id))
		return false;
	for (unsigned i = 1; i < part->build_id_size; i++)
		snprintf(rest + 2 * (i - 1), 3, "%02x", part->build_id[i]);
	return try(looking, "%s/%02x/%s%s", looking->places->folder, part->build_id[0], rest,
		   suffix);
}

static bool find_supplement(struct looking *looking, const char *path, int folder,
			    const struct symbolizer_part *part)
{
	const char *debug = looking->places->debug, *dwz = strstr(part->name, ".dwz/");

	if (try_build_id(looking, part, ".debug"))
		return true;
	if (!part->name[0])
		return false;
	if (part->name[0] == '/')
		return try(looking, "%s", part->name) || (dwz && try(looking, "%s/%s", debug, dwz));
	return try(looking, "%.*s/%s", folder, path, part->name) ||
	       try(looking, "%s%.*s/%s", debug, folder, path, part->name) ||
	       try(looking, "%s/00/%s", looking->places->folder, part->name) ||
	       (dwz && try(looking, "%s/%s", debug, dwz));
}

static bool find_package(struct looking *looking, const char *path,
			 const struct symbolizer_part *part)
{
	const char *debug = looking->places->debug;

	return try(looking, "%s.dwp", path) || try(looking, "%s%s.dwp", debug, path) ||
	       try(looking, "%s%s.debug.dwp", debug, path) || try_build_id(looking, part, ".dwp");
}

static bool find_unit(struct looking *looking, const char *path, int folder,
		      const struct symbolizer_part *part)
{
	const char *name = part->name;

	if (!ends_in(name, ".dwo") && !ends_in(name, ".o")) {
		looking->code = -EINVAL;
		return false;
	}
	if (name[0] == '/' ? try(looking, "%s", name)
			   : part->folder[0] == '/' && try(looking, "%s/%s", part->folder, name))
		return true;
	return (name[0] != '/' && try(looking, "%.*s/%s", folder, path, name)) ||
	       try(looking, "%.*s/%s", folder, path, last_part(name));
}

int debug_part_open_in(const struct debug_file_places *places, pid_t pid, const char *path,
		       const struct symbolizer_part *part, int *ret_fd)
{
	struct looking looking = {.places = places,
				  .pid = pid,
				  .reader = {.user = part->owner},
				  .ret_fd = ret_fd,
				  .code = -ENOENT};
	int folder = (int)(last_part(path) - path);
	bool found = false;

	if (path[0] != '/')
		return -EINVAL;
	/* Without the slash. */
	folder--;
	switch (part->kind) {
	case SYMBOLIZER_PART_SUPPLEMENT:
		looking.reader.not_roots_own = true;
		found = find_supplement(&looking, path, folder, part);
		break;
	case SYMBOLIZER_PART_PACKAGE:
		found = find_package(&looking, path, part);
		break;
	case SYMBOLIZER_PART_UNIT:
		found = find_unit(&looking, path, folder, part);
		break;
	default:
		looking.code = -EINVAL;
	}
	return found ? 0 : looking.code;
}

int debug_part_open(pid_t pid, const char *path, const struct symbolizer_part *part, int *ret_fd)
{
	return debug_part_open_in(debug_file_system_places(), pid, path, part, ret_fd);
}
