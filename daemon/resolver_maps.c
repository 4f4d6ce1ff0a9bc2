/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The resolver's part that is about mappings: those that are told, those that walks met, and those
 * that are read from /proc.
 */
#include "daemon/resolver_internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#define MAPS_UNDER_WAY_MAX 8u

void resolver_map_image(struct resolver *resolver, struct process *process,
			const struct abi_mmap *mmap, uint32_t id, bool fill)
{
	struct mapping mapping = {.start = mmap->start,
				  .end = mmap->start + mmap->length,
				  .offset = mmap->offset,
				  .image = id};
	struct image *image = image_table_get(resolver->images, id);

	mapping.memory = image && image->anonymous;
	if (image && image_table_wants_use(image, clock_boot_ns())) {
		image->use = (struct image_use){process->pid, mapping.start, mapping.end};
		resolver_open(resolver, image);
	}
	if (image && resolver->jit.images)
		jit_code_mapped(&resolver->jit, process, image);
	/* A vDSO's mapping has no file offset. */
	if (image && image->vdso)
		mapping.offset = 0;
	if (mapping_set_own(&process->maps))
		return;
	if (fill)
		mapping_set_fill(process->maps, &mapping);
	else
		mapping_set_insert(process->maps, &mapping);
}

uint32_t resolver_map(struct resolver *resolver, struct process *process,
		      const struct abi_mmap *mmap, bool fill)
{
	uint32_t image;

	if (!mmap->length || mmap->start + mmap->length < mmap->start)
		return IMAGE_NONE;
	image = image_table_map(resolver->images, mmap);
	resolver_map_image(resolver, process, mmap, image, fill);
	return image;
}

/* Read again and again while mappings are not told: the same file is to stay the same image, though
 * it may have lost its name. */
static bool is_known(const struct resolver *resolver, const struct process *process,
		     const struct symbolizer_mapping *from)
{
	const struct mapping *mapping = mapping_set_find(process->maps, from->start);
	const struct image *image =
		mapping ? image_table_get(resolver->images, mapping->image) : NULL;

	return resolver->blind && image && mapping->start == from->start &&
	       mapping->end == from->start + from->length && mapping->offset == from->offset &&
	       from->inode && image->inode == from->inode && image->dev_major == from->dev_major &&
	       image->dev_minor == from->dev_minor;
}

/* One line of /proc/PID/maps in the shape of an event. */
static void map_from_proc(struct resolver *resolver, struct process *process,
			  const struct symbolizer_mapping *from)
{
	union {
		struct abi_mmap mmap;
		uint8_t bytes[sizeof(struct abi_mmap) + ABI_PATH_MAX + 8];
	} out = {0};
	struct abi_mmap *mmap = &out.mmap;
	size_t n = strnlen(from->path, ABI_PATH_MAX - 1);

	if (is_known(resolver, process, from))
		return;
	mmap->hdr.type = ABI_MMAP;
	mmap->hdr.size = (uint16_t)((sizeof(*mmap) + n + 1 + 7) & ~(size_t)7);
	mmap->hdr.time = clock_boot_ns();
	mmap->pid = mmap->tid = process->pid;
	mmap->start = from->start;
	mmap->length = from->length;
	mmap->offset = from->offset;
	mmap->inode = from->inode;
	mmap->dev_major = from->dev_major;
	mmap->dev_minor = from->dev_minor;
	memcpy(mmap->path, from->path, n);
	resolver_map(resolver, process, mmap, !resolver->blind);
	if (resolver->on_mmap)
		resolver->on_mmap(resolver->context, mmap);
}

static void mapped(struct resolver *resolver, struct process *process)
{
	process->maps_state = MAPS_KNOWN;
	stack_table_mapped(resolver->stacks, process);
	if (resolver->on_mapped)
		resolver->on_mapped(resolver->context, process);
}

/* Children that were forked while their parent's mappings were being read. One that was there
 * before perfd may have executed another program since, and is asked for its own. */
static void inherit(struct resolver *resolver, const struct process *parent)
{
	uint64_t key, value;

	for (size_t at = 0; hashmap_next(&resolver->processes->alive, &at, &key, &value);) {
		struct process *child = (struct process *)(uintptr_t)value;

		if (child->ppid != parent->pid || child->maps_state == MAPS_KNOWN ||
		    !child->inherits)
			continue;
		if (!child->maps)
			child->maps = mapping_set_ref(parent->maps);
		mapped(resolver, child);
	}
}

/* What is known is believed more than what is read, while all mappings are told; while they are
 * not, less, so that what a walk met meanwhile must not be overwritten. */
static bool is_outdated(const struct resolver_request *request)
{
	return request->view != request->resolver->view ||
	       request->turn != request->process->maps_turn ||
	       (request->resolver->blind && request->finds != request->process->finds &&
		!request->process->end);
}

static void on_maps(void *context, int error, const char *text,
		    const struct symbolizer_mapping *mappings, size_t count)
{
	struct resolver_request *request = context;
	struct resolver *resolver = request->resolver;
	struct process *process = request->process;

	resolver->maps_under_way--;
	if (error)
		log_debug("mappings of pid %u: %s", process->pid, text ? text : strerror(-error));
	/* An exec meanwhile has told its own. */
	if (is_outdated(request)) {
		/* (Not if they have been asked for once more since.) */
		if (request->turn == process->maps_turn && process->maps_state == MAPS_ASKED)
			process->maps_state = MAPS_UNKNOWN;
		resolver_want_maps(resolver, process, true);
	} else if (process->maps_state == MAPS_ASKED) {
		for (size_t i = 0; !error && i < count; i++)
			if (mappings[i].executable)
				map_from_proc(resolver, process, &mappings[i]);
		mapped(resolver, process);
		inherit(resolver, process);
	}
	resolver_request_destroy(request);
}

static void on_maps_file(void *context, int error, const char *text, struct opener_file *file)
{
	struct resolver_request *request = context;
	struct resolver *resolver = request->resolver;

	/* It is gone: nothing more to learn. */
	if (error || symbolizer_maps(resolver->symbolizer, TAKE_FD(file->fd), on_maps, request))
		on_maps(request, error ? error : -EAGAIN, error ? text : "not asked", NULL, 0);
}

/* Where events were lost there are thousands of whom a stack tells when they have long ended:
 * whatever else is to be opened would wait until each of them was found gone. */
static bool is_gone(const struct process *process)
{
	return process->end || (kill((pid_t)process->pid, 0) && errno == ESRCH);
}

static void ask_maps(struct resolver *resolver, struct process *process)
{
	struct opener_request wanted = {.kind = OPENER_MAPS, .pid = (pid_t)process->pid};
	struct resolver_request *request;

	if (process->maps_state != MAPS_UNKNOWN)
		return;
	request = is_gone(process) ? NULL : resolver_request_create(resolver, 0);
	if (!request) {
		mapped(resolver, process);
		return;
	}
	request->process = process_ref(process);
	request->view = resolver->view;
	request->finds = process->finds;
	request->turn = ++process->maps_turn;
	process->maps_state = MAPS_ASKED;
	resolver->maps_under_way++;
	if (openers_open(resolver->openers, &wanted, on_maps_file, request))
		on_maps(request, -EAGAIN, "not asked", NULL, 0);
}

void resolver_want_maps(struct resolver *resolver, struct process *process, bool now)
{
	if (process->maps_state != MAPS_UNKNOWN || process->kernel)
		return;
	if (now) {
		ask_maps(resolver, process);
		return;
	}
	if (!vec_push(&resolver->unmapped, process))
		process_ref(process);
}

/* First in, first out: those that begin all the time do not keep an older one waiting. */
static struct process *take_unmapped(struct resolver *resolver)
{
	struct process **items = resolver->unmapped.items;
	size_t done = resolver->next_unmapped + 1, left = resolver->unmapped.count - done;
	struct process *process = items[resolver->next_unmapped];

	resolver->next_unmapped = done;
	if (done < left)
		return process;
	memmove(items, items + done, left * sizeof(*items));
	resolver->unmapped.count = left;
	resolver->next_unmapped = 0;
	return process;
}

void resolver_flush_maps(struct resolver *resolver)
{
	while (resolver->next_unmapped < resolver->unmapped.count &&
	       resolver->maps_under_way < MAPS_UNDER_WAY_MAX) {
		struct process *process = take_unmapped(resolver);

		ask_maps(resolver, process);
		process_unref(process);
	}
}
