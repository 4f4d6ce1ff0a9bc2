/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/engine_mappings.h"

#include <errno.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/engine_internal.h"
#include "daemon/found_event.h"

#define LOOK_NS (500 * NSEC_PER_MSEC)
#define REFRESH_NS NSEC_PER_SEC
#define REFRESH_MAX 32 /* processes whose mappings are read, each time */
/* Of a program that is linked as most are: itself, its loader, its C library, the vDSO. */
#define MAPPINGS_A_START 4
#define MEMORY_FILES_MAX 4096u

/* ---- what walks met ---- */

/* The file's image, which the kernel side knows from now on. */
static uint32_t image_of(struct engine *engine, const struct abi_found *found,
			 struct found_event *told)
{
	const struct unwind_inode file = {
		.inode = found->inode, .changed = found->changed, .device = found->device};
	uint32_t id;
	struct image *image;

	if (found->flags & (ABI_FOUND_VDSO | ABI_FOUND_MEMORY))
		return image_table_map(&engine->images, &told->mmap);
	id = image_table_find(&engine->images, &told->mmap, &file);
	image = image_table_get(&engine->images, id);
	if (!image)
		return IMAGE_NONE;
	if (!told->mmap.path[0])
		found_event_name(told, image->path, strlen(image->path));
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

/* The process as of then; NULL: it has left that program, or what is known of it is newer. */
static struct process *found_in(struct engine *engine, const struct abi_found *found)
{
	struct process *process = process_table_find(&engine->processes, found->pid);

	if (!engine->mappings.choice.blind)
		return NULL;
	if (!process)
		process = process_table_discover(&engine->processes, found->pid, found->hdr.time);
	if (!process || process->kernel ||
	    (process->exec_id_known && process->exec_id != found->exec_id))
		return NULL;
	return process;
}

static void read_again(struct engine *engine, struct process *process);

void engine_on_found(struct engine *engine, const struct abi_found *found)
{
	struct process *process;
	struct found_event told;
	uint32_t image;

	if (found->hdr.size < sizeof(*found))
		return;
	if (found->flags & ABI_FOUND_MORE) {
		process = found_in(engine, found);
		if (process)
			read_again(engine, process);
		return;
	}
	if (found->start + found->length <= found->start)
		return;
	engine->mappings.found++;
	found_event_make(found, &told);
	image = image_of(engine, found, &told);
	/* Its frames have no file; and what was at the place before is not there any more. */
	engine->mappings.unknown += image == IMAGE_NONE;
	process = found_in(engine, found);
	if (!process)
		return;
	process_table_settled(process);
	process->finds++;
	if (found->flags & ABI_FOUND_FIRST) {
		mapping_set_unref(process->maps);
		process->maps = NULL;
	}
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

/* What is read takes the place of what is known. */
static void read_again(struct engine *engine, struct process *process)
{
	if (process->kernel || process->maps_state == MAPS_ASKED)
		return;
	process->untold = false;
	process->maps_state = MAPS_UNKNOWN;
	resolver_want_maps(&engine->resolver, process, true);
}

void engine_mappings_wanted(struct engine *engine, struct process *process)
{
	if (engine->mappings.choice.blind)
		read_again(engine, process);
	else
		resolver_want_maps(&engine->resolver, process, true);
}

/* Read once a second, they are mostly the same: nobody is disturbed for that. */
void engine_mappings_read(struct engine *engine, struct process *process)
{
	uint64_t hash = mapping_set_hash(process->maps);

	if (hash != process->maps_hash)
		engine_heap_mapped(engine, process);
	process->maps_hash = hash;
}

void engine_mappings_exec(struct engine *engine, struct process *process)
{
	if (!engine->mappings.choice.blind)
		return;
	process->untold = true;
	/* Its loader has mapped most of it by now; the rest is seen a second later. */
	if (heap_is_looked_at(engine, process))
		read_again(engine, process);
}

/* Probes are put into what is mapped, which nobody tells of. So many in a second, in turns. */
static void refresh(struct engine *engine, uint64_t now)
{
	struct engine_mappings *mappings = &engine->mappings;
	uint64_t pid, value;
	int left = REFRESH_MAX;

	if (now - mappings->refreshed < REFRESH_NS)
		return;
	mappings->refreshed = now;
	while (left &&
	       hashmap_next(&engine->processes.alive, &mappings->refresh_at, &pid, &value)) {
		struct process *process = (struct process *)(uintptr_t)value;

		if (!heap_is_looked_at(engine, process))
			continue;
		read_again(engine, process);
		left--;
	}
	if (left)
		mappings->refresh_at = 0;
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

static void turn(struct engine *engine, bool blind, uint64_t now)
{
	struct engine_mappings *mappings = &engine->mappings;
	int r = engine->source->ops->tell_mappings(engine->source, !blind);

	if (r) {
		if (!mappings->refused)
			log_warning("mappings %s told: %s", blind ? "are still" : "cannot be",
				    r == -EOPNOTSUPP ? "those of this kernel cannot be looked at"
						     : strerror(-r));
		mappings->refused = true;
		return;
	}
	mappings->refused = false;
	mapping_choice_turned(&mappings->choice, blind, now);
	mappings->changes++;
	engine->resolver.blind = blind;
	engine->resolver.view++;
	if (!blind)
		disbelieve(engine);
	log_info(blind ? "mappings are not told any more: samples look at those that they hit"
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
	/* As counted with the rates: to ask the system would read a file each time. */
	uint32_t cpus = engine->rates.seen ? engine->rates.seen->cpus : 0;

	mappings->execs = engine->processes.execs;
	mappings->records = engine->mapping_records;
	mappings->looked = now;
	if (mappings->choice.blind)
		records = execs * MAPPINGS_A_START;
	return (double)records * RATES_MAPPING_NS / (double)elapsed / (double)(cpus ? cpus : 1);
}

static bool should_be_blind(struct engine *engine, uint64_t now)
{
	struct engine_mappings *mappings = &engine->mappings;

	/* A recording is played with the mappings that it holds. */
	if (engine->capture.file || !strcmp(engine->config.mappings, "told"))
		return false;
	if (!strcmp(engine->config.mappings, "sampled"))
		return true;
	return mapping_choice_make(&mappings->choice, mappings->cost,
				   engine->config.budget_permille / 1000.0, now);
}

void engine_mappings_run(struct engine *engine, uint64_t now)
{
	struct engine_mappings *mappings = &engine->mappings;
	bool blind;

	if (!engine->source->ops->tell_mappings)
		return;
	if (mappings->choice.blind)
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
	if (blind != mappings->choice.blind)
		turn(engine, blind, now);
}

json_t *engine_mappings_json(const struct engine *engine)
{
	const struct engine_mappings *mappings = &engine->mappings;

	return json_pack("{s:s, s:b, s:f, s:I, s:I, s:I}", "told",
			 mappings->choice.blind ? "sampled" : "all", "refused", mappings->refused,
			 "cost_percent", mappings->cost * 100, "changes",
			 (json_int_t)mappings->changes, "found", (json_int_t)mappings->found,
			 "unknown", (json_int_t)mappings->unknown);
}
