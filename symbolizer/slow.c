/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The second link, for what is slow. A file that takes long is either large, and will
 * take long again in every new worker, or bad. Both go to a worker of their own, for
 * good, so that the others need not wait. If there is no such worker yet, the one that
 * is at it becomes it: what it has read so far is not lost, and the others, whose files
 * must be read again by a new one, are small.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/log.h"
#include "symbolizer/client_private.h"

#define SLOW_MAPS_MAX 256 /* more lists of compilers are not remembered as slow */

struct symbolizer *slow_owner(struct symbolizer *s, uint32_t id)
{
	if (s->slow && (client_image(s->slow, id) || hashmap_get(&s->slow->slow_maps, id)))
		return s->slow;
	return s;
}

/* The kernel's symbols are nobody else's to wait for, and cannot be another link's. */
static bool may_move(const struct op *op)
{
	return op && op->kind != WIRE_KERNEL_NAMES && op->kind != WIRE_IMAGE_DROP;
}

uint64_t slow_when(const struct symbolizer *s)
{
	if (s->is_slow || s->state != LINK_READY || !s->step_deadline || !may_move(s->current) ||
	    !(s->queue.count || s->tables.count))
		return 0;
	return s->step_began + SYMBOLIZER_LATE_NS;
}

static struct symbolizer *slow_link(struct symbolizer *s)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct error error = {0};

	if (s->slow)
		return s->slow;
	s->slow = calloc(1, sizeof(*s->slow));
	if (s->slow && client_setup(s->slow, &s->config, s, &error) < 0) {
		free(s->slow);
		s->slow = NULL;
	}
	if (!s->slow)
		return NULL;
	event.data.fd = s->slow->epoll;
	epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->slow->epoll, &event);
	return s->slow;
}

/* The file, or the list, is the slow link's from now on. */
static int move_image(struct symbolizer *s, struct symbolizer *slow, const struct op *op)
{
	struct image *image = client_image(s, op->image);

	if (!image) {
		if (op->kind == WIRE_JIT_NAMES && slow->slow_maps.count < SLOW_MAPS_MAX)
			hashmap_put(&slow->slow_maps, op->image, 1);
		return 0;
	}
	if (hashmap_put(&slow->images, image->id, (uintptr_t)image) < 0)
		return -ENOMEM;
	hashmap_remove(&s->images, image->id);
	s->stats.images -= image->fd >= 0;
	slow->stats.images += image->fd >= 0;
	s->stats.debug_files -= image->debug_fd >= 0;
	slow->stats.debug_files += image->debug_fd >= 0;
	return 0;
}

/* Those that wait for the same file go with it. */
static void move_waiting(struct op_queue *from, struct op_queue *to, uint32_t id)
{
	for (size_t count = from->count; count; count--) {
		struct op *op = queue_pop(from);

		queue_push(id && op->image == id ? to : from, op);
	}
}

/* The worker, and all that is known of it. */
static void move_worker(struct symbolizer *s, struct symbolizer *slow)
{
	uint64_t key, value;
	size_t at = 0;

	link_unwatch(s);
	slow->state = s->state;
	slow->process = s->process;
	slow->out = s->out;
	slow->sending = s->sending;
	slow->step = s->step;
	slow->step_id = s->step_id;
	slow->step_deadline = s->step_deadline;
	slow->step_sent = s->step_sent;
	slow->step_cpu = s->step_cpu;
	slow->step_began = s->step_began;
	slow->warned = true;
	/* out points to the request's bytes, and in may hold the half of an answer. */
	strbuf_deinit(&slow->request);
	slow->request = s->request;
	s->request = (struct strbuf){0};
	channel_in_deinit(&slow->in);
	slow->in = s->in;
	channel_in_init(&s->in);
	link_watch(slow);
	while (hashmap_next(&s->images, &at, &key, &value))
		((struct image *)(uintptr_t)value)->held = false;
}

void slow_take(struct symbolizer *s)
{
	struct symbolizer *slow = slow_link(s);
	struct op *op = s->current;
	struct image *image = client_image(s, op->image);

	if (!slow || move_image(s, slow, op) < 0)
		return;
	log_debug("symbolizer: image %u is slow", op->image);
	move_waiting(&s->queue, &slow->queue, op->image);
	move_waiting(&s->tables, &slow->tables, op->image);
	move_waiting(&s->aside, &slow->aside, op->image);
	s->current = NULL;
	if (slow->state == LINK_DOWN && !slow->process.pid && !slow->current) {
		move_worker(s, slow);
		slow->current = op;
		link_renew(s);
	} else {
		if (image)
			image->held = false;
		queue_push(&slow->queue, op);
		link_end(s);
		link_wake(slow);
	}
}
