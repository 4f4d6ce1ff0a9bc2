/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/engine_mappings.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/engine_internal.h"

#define LOOK_NS (500 * NSEC_PER_MSEC)
#define REFRESH_NS NSEC_PER_SEC
/* Parts of the budget: from this on nobody is told; below that, for so long, everybody is again. */
#define BLIND_FROM 0.25
#define TOLD_BELOW 0.0625
#define CALM_NS (10 * NSEC_PER_SEC)
/* Of a program that is linked as most are: itself, its loader, its C library, the vDSO. */
#define MAPPINGS_A_START 4
#define MEMORY_FILES_MAX 4096u

/* ---- what walks met ---- */

union told {
	struct abi_mmap mmap;
	uint8_t bytes[sizeof(struct abi_mmap) + ABI_PATH_MAX + 8];
};

static void put_path(union told *told, const char *path, size_t length)
{
	struct abi_mmap *mmap = &told->mmap;

	if (length > ABI_PATH_MAX - 1)
		length = ABI_PATH_MAX - 1;
	memcpy(mmap->path, path, length);
	mmap->path[length] = '\0';
	mmap->hdr.size = (uint16_t)((sizeof(*mmap) + length + 1 + 7) & ~(size_t)7);
}

/* Its parts come the last one first. */
static void put_parts(union told *told, const struct abi_found *found)
{
	static const char deleted[] = " (deleted)";
	char path[ABI_PATH_MAX];
	size_t at = sizeof(path), size = found->path_size, length;

	if (size > found->hdr.size - sizeof(*found))
		return;
	if (found->flags & ABI_FOUND_DELETED) {
		at -= sizeof(deleted) - 1;
		memcpy(path + at, deleted, sizeof(deleted) - 1);
	}
	for (size_t from = 0; from < size; from += length + 1) {
		length = strnlen(found->path + from, size - from);
		if (from + length >= size || at < length + 1)
			return; /* not ended, or longer than paths are */
		at -= length;
		memcpy(path + at, found->path + from, length);
		if (path[at] != '/')
			path[--at] = '/';
	}
	if (at < sizeof(path))
		put_path(told, path + at, sizeof(path) - at);
}

/* The same in the shape of an event. */
static void as_event(const struct abi_found *found, union told *told)
{
	struct abi_mmap *mmap = &told->mmap;

	*told = (union told){0};
	mmap->hdr = found->hdr;
	mmap->hdr.type = ABI_MMAP;
	mmap->hdr.size = sizeof(*mmap) + 8;
	mmap->pid = mmap->tid = found->pid;
	mmap->start = found->start;
	mmap->length = found->length;
	mmap->offset = found->offset;
	mmap->inode = found->inode;
	mmap->dev_major = found->device >> 20;
	mmap->dev_minor = found->device & 0xfffff;
	if (found->flags & ABI_FOUND_VDSO)
		put_path(told, "[vdso]", strlen("[vdso]"));
	else if (found->flags & ABI_FOUND_MEMORY)
		put_path(told, "//anon", strlen("//anon"));
	else
		put_parts(told, found);
}

/* The file's image, which the kernel side knows from now on. */
static uint32_t image_of(struct engine *engine, const struct abi_found *found, union told *told)
{
	const struct unwind_inode file = {
		.inode = found->inode, .mtime = found->mtime, .device = found->device};
	uint32_t id;
	struct image *image;

	if (found->flags & (ABI_FOUND_VDSO | ABI_FOUND_MEMORY))
		return image_table_map(&engine->images, &told->mmap);
	id = image_table_find(&engine->images, &told->mmap, &file);
	image = image_table_get(&engine->images, id);
	if (!image)
		return IMAGE_NONE;
	if (!told->mmap.path[0])
		put_path(told, image->path, strlen(image->path));
	if (image->anonymous) {
		if (engine->mappings.memory_files++ < MEMORY_FILES_MAX)
			engine->source->ops->know_file(engine->source, &file, 0);
		return id;
	}
	/* (One that was opened is known by what it was opened as.) */
	image->told = image->found.inode;
	engine->source->ops->know_file(engine->source, &file, id);
	return id;
}

void engine_on_found(struct engine *engine, const struct abi_found *found)
{
	struct process *process = process_table_find(&engine->processes, found->pid);
	union told told;
	uint32_t image;

	if (found->hdr.size < sizeof(*found) || found->start + found->length <= found->start)
		return;
	engine->mappings.found++;
	as_event(found, &told);
	image = image_of(engine, found, &told);
	if (image == IMAGE_NONE) {
		engine->mappings.unknown++;
		return;
	}
	if (!process)
		process = process_table_discover(&engine->processes, found->pid, found->hdr.time);
	/* Of a program that it has left meanwhile. */
	if (!process || process->kernel ||
	    (process->exec_id_known && process->exec_id != found->exec_id))
		return;
	capture_write(&engine->capture, &told.mmap.hdr);
	process_table_settled(process);
	resolver_map_image(&engine->resolver, process, &told.mmap, image, false);
	engine_mapped(engine, process, &told.mmap, image);
	/* It runs code of its own making: of a machine whose libraries nobody told of, maybe. */
	if (found->flags & ABI_FOUND_MEMORY && process->untold) {
		process->untold = false;
		process->maps_state = MAPS_UNKNOWN;
		resolver_want_maps(&engine->resolver, process, true);
	}
}

/* ---- when nobody is told ---- */

static bool heap_is_looked_at(const struct engine *engine, const struct process *process)
{
	if (process->heap_wanted)
		return true;
	for (uint32_t slot = 1; process->slots >> slot && slot < ABI_SESSION_SLOTS; slot++) {
		const struct session *session = engine->sessions[slot];

		if (session && session->source == ABI_SOURCE_HEAP && process->slots >> slot & 1)
			return true;
	}
	for (size_t i = 0; i < engine->heaps.count; i++)
		if (engine_heap_is_of(engine->heaps.items[i], process))
			return true;
	return false;
}

static void read_again(struct engine *engine, struct process *process)
{
	if (process->kernel || process->maps_state == MAPS_ASKED)
		return;
	process->untold = false;
	process->maps_state = MAPS_UNKNOWN;
	resolver_want_maps(&engine->resolver, process, true);
}

void engine_mappings_exec(struct engine *engine, struct process *process)
{
	if (!engine->mappings.blind)
		return;
	process->untold = true;
	/* Its loader has mapped most of it by now; the rest is seen a second later. */
	if (heap_is_looked_at(engine, process))
		read_again(engine, process);
}

/* Probes are put into what is mapped, which nobody tells of. */
static void refresh(struct engine *engine, uint64_t now)
{
	uint64_t pid, value;

	if (now - engine->mappings.refreshed < REFRESH_NS)
		return;
	engine->mappings.refreshed = now;
	for (size_t at = 0; hashmap_next(&engine->processes.alive, &at, &pid, &value);) {
		struct process *process = (struct process *)(uintptr_t)value;

		if (heap_is_looked_at(engine, process))
			read_again(engine, process);
	}
}

/* What is known may be out of date. */
static void disbelieve(struct engine *engine)
{
	uint64_t pid, value;

	for (size_t at = 0; hashmap_next(&engine->processes.alive, &at, &pid, &value);) {
		struct process *process = (struct process *)(uintptr_t)value;

		if (process->kernel)
			continue;
		mapping_set_unref(process->maps);
		process->maps = NULL;
		process->maps_state = MAPS_UNKNOWN;
		process->published = 0;
		process->untold = false;
		if (process->slots || process->heap_wanted)
			resolver_want_maps(&engine->resolver, process, true);
	}
}

static void tell_sessions(struct engine *engine, const char *text)
{
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		if (engine->sessions[slot])
			session_mark(engine->sessions[slot], "mappings", 0, "%s", text);
}

static void turn(struct engine *engine, bool blind)
{
	struct engine_mappings *mappings = &engine->mappings;
	int r = engine->source->ops->tell_mappings(engine->source, !blind);

	if (r == -EAGAIN)
		return; /* the next program that starts shows whether it can be */
	if (r) {
		if (!mappings->refused)
			log_warning("mappings %s told: %s", blind ? "are still" : "cannot be",
				    strerror(-r));
		mappings->refused = true;
		return;
	}
	mappings->blind = engine->resolver.blind = blind;
	mappings->changes++;
	mappings->calm = 0;
	if (!blind)
		disbelieve(engine);
	log_info(blind ? "many programs start: only mappings of what is sampled are looked at"
		       : "all mappings are told again");
	tell_sessions(engine, blind ? "mappings are looked at when they are sampled"
				    : "all mappings are told");
}

/* What telling takes of the machine, or would: a part of its time. */
static double cost_of(struct engine_mappings *mappings, const struct engine *engine, uint64_t now)
{
	uint64_t execs = engine->processes.execs - mappings->execs;
	uint64_t records = engine->mapping_records - mappings->records;
	uint64_t elapsed = now - mappings->looked;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	mappings->execs = engine->processes.execs;
	mappings->records = engine->mapping_records;
	mappings->looked = now;
	if (mappings->blind)
		records = execs * MAPPINGS_A_START;
	return (double)records * RATES_MAPPING_NS / (double)elapsed / (double)(cpus > 0 ? cpus : 1);
}

/* By its cost: at once where that is a good part of the budget, back when it was not for long. */
static bool should_be_blind(struct engine *engine, uint64_t now)
{
	struct engine_mappings *mappings = &engine->mappings;
	double budget = engine->config.budget_permille / 1000.0;

	if (!strcmp(engine->config.mappings, "told") || !budget)
		return !strcmp(engine->config.mappings, "sampled");
	if (!strcmp(engine->config.mappings, "sampled"))
		return true;
	if (!mappings->blind)
		return mappings->cost >= budget * BLIND_FROM;
	if (mappings->cost >= budget * TOLD_BELOW)
		mappings->calm = 0;
	else if (!mappings->calm)
		mappings->calm = now;
	return !mappings->calm || now - mappings->calm < CALM_NS;
}

void engine_mappings_run(struct engine *engine, uint64_t now)
{
	struct engine_mappings *mappings = &engine->mappings;
	bool blind;

	if (!engine->source->ops->tell_mappings)
		return;
	if (mappings->blind)
		refresh(engine, now);
	if (now - mappings->looked < LOOK_NS)
		return;
	if (!mappings->looked) { /* what was there before, was not started now */
		cost_of(mappings, engine, now);
		mappings->cost = 0;
	} else {
		mappings->cost = cost_of(mappings, engine, now);
	}
	blind = should_be_blind(engine, now);
	if (blind != mappings->blind)
		turn(engine, blind);
}

json_t *engine_mappings_json(const struct engine *engine)
{
	const struct engine_mappings *mappings = &engine->mappings;

	return json_pack("{s:s, s:f, s:I, s:I, s:I}", "told", mappings->blind ? "sampled" : "all",
			 "cost_percent", mappings->cost * 100, "changes",
			 (json_int_t)mappings->changes, "found", (json_int_t)mappings->found,
			 "unknown", (json_int_t)mappings->unknown);
}
