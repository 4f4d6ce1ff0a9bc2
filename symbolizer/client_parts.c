/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The client's half of an image's further files of debug information: the worker
 * tells which it lacks for the addresses of a request, the client's owner looks
 * for them, and they are handed over, or that they are not to be had. A request
 * whose files are being looked for stands aside meanwhile.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/log.h"
#include "symbolizer/client_private.h"

/* Files are asked for a handful at a time; a request that needs more than so many
 * times that has the rest of its names from what is there. */
#define ROUNDS_MAX 256

void client_parts_forget(struct image *image)
{
	for (size_t i = 0; i < image->parts.count; i++) {
		if (image->parts.items[i].fd >= 0)
			close(image->parts.items[i].fd);
	}
	vec_free(&image->parts);
}

static bool is_awaited(const struct image *image)
{
	for (size_t i = 0; i < image->parts.count; i++) {
		if (image->parts.items[i].awaited)
			return true;
	}
	return false;
}

/* Requests that stood aside for an image go first, for they came first. */
static void resume(struct symbolizer *s, uint32_t image)
{
	struct op_queue still = {0};
	struct op *op;

	while ((op = queue_pop(&s->aside))) {
		if (op->image == image)
			queue_push_front(&s->queue, op);
		else
			queue_push(&still, op);
	}
	s->aside = still;
	link_wake(s);
}

void client_parts_drop(struct symbolizer *s, struct image *image)
{
	client_parts_forget(image);
	resume(s, image->id);
}

int symbolizer_add_part(struct symbolizer *symbolizer, uint32_t id, uint32_t number, int fd)
{
	struct symbolizer *s = slow_owner(symbolizer, id);
	struct image *image = client_image(s, id);
	_cleanup_close_ int owned = fd;

	for (size_t i = 0; image && i < image->parts.count; i++) {
		struct image_part *part = &image->parts.items[i];

		if (part->number != number || !part->awaited)
			continue;
		part->awaited = false;
		part->fd = TAKE_FD(owned);
		if (!is_awaited(image))
			resume(s, id);
		return 0;
	}
	return -ENOENT;
}

/* The owner answers at once, or later. */
static void look_for(struct symbolizer *s, struct image *image, struct wire_parts *wanted)
{
	uint32_t id = image->id;
	struct stat st = {0};

	/* In a parcel nobody sees whose it is: then the owner of this client says. */
	if (fstat(image->fd, &st) < 0 || !S_ISREG(st.st_mode))
		st.st_uid = UINT32_MAX;
	for (uint32_t i = 0; i < wanted->count; i++) {
		struct image_part part = {.number = wanted->parts[i].number,
					  .fd = -1,
					  .awaited = s->config.find_part};

		if (vec_push(&image->parts, part) < 0) {
			wanted->count = i; /* the rest is asked for again */
			break;
		}
	}
	for (uint32_t i = 0; i < wanted->count && s->config.find_part; i++) {
		wanted->parts[i].owner = st.st_uid;
		s->config.find_part(s->config.part_context, id, &wanted->parts[i]);
		if (client_image(s, id) != image) /* dropped by the callback */
			return;
	}
}

void client_parts_wanted(struct symbolizer *s, struct op *op, struct wire_parts *wanted)
{
	struct image *image = client_image(s, op->image);

	if (!image) /* the next step says so */
		return;
	if (!wanted->count || ++op->part_rounds >= ROUNDS_MAX) {
		op->parts_settled = true;
		return;
	}
	look_for(s, image, wanted);
	image = client_image(s, op->image);
	if (!image || !is_awaited(image))
		return;
	image->parts_deadline = clock_boot_ns() + SYMBOLIZER_PART_SECONDS * NSEC_PER_SEC;
	queue_push(&s->aside, TAKE_PTR(s->current));
}

/* One was handed over, or not: *error is 0 or why it was refused. */
void client_part_done(struct symbolizer *s, struct image *image, const struct error *error)
{
	struct image_part part;

	if (!image->parts.count)
		return;
	part = image->parts.items[--image->parts.count];
	if (part.fd < 0) {
		s->stats.parts_absent++;
	} else if (error->code) {
		s->stats.parts_refused++;
		client_damaged(s, image->id, CLIENT_DAMAGE_PART, 1, error->text);
	} else {
		s->stats.parts++;
	}
	if (part.fd >= 0)
		close(part.fd);
}

void client_parts_fail(struct symbolizer *s, struct image *image, const struct error *error)
{
	log_warning("symbolizer: image %u does without further files of debug information: %s",
		    image->id, error->text);
	s->stats.parts_refused++;
	quarantine_add(s->quarantine, image->id, "further debug files", error->text);
	image->has_parts = false;
	image->parts_refused = true;
	client_parts_drop(s, image);
}

void client_parts_expire(struct symbolizer *s, uint64_t now)
{
	for (struct op *op = s->aside.first; op; op = op->next) {
		struct image *image = client_image(s, op->image);

		if (image && now < image->parts_deadline)
			continue;
		for (size_t i = 0; image && i < image->parts.count; i++)
			image->parts.items[i].awaited = false;
		resume(s, op->image);
		return; /* the others next time */
	}
}
