/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/log.h"
#include "symbolizer/client_private.h"

#define DESCRIPTORS_PER_IMAGE 4 /* times images_max are kept */

void queue_push(struct op_queue *queue, struct op *op)
{
	op->next = NULL;
	if (queue->last)
		queue->last->next = op;
	else
		queue->first = op;
	queue->last = op;
	queue->count++;
}

void queue_push_front(struct op_queue *queue, struct op *op)
{
	op->next = queue->first;
	queue->first = op;
	if (!queue->last)
		queue->last = op;
	queue->count++;
}

struct op *queue_pop(struct op_queue *queue)
{
	struct op *op = queue->first;

	if (!op)
		return NULL;
	queue->first = op->next;
	if (!queue->first)
		queue->last = NULL;
	queue->count--;
	return op;
}

void op_free(struct op *op)
{
	if (!op)
		return;
	if (op->fd >= 0)
		close(op->fd);
	free(op->addresses);
	free(op);
}

static void close_debug(struct symbolizer *s, struct image *image)
{
	if (image->debug_fd < 0)
		return;
	close(image->debug_fd);
	image->debug_fd = -1;
	s->stats.debug_files--;
}

static void image_free(struct symbolizer *s, struct image *image)
{
	close_debug(s, image);
	client_parts_forget(image);
	if (image->fd >= 0)
		close(image->fd);
	free(image->failure_text);
	free(image);
}

struct image *client_image(const struct symbolizer *s, uint32_t id)
{
	uint64_t *value = hashmap_get(&s->images, id);

	return value ? (struct image *)(uintptr_t)*value : NULL;
}

void client_image_fail(struct symbolizer *s, struct image *image, const struct error *error)
{
	image->failure = error->code;
	free(image->failure_text);
	image->failure_text = strdup(error->text);
	image->held = false;
	close_debug(s, image);
	client_parts_drop(s, image);
	if (image->fd >= 0) {
		close(image->fd);
		image->fd = -1;
		s->stats.images--;
	}
}

/* To whom knows the file's name. */
static void say(struct symbolizer *s, uint32_t id, const char *text)
{
	if (s->config.damaged)
		s->config.damaged(s->config.part_context, id, text);
	else
		log_warning("symbolizer: image %u: %s", id, text);
}

void client_debug_fail(struct symbolizer *s, struct image *image, const struct error *error)
{
	say(s, image->id, error->text);
	close_debug(s, image);
	s->stats.debug_refused++;
	quarantine_add(s->quarantine, image->id, "debug file", error->text);
	if (s->config.debug_refused)
		s->config.debug_refused(s->config.part_context, image->id);
}

/* A list that is written anew again and again is told once. */
static bool is_known(const struct quarantine *damaged, uint32_t id, const char *text)
{
	for (size_t i = 0; i < quarantine_count(damaged); i++) {
		const struct quarantined *entry = quarantine_get(damaged, i);

		if (entry->image == id && !strncmp(entry->why, text, sizeof(entry->why) - 1))
			return true;
	}
	return false;
}

void client_damaged(struct symbolizer *s, uint32_t id, enum client_damage what, uint32_t count,
		    const char *text)
{
	static const char *const names[] = {
		[CLIENT_DAMAGE_FILE] = "file",
		[CLIENT_DAMAGE_NAMES] = "names of a file",
		[CLIENT_DAMAGE_JIT_NAMES] = "names of a perf map",
		[CLIENT_DAMAGE_DEBUG_FILE] = "debug file",
		[CLIENT_DAMAGE_PART] = "further debug file",
		[CLIENT_DAMAGE_UNWIND_TABLE] = "unwind table",
	};
	_Static_assert(sizeof(names) / sizeof(names[0]) == CLIENT_DAMAGES, "a name for each");
	struct image *image = client_image(s, id);
	bool *told = NULL;

	if (image)
		told = what == CLIENT_DAMAGE_UNWIND_TABLE ? &image->unwind_damaged
							  : &image->damaged;
	s->stats.damaged += count;
	if (!text[0] || (told && *told) || is_known(s->damaged, id, text))
		return;
	if (told)
		*told = true;
	quarantine_add(s->damaged, id, names[what], text);
	say(s, id, text);
}

int client_setup(struct symbolizer *s, const struct symbolizer_config *config,
		 struct symbolizer *first, struct error *error)
{
	s->config = *config;
	if (!s->config.images_max)
		s->config.images_max = 1;
	s->is_slow = first;
	s->quarantine = first ? first->quarantine : calloc(1, sizeof(*s->quarantine));
	s->damaged = first ? first->damaged : calloc(1, sizeof(*s->damaged));
	if (!s->quarantine || !s->damaged)
		return error_set(error, -ENOMEM, "out of memory for the symbolizer");
	return link_init(s, !first, error);
}

int symbolizer_create(const struct symbolizer_config *config, struct error *error,
		      struct symbolizer **ret)
{
	struct symbolizer *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return error_set(error, -ENOMEM, "out of memory for the symbolizer");
	r = client_setup(s, config, NULL, error);
	if (r < 0) {
		free(s->quarantine);
		free(s->damaged);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static void queue_free(struct op_queue *queue)
{
	struct op *op;

	while ((op = queue_pop(queue)))
		op_free(op);
}

void client_teardown(struct symbolizer *s)
{
	uint64_t key, value;
	size_t at = 0;

	link_deinit(s);
	queue_free(&s->queue);
	queue_free(&s->tables);
	queue_free(&s->aside);
	queue_free(&s->failed);
	op_free(s->current);
	while (hashmap_next(&s->images, &at, &key, &value))
		image_free(s, (struct image *)(uintptr_t)value);
	hashmap_deinit(&s->images);
	hashmap_deinit(&s->slow_maps);
	if (!s->is_slow) {
		free(s->quarantine);
		free(s->damaged);
	}
	free(s);
}

void symbolizer_destroy(struct symbolizer *s)
{
	if (!s)
		return;
	if (s->slow)
		client_teardown(s->slow);
	client_teardown(s);
}

int symbolizer_fd(const struct symbolizer *s)
{
	return s->epoll;
}

/* The descriptor is the client's own epoll, which outlives all workers. */
void symbolizer_on_fd_change(struct symbolizer *s, void (*changed)(void *context, int fd),
			     void *context)
{
	(void)s;
	(void)changed;
	(void)context;
}

void symbolizer_dispatch(struct symbolizer *s)
{
	if (s->in_dispatch) /* from inside a callback: what is new is seen later */
		return;
	s->in_dispatch = true;
	link_run(s);
	client_deliver(s);
	if (s->slow) {
		link_run(s->slow);
		client_deliver(s->slow);
	}
	s->in_dispatch = false;
}

void symbolizer_tick(struct symbolizer *s)
{
	symbolizer_dispatch(s);
}

size_t symbolizer_pending(const struct symbolizer *s)
{
	return s->queue.count + s->tables.count + s->aside.count + s->failed.count +
	       (s->current ? 1 : 0) + (s->slow ? symbolizer_pending(s->slow) : 0);
}

static uint32_t left(const struct symbolizer *s)
{
	uint32_t count = 0;

	for (size_t i = 0; i < CLIENT_LEFT_MAX; i++)
		count += s->left[i] != 0;
	return count;
}

void symbolizer_get_stats(const struct symbolizer *s, struct symbolizer_stats *ret)
{
	const struct symbolizer_stats *more = s->slow ? &s->slow->stats : NULL;

	*ret = s->stats;
	ret->pid = s->process.pid;
	ret->abandoned = left(s);
	if (!more)
		return;
	ret->restarts += more->restarts;
	ret->quarantined += more->quarantined;
	ret->images += more->images;
	ret->debug_files += more->debug_files;
	ret->debug_refused += more->debug_refused;
	ret->parts += more->parts;
	ret->parts_absent += more->parts_absent;
	ret->parts_refused += more->parts_refused;
	ret->damaged += more->damaged;
	ret->requests += more->requests;
	ret->answers += more->answers;
	ret->failures += more->failures;
	ret->addresses += more->addresses;
	ret->named += more->named;
	ret->slow_pid = s->slow->process.pid;
	ret->slow_images = (uint32_t)s->slow->images.count;
	ret->abandoned += left(s->slow);
}

struct quarantine *symbolizer_quarantine(struct symbolizer *s)
{
	return s->quarantine;
}

const struct quarantine *symbolizer_damaged(const struct symbolizer *s)
{
	return s->damaged;
}

bool symbolizer_kernel_restricted(const struct symbolizer *s)
{
	return s->kernel_restricted;
}

/* The most urgent, of those the first. */
static struct op *pop_table(struct op_queue *queue)
{
	struct op *before = NULL, *best_before = NULL, *best = queue->first;

	for (struct op *op = queue->first; op; before = op, op = op->next) {
		if (op->urgency > best->urgency) {
			best = op;
			best_before = before;
		}
	}
	if (!best_before)
		return queue_pop(queue);
	best_before->next = best->next;
	if (queue->last == best)
		queue->last = best_before;
	queue->count--;
	return best;
}

bool client_next(struct symbolizer *s)
{
	bool table =
		s->tables.count && (!s->queue.count || s->overtaken >= SYMBOLIZER_OVERTAKEN_MAX);

	s->current = table ? pop_table(&s->tables) : queue_pop(&s->queue);
	s->overtaken = table || !s->tables.count ? 0 : s->overtaken + 1;
	s->step_began = 0;
	return s->current;
}

int client_submit(struct symbolizer *s, const struct op *template, const uint64_t *addresses)
{
	struct op *op;

	if (template->count > WIRE_ADDRESSES_MAX)
		return -E2BIG;
	if (symbolizer_pending(s) >= SYMBOLIZER_PENDING_MAX)
		return -EAGAIN;
	op = malloc(sizeof(*op));
	if (!op)
		return -ENOMEM;
	*op = *template;
	op->asked = clock_boot_ns();
	if (op->count) {
		op->addresses = malloc(op->count * sizeof(*addresses));
		if (!op->addresses) {
			free(op);
			return -ENOMEM;
		}
		memcpy(op->addresses, addresses, op->count * sizeof(*addresses));
	}
	s->stats.requests++;
	/* These take a millisecond, and their process runs on. */
	if (op->kind == WIRE_JVM || op->kind == WIRE_LIBC)
		queue_push_front(&s->queue, op);
	else
		queue_push(op->kind == WIRE_UNWIND ? &s->tables : &s->queue, op);
	link_wake(s);
	return 0;
}

/* Descriptors are scarce: the files not asked for longest are let go of. */
static void limit_descriptors(struct symbolizer *s)
{
	uint64_t max = (uint64_t)s->config.images_max * DESCRIPTORS_PER_IMAGE;

	while (s->stats.images >= max) {
		struct error gone = {.code = -ESTALE,
				     .text = "the file was let go of: more files are in use than "
					     "worker-images-max provides for"};
		struct image *least = NULL;
		uint64_t key, value;
		size_t at = 0;

		while (hashmap_next(&s->images, &at, &key, &value)) {
			struct image *image = (struct image *)(uintptr_t)value;

			if (image->fd >= 0 && (!least || image->used < least->used))
				least = image;
		}
		if (!least)
			return;
		client_image_fail(s, least, &gone);
	}
}

int symbolizer_add_image(struct symbolizer *s, uint32_t image, int fd, symbolizer_image_fn *done,
			 void *context)
{
	struct op op = {.kind = WIRE_IMAGE_OPEN, .image = image, .fd = -1, .context = context};
	_cleanup_close_ int owned = fd;
	struct image *entry;
	int r;

	if (!image || fd < 0)
		return -EINVAL;
	if (client_image(slow_owner(s, image), image))
		return -EEXIST;
	limit_descriptors(s);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->id = image;
	entry->fd = -1;
	entry->debug_fd = -1;
	entry->used = ++s->uses;
	r = hashmap_put(&s->images, image, (uintptr_t)entry);
	if (r < 0) {
		image_free(s, entry);
		return r;
	}
	op.done.image = done;
	r = client_submit(s, &op, NULL);
	if (r < 0) {
		hashmap_remove(&s->images, image);
		image_free(s, entry);
		return r;
	}
	entry->fd = TAKE_FD(owned);
	s->stats.images++;
	return 0;
}

void symbolizer_drop_image(struct symbolizer *symbolizer, uint32_t image)
{
	struct op op = {.kind = WIRE_IMAGE_DROP, .image = image, .fd = -1};
	struct symbolizer *s = slow_owner(symbolizer, image);
	struct image *entry = client_image(s, image);

	if (!entry)
		return;
	hashmap_remove(&s->images, image);
	client_parts_drop(s, entry); /* who waits is told that it was dropped */
	if (entry->fd >= 0)
		s->stats.images--;
	/* If it cannot be told, the worker lets go of it when it needs the room. */
	if (entry->held && client_submit(s, &op, NULL) < 0)
		log_debug("symbolizer: image %u stays in the worker for a while", image);
	image_free(s, entry);
}

int symbolizer_add_debug(struct symbolizer *symbolizer, uint32_t image, int fd)
{
	struct symbolizer *s = slow_owner(symbolizer, image);
	struct image *entry = client_image(s, image);
	_cleanup_close_ int owned = fd;

	if (fd < 0)
		return -EINVAL;
	if (!entry)
		return -ENOENT;
	if (entry->failure)
		return entry->failure;
	if (entry->debug_fd >= 0)
		return -EEXIST;
	entry->debug_fd = TAKE_FD(owned);
	entry->debug_held = false;
	s->stats.debug_files++;
	return 0;
}

int symbolizer_names(struct symbolizer *s, uint32_t image, const uint64_t *offsets, size_t count,
		     symbolizer_names_fn *done, void *context)
{
	struct op op = {.kind = WIRE_IMAGE_NAMES,
			.image = image,
			.count = count,
			.fd = -1,
			.done.names = done,
			.context = context};
	struct image *entry;

	s = slow_owner(s, image);
	entry = client_image(s, image);
	if (!entry)
		return -ENOENT;
	entry->used = ++s->uses;
	return client_submit(s, &op, offsets);
}

int symbolizer_jit_names(struct symbolizer *s, uint32_t map, int fd, const uint64_t *addresses,
			 size_t count, symbolizer_names_fn *done, void *context)
{
	struct op op = {.kind = WIRE_JIT_NAMES,
			.image = map,
			.count = count,
			.fd = fd,
			.done.names = done,
			.context = context};
	int r;

	if (fd < 0)
		return -EINVAL;
	r = client_submit(slow_owner(s, map), &op, addresses);
	if (r < 0)
		close(fd);
	return r;
}

int symbolizer_kernel_names(struct symbolizer *s, const uint64_t *addresses, size_t count,
			    symbolizer_names_fn *done, void *context)
{
	struct op op = {.kind = WIRE_KERNEL_NAMES,
			.count = count,
			.fd = -1,
			.done.names = done,
			.context = context};

	return client_submit(s, &op, addresses);
}

void symbolizer_kernel_changed(struct symbolizer *s, uint64_t time)
{
	s->kernel_told = true;
	if (time > s->kernel_changed_at)
		s->kernel_changed_at = time;
}

int symbolizer_preload_kernel(struct symbolizer *s)
{
	return symbolizer_kernel_names(s, NULL, 0, NULL, NULL);
}

int symbolizer_maps(struct symbolizer *s, int fd, symbolizer_maps_fn *done, void *context)
{
	struct op op = {.kind = WIRE_MAPS, .fd = fd, .done.maps = done, .context = context};
	int r;

	if (fd < 0)
		return -EINVAL;
	r = client_submit(s, &op, NULL);
	if (r < 0)
		close(fd);
	return r;
}

int symbolizer_unwind(struct symbolizer *s, uint32_t image, uint32_t urgency,
		      symbolizer_unwind_fn *done, void *context)
{
	struct op op = {.kind = WIRE_UNWIND,
			.image = image,
			.urgency = urgency,
			.fd = -1,
			.done.unwind = done,
			.context = context};
	struct image *entry;

	s = slow_owner(s, image);
	entry = client_image(s, image);
	if (!entry)
		return -ENOENT;
	entry->used = ++s->uses;
	return client_submit(s, &op, NULL);
}

void symbolizer_hurry(struct symbolizer *s, uint32_t image, uint32_t urgency)
{
	s = slow_owner(s, image);
	for (struct op *op = s->tables.first; op; op = op->next)
		if (op->image == image && op->urgency < urgency)
			op->urgency = urgency;
}

int symbolizer_probes(struct symbolizer *s, uint32_t image, symbolizer_probes_fn *done,
		      void *context)
{
	struct op op = {.kind = WIRE_PROBES,
			.image = image,
			.fd = -1,
			.done.probes = done,
			.context = context};
	struct image *entry;

	s = slow_owner(s, image);
	entry = client_image(s, image);
	if (!entry)
		return -ENOENT;
	entry->used = ++s->uses;
	return client_submit(s, &op, NULL);
}
