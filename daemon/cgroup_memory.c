/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/cgroup_memory.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/cgroup_table.h"

/* As of processes (engine_memory.c): less than this is no change. */
#define CHANGE_MIN_BYTES 65536u
#define CHANGE_SHARE 500u
#define UNCHANGED_NS (10 * NSEC_PER_SEC)
#define OTHERS_ID UINT64_MAX
#define OTHERS_PATH "(other cgroups)"

static void destroy(struct cgroup_memory_row *row)
{
	free(row->path);
	free(row);
}

void cgroup_memory_deinit(struct cgroup_memory *memory)
{
	for (size_t i = 0; i < memory->rows.count; i++)
		destroy(memory->rows.items[i]);
	vec_free(&memory->rows);
	hashmap_deinit(&memory->by_id);
}

void cgroup_memory_begin(struct cgroup_memory *memory)
{
	for (size_t i = 0; i < memory->rows.count; i++)
		memory->rows.items[i]->bytes = 0;
	memory->others = 0;
}

static struct cgroup_memory_row *make(struct cgroup_memory *memory, uint64_t id, const char *path)
{
	struct cgroup_memory_row *row = calloc(1, sizeof(*row));

	if (!row)
		return NULL;
	row->id = id;
	row->path = strdup(path);
	if (!row->path || hashmap_put(&memory->by_id, id, memory->rows.count)) {
		destroy(row);
		return NULL;
	}
	if (vec_push(&memory->rows, row)) {
		hashmap_remove(&memory->by_id, id);
		destroy(row);
		return NULL;
	}
	row->kind = (struct measure_kind){.name = row->path,
					  .group = "cgroups",
					  .unit = "bytes",
					  .kind = SERIES_LEVEL,
					  .step_ns = NSEC_PER_SEC};
	return row;
}

static struct cgroup_memory_row *find(struct cgroup_memory *memory, struct cgroup_table *paths,
				      uint64_t id)
{
	uint64_t *place = hashmap_get(&memory->by_id, id);
	const char *path;

	if (place)
		return memory->rows.items[*place];
	if (memory->rows.count >= CGROUP_MEMORY_MAX) {
		memory->others++;
		place = hashmap_get(&memory->by_id, OTHERS_ID);
		return place ? memory->rows.items[*place] : make(memory, OTHERS_ID, OTHERS_PATH);
	}
	path = cgroup_table_path(paths, id);
	return path[0] ? make(memory, id, path) : NULL;
}

void cgroup_memory_add(struct cgroup_memory *memory, struct cgroup_table *paths, uint64_t id,
		       uint64_t bytes, uint64_t now)
{
	struct cgroup_memory_row *row = id ? find(memory, paths, id) : NULL;

	if (!row)
		return;
	row->bytes += bytes;
	row->seen = now;
}

static bool changed(const struct cgroup_memory_row *row)
{
	uint64_t was = row->before, is = row->bytes, by = was > is ? was - is : is - was;

	return by >= CHANGE_MIN_BYTES && by > was / CHANGE_SHARE;
}

static void forget(struct cgroup_memory *memory, size_t at)
{
	struct cgroup_memory_row *last = memory->rows.items[memory->rows.count - 1];

	hashmap_remove(&memory->by_id, memory->rows.items[at]->id);
	destroy(memory->rows.items[at]);
	memory->rows.items[at] = last;
	memory->rows.count--;
	if (at < memory->rows.count)
		*hashmap_get(&memory->by_id, last->id) = at;
}

void cgroup_memory_end(struct cgroup_memory *memory, uint64_t now, cgroup_memory_fn *note,
		       void *context)
{
	for (size_t i = memory->rows.count; i-- > 0;) {
		struct cgroup_memory_row *row = memory->rows.items[i];

		if (!row->bytes && !row->before) {
			if (now - row->seen > CGROUP_MEMORY_KEEP_NS)
				forget(memory, i);
			continue;
		}
		if (row->bytes && row->noted && !changed(row) && now - row->noted < UNCHANGED_NS)
			continue;
		note(context, row);
		row->before = row->bytes;
		row->noted = now;
	}
}
