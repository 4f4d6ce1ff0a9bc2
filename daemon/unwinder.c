/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/unwinder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "symbolizer/unwind_table.h"

#define HOLD_NS (10 * NSEC_PER_SEC)
#define TRIES_MAX 16 /* of one table, that failed for a reason of the moment */

void unwinder_init(struct unwinder *unwinder, struct source *source, struct resolver *resolver,
		   struct table_cache *cache)
{
	*unwinder = (struct unwinder){.source = source, .resolver = resolver, .cache = cache};
}

void unwinder_deinit(struct unwinder *unwinder)
{
	for (size_t i = 0; i < unwinder->published.count; i++)
		mapping_set_unref(unwinder->published.items[i]);
	for (size_t i = 0; i < unwinder->dirty.count; i++)
		process_unref(unwinder->dirty.items[i]);
	vec_free(&unwinder->published);
	vec_free(&unwinder->dirty);
	vec_free(&unwinder->tables);
}

/* ---- tables ---- */

static struct unwinder_table *table_at(struct unwinder *unwinder, uint32_t image)
{
	size_t have = unwinder->tables.count;

	if (image >= have) {
		if (vec_reserve(&unwinder->tables, image + 1))
			return NULL;
		memset(&unwinder->tables.items[have], 0,
		       (image + 1 - have) * sizeof(struct unwinder_table));
		unwinder->tables.count = image + 1;
	}
	return &unwinder->tables.items[image];
}

/* True if something was evicted. */
static bool evict_one(struct unwinder *unwinder, uint32_t but)
{
	struct unwinder_table *oldest = NULL;

	for (size_t i = 0; i < unwinder->tables.count; i++) {
		struct unwinder_table *table = &unwinder->tables.items[i];

		if (i != but && table->state == TABLE_LOADED &&
		    (!oldest || table->used < oldest->used))
			oldest = table;
	}
	if (!oldest)
		return false;
	unwinder->source->ops->unload_table(unwinder->source,
					    (uint32_t)(oldest - unwinder->tables.items));
	oldest->state = TABLE_NONE;
	unwinder->evicted++;
	unwinder->rows -= oldest->rows;
	return true;
}

static int load(struct unwinder *unwinder, uint32_t image, const struct unwind_table *table)
{
	int r;

	do {
		r = unwinder->source->ops->load_table(unwinder->source, image, table);
	} while (r == -ENOSPC && evict_one(unwinder, image));
	return r;
}

/* What there is of a table now: `decoded`, or NULL with a sentence. */
static void take(struct unwinder *unwinder, uint32_t image, const char *text,
		 const struct unwind_table *decoded)
{
	struct unwinder_table *table = table_at(unwinder, image);
	int r;

	if (!table)
		return;
	table->state = TABLE_FAILED;
	r = decoded ? load(unwinder, image, decoded) : -ENODATA;
	if (r) {
		unwinder->failed++;
		unwinder->source->ops->no_table(unwinder->source, image);
		log_debug("no unwind table for image %u: %s", image, text ? text : strerror(-r));
		return;
	}
	table->state = TABLE_LOADED;
	table->tries = 0;
	table->urgency = 0;
	table->rows = decoded->row_count;
	unwinder->loaded++;
	unwinder->rows += table->rows;
}

/* Only what is known to be of the file that it was asked for. */
static void keep(struct unwinder *unwinder, uint32_t image, const struct resolver_table *answer)
{
	const struct image *file = image_table_get(unwinder->resolver->images, image);
	struct table_record record = {.error = answer->error};

	if (!unwinder->cache || !file ||
	    (file->state != IMAGE_READY && file->state != IMAGE_DEBUG) || !file->identified ||
	    !unwinder->tables.items || image >= unwinder->tables.count ||
	    (answer->error && !resolver_blames_file(answer->error)) ||
	    memcmp(&unwinder->tables.items[image].file, &file->identity, sizeof(file->identity)))
		return;
	memcpy(record.build_id, file->build_id, sizeof(record.build_id));
	record.build_id_size = file->build_id_size;
	if (answer->error)
		snprintf(record.text, sizeof(record.text), "%s", answer->text ? answer->text : "");
	table_cache_keep(unwinder->cache, &file->identity, &record, answer->bytes,
			 answer->error ? 0 : answer->size);
}

static void on_table(void *context, uint32_t image, const struct resolver_table *answer)
{
	struct unwinder *unwinder = context;
	struct unwinder_table *table = table_at(unwinder, image);

	/* The next walk that misses it asks again. */
	if (table && resolver_is_momentary(answer->error) && table->tries++ < TRIES_MAX) {
		log_debug("no unwind table for image %u now: %s", image,
			  answer->text ? answer->text : strerror(-answer->error));
		table->state = TABLE_NONE;
		return;
	}
	keep(context, image, answer);
	take(context, image, answer->text, answer->table);
}

static void ask_symbolizer(struct unwinder *unwinder, uint32_t image)
{
	struct unwinder_table *table = &unwinder->tables.items[image];
	int r;

	r = resolver_ask_table(unwinder->resolver, image, table->urgency, on_table, unwinder);
	if (!r)
		return;
	table->awaits_file = r == -EINPROGRESS;
	if (table->awaits_file)
		return;
	/* Too many requests just now, or a file that cannot be reached by way of this
	 * process: the next walk that misses it asks again. */
	table->state = r == -EAGAIN || r == -ENOENT ? TABLE_NONE : TABLE_FAILED;
	if (table->state == TABLE_FAILED) {
		unwinder->failed++;
		unwinder->source->ops->no_table(unwinder->source, image);
	}
}

/* The file that was opened may not be the one that is mapped: then the symbolizer
 * is to say so. */
static bool is_of(const struct table_record *record, const struct image *file)
{
	return file && (!file->build_id_size ||
			(record->build_id_size == file->build_id_size &&
			 !memcmp(record->build_id, file->build_id, file->build_id_size)));
}

static void on_cached(void *context, uint32_t image, const struct table_record *record)
{
	struct unwinder *unwinder = context;

	if (record && is_of(record, image_table_get(unwinder->resolver->images, image)))
		take(unwinder, image, record->text, record->error ? NULL : &record->table);
	else
		ask_symbolizer(unwinder, image);
}

static bool ask_cache(struct unwinder *unwinder, uint32_t image)
{
	struct image *file = image_table_get(unwinder->resolver->images, image);

	if (!unwinder->cache || !file)
		return false;
	if (!file->identified || file->state == IMAGE_FAILED)
		return false;
	unwinder->tables.items[image].file = file->identity;
	return !table_cache_ask(unwinder->cache, &file->identity, image, on_cached, unwinder);
}

static void ask(struct unwinder *unwinder, uint32_t image)
{
	struct image *file = image_table_get(unwinder->resolver->images, image);
	struct unwinder_table *table = &unwinder->tables.items[image];

	table->state = TABLE_ASKED;
	/* Only an opened file is known for sure. */
	if (file)
		resolver_open(unwinder->resolver, file);
	table->awaits_file = file && file->state == IMAGE_OPENING;
	if (!table->awaits_file && !ask_cache(unwinder, image))
		ask_symbolizer(unwinder, image);
}

void unwinder_opened(struct unwinder *unwinder, const struct image *image)
{
	struct unwinder_table *table =
		image->id < unwinder->tables.count ? &unwinder->tables.items[image->id] : NULL;

	if (!table || !table->awaits_file)
		return;
	table->awaits_file = false;
	/* By way of another process it may be reached: the next walk that misses it asks. */
	if (image->state == IMAGE_FAILED)
		table->state = TABLE_NONE;
	else
		ask(unwinder, image->id);
}

/* `least`: at least so urgent from now on; each time is one more. */
static void need(struct unwinder *unwinder, uint32_t image, uint32_t least)
{
	struct unwinder_table *table;

	if (image == IMAGE_NONE || image == IMAGE_KERNEL)
		return;
	table = table_at(unwinder, image);
	if (!table || table->state == TABLE_LOADED || table->state == TABLE_FAILED)
		return;
	if (table->urgency < UNWINDER_WANTED - 1)
		table->urgency++;
	if (table->urgency < least)
		table->urgency = least;
	if (table->state == TABLE_NONE)
		ask(unwinder, image);
	else
		symbolizer_hurry(unwinder->resolver->symbolizer, image, table->urgency);
}

void unwinder_hold(struct unwinder *unwinder, bool hold)
{
	unwinder->hold = hold;
}

/* What is asked for already, costs nothing more. */
static bool can_wait(struct unwinder *unwinder, uint32_t image)
{
	const struct unwinder_table *table;
	uint64_t now;

	if (image == IMAGE_NONE || image == IMAGE_KERNEL)
		return false;
	table = table_at(unwinder, image);
	if (!table || table->state != TABLE_NONE)
		return false;
	now = clock_boot_ns();
	if (unwinder->hold && now - unwinder->asked < HOLD_NS) {
		unwinder->put_off++;
		return true;
	}
	unwinder->asked = now;
	return false;
}

void unwinder_missed(struct unwinder *unwinder, uint32_t image)
{
	if (!can_wait(unwinder, image))
		need(unwinder, image, 0);
}

/* The program is what its address space begins with. */
static bool is_first_needed(const struct unwinder *unwinder, const struct process *process,
			    uint32_t image)
{
	static const char *const names[] = {"libc.so", "libc-", "libc.musl", "ld-"};
	const struct image *file = image_table_get(unwinder->resolver->images, image);
	struct mapping_place place = {0};
	const struct mapping *program = mapping_set_next(process->maps, &place);

	if (program && program->image == image)
		return true;
	for (size_t i = 0; file && i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(image_module(file), names[i], strlen(names[i])))
			return true;
	return false;
}

void unwinder_need(struct unwinder *unwinder, const struct process *process, uint32_t image)
{
	need(unwinder, image,
	     is_first_needed(unwinder, process, image) ? UNWINDER_URGENT : UNWINDER_WANTED);
}

void unwinder_need_all(struct unwinder *unwinder, const struct process *process)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;

	while ((mapping = mapping_set_next(process->maps, &place)))
		unwinder_need(unwinder, process, mapping->image);
}

bool unwinder_has(const struct unwinder *unwinder, uint32_t image)
{
	return image < unwinder->tables.count &&
	       unwinder->tables.items[image].state == TABLE_LOADED;
}

bool unwinder_awaits(const struct unwinder *unwinder, uint32_t image)
{
	return image < unwinder->tables.count && unwinder->tables.items[image].state == TABLE_ASKED;
}

uint64_t unwinder_awaited(const struct unwinder *unwinder)
{
	uint64_t count = 0;

	for (size_t image = 0; image < unwinder->tables.count; image++)
		count += unwinder_awaits(unwinder, (uint32_t)image);
	return count;
}

bool unwinder_waits(const struct unwinder *unwinder, const struct process *process)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;

	while ((mapping = mapping_set_next(process->maps, &place)))
		if (unwinder_awaits(unwinder, mapping->image))
			return true;
	return process->maps_state == MAPS_ASKED;
}

void unwinder_mark(const struct unwinder *unwinder, bool *used, size_t count)
{
	for (uint32_t image = 1; image < unwinder->tables.count && image <= count; image++)
		used[image - 1] |= unwinder_awaits(unwinder, image);
	for (size_t i = 0; i < unwinder->published.count; i++)
		mapping_set_mark(unwinder->published.items[i], used, count);
}

void unwinder_forget(struct unwinder *unwinder, const struct image *image)
{
	const struct source_ops *ops = unwinder->source->ops;

	if (image->id < unwinder->tables.count) {
		struct unwinder_table *table = &unwinder->tables.items[image->id];

		if (table->state == TABLE_LOADED)
			unwinder->rows -= table->rows;
		*table = (struct unwinder_table){0};
	}
	if (image->announced) {
		const struct unwind_inode file = image_opened(image);

		ops->forget_file(unwinder->source, &file, image->id);
	}
	if (image->told)
		ops->forget_file(unwinder->source, &image->found, image->id);
	ops->forget_image(unwinder->source, image->id);
}

void unwinder_used(struct unwinder *unwinder, uint32_t image, uint64_t now)
{
	if (image < unwinder->tables.count)
		unwinder->tables.items[image].used = now;
}

/* ---- mapping sets ---- */

void unwinder_changed(struct unwinder *unwinder, struct process *process)
{
	size_t count = unwinder->dirty.count;

	/* Mappings of one process mostly come in a row. */
	if (process->kernel || (count && unwinder->dirty.items[count - 1] == process))
		return;
	if (!vec_push(&unwinder->dirty, process))
		process_ref(process);
}

static void publish(struct unwinder *unwinder, struct process *process)
{
	struct mapping_set *set = process->maps;

	if (process->end || !set || !process->exec_id_known)
		return;
	if (!set->number) {
		int r = unwinder->source->ops->publish_set(unwinder->source, set);

		if (r) {
			unwinder->sets_refused++;
			if (r != -E2BIG)
				return;
		}
		if (vec_push(&unwinder->published, set)) {
			unwinder->source->ops->withdraw_set(unwinder->source, set);
			return;
		}
		mapping_set_ref(set);
	}
	if (process->published == set->number)
		return;
	process->published = set->number;
	unwinder->source->ops->assign_set(unwinder->source, process->pid, set->number,
					  process->exec_id);
}

static void withdraw_unused(struct unwinder *unwinder)
{
	for (size_t i = unwinder->published.count; i-- > 0;) {
		struct mapping_set *set = unwinder->published.items[i];

		if (set->references > 1)
			continue;
		unwinder->source->ops->withdraw_set(unwinder->source, set);
		mapping_set_unref(set);
		unwinder->published.items[i] =
			unwinder->published.items[--unwinder->published.count];
	}
}

void unwinder_flush(struct unwinder *unwinder)
{
	for (size_t i = 0; i < unwinder->dirty.count; i++) {
		publish(unwinder, unwinder->dirty.items[i]);
		process_unref(unwinder->dirty.items[i]);
	}
	vec_clear(&unwinder->dirty);
	withdraw_unused(unwinder);
}
