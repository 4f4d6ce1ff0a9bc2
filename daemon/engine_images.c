/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which images the engine lets go of: those that no process maps and no stack names, and that
 * nothing is being asked of, for half a minute (or less, where there are many). With them go their
 * descriptors, here and in the symbolizer's client, and their unwind tables; a file that is mapped
 * again is a new image, and its table is on disk. So a machine that builds, or that starts
 * containers, all day long does not fill the tables.
 */
#include "daemon/engine_internal.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#define LOOK_NS (10 * NSEC_PER_SEC)
#define LOOK_SOON_NS (2 * NSEC_PER_SEC) /* while more than half of the places are taken */
#define IDLE_LOOKS 3u

static void mark_processes(const struct engine *engine, bool *used, size_t count)
{
	const struct process_table *table = &engine->processes;
	uint64_t key, value;
	size_t at = 0;

	while (hashmap_next(&table->alive, &at, &key, &value))
		mapping_set_mark(((struct process *)(uintptr_t)value)->maps, used, count);
	for (const struct process *process = table->oldest_exited; process;
	     process = process->next_exited)
		mapping_set_mark(process->maps, used, count);
	for (size_t i = 0; i < engine->raw.items.count; i++)
		mapping_set_mark(engine->raw.items.items[i].maps, used, count);
}

static void mark_stacks(const struct engine *engine, bool *used, size_t count)
{
	for (size_t i = 0; i < engine->stacks.frames.count; i++) {
		uint32_t image = engine->stacks.frames.items[i].image;

		if (image && image <= count)
			used[image - 1] = true;
	}
}

/* Those of code that processes wrote are jit_code's, and these memory's and the vDSO's are for
 * ever; what is just being opened has an answer to come. */
static void mark_by_state(const struct engine *engine, bool *used, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct image *image = engine->images.images.items[i];

		if (!image)
			continue;
		if (image->jit || image->anonymous || image->vdso ||
		    image->state == IMAGE_OPENING || image->state == IMAGE_HANDED ||
		    image->state == IMAGE_DEBUG)
			used[i] = true;
		if (image->jit && image->jit_dump && image->jit_dump <= count)
			used[image->jit_dump - 1] = true;
	}
}

/* Of what nobody named at several looks in a row: true, and all but the image itself forgets it. */
static bool let_go(struct engine *engine, struct image *image, bool used)
{
	if (!image)
		return false;
	image->idle = used ? 0 : (uint8_t)(image->idle + 1);
	if (image->idle < IDLE_LOOKS)
		return false;
	unwinder_forget(&engine->unwinder, image);
	resolver_forget(&engine->resolver, image);
	stack_table_forget_image(&engine->stacks, image->id);
	return true;
}

void engine_sift_images(struct engine *engine, uint64_t now)
{
	size_t count = engine->images.images.count, gone = 0;
	bool full = image_table_count(&engine->images) > engine->images.max / 2;
	bool *used;

	/* A recording is played with the numbers that it was made with. */
	if (now < engine->images_looked + (full ? LOOK_SOON_NS : LOOK_NS) || engine->capture.file ||
	    !count || engine->source->ops->wake_fd(engine->source) < 0)
		return;
	engine->images_looked = now;
	used = calloc(count, sizeof(*used));
	if (!used)
		return;
	mark_processes(engine, used, count);
	mark_stacks(engine, used, count);
	mark_by_state(engine, used, count);
	unwinder_mark(&engine->unwinder, used, count);
	resolver_mark(&engine->resolver, used, count);
	heap_follow_mark(&engine->heap, used, count);
	for (size_t i = 0; i < count; i++) {
		used[i] = let_go(engine, engine->images.images.items[i], used[i]);
		gone += used[i];
	}
	if (gone) {
		image_table_release(&engine->images, used); /* `used` is: gone */
		log_debug("%zu of %zu files let go of", gone, count);
	}
	free(used);
}
