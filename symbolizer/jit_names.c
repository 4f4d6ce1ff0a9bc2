/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/jit_names.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The one with that number, or the least used, emptied for it. */
static struct jit_file *file_of(struct jit_names *names, uint32_t id)
{
	struct jit_file *least = &names->files[0];

	for (size_t i = 0; i < JIT_FILES_MAX; i++) {
		if (names->files[i].id == id)
			return &names->files[i];
		if (names->files[i].used < least->used)
			least = &names->files[i];
	}
	perf_map_deinit(&least->map);
	jit_dump_deinit(&least->dump);
	least->damage = (struct damage){0};
	least->id = id;
	return least;
}

int jit_names_update(struct jit_names *names, uint32_t id, int fd, struct error *error,
		     const struct jit_file **ret)
{
	struct jit_file *file = file_of(names, id);
	bool known = file->dump.damage.code;
	char begin[4];
	ssize_t n = pread(fd, begin, sizeof(begin), 0);
	int r;

	file->used = ++names->uses;
	if (n < 0)
		return error_set(error, -EIO, "a compiler's list of names: %s", strerror(errno));
	if (jit_dump_is(begin, (size_t)n)) {
		perf_map_deinit(&file->map);
		r = jit_dump_update(&file->dump, fd, error);
	} else {
		jit_dump_deinit(&file->dump);
		r = perf_map_update(&file->map, fd, error);
	}
	if (r == -EINVAL) {
		if (!known)
			damage_note(&file->damage, "%s", error->text);
		r = 0;
	}
	if (!r && (file->map.more || file->dump.more))
		return error_set(error, -EAGAIN, "there is more to be read");
	*ret = file;
	return r;
}

void jit_names_tell_damage(struct jit_names *names, uint32_t id, struct strbuf *answer)
{
	struct jit_file *file = file_of(names, id);
	uint32_t count = 0;
	const char *dump = damage_tell(&file->damage, &count);
	const char *map = damage_tell(&file->map.damage, &count);
	const char *text = dump ? dump : map ? map : "";

	strbuf_u32(answer, count);
	strbuf_bytes(answer, text, (uint32_t)strlen(text));
}

int jit_names_put(const struct jit_file *file, uint64_t address, struct wire_out *out)
{
	struct symbolizer_frame frame = {
		.name = perf_map_find(&file->map, address), .module = "", .file = ""};
	struct jit_dump_place place;

	if (jit_dump_find(&file->dump, address, &place)) {
		frame.name = place.name;
		frame.file = place.file;
		frame.line = place.line;
	}
	return wire_out_name(out, &frame, frame.name && frame.name[0] ? 1 : 0);
}
