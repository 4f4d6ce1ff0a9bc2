/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How requests end: their callbacks, and what is counted.
 */
#include "daemon/base/cleanup.h"
#include "symbolizer/client_private.h"

static void call_failed(struct symbolizer *s, const struct op *op, const struct error *error)
{
	s->stats.answers++;
	s->stats.failures++;
	switch (op->kind) {
	case WIRE_IMAGE_OPEN:
		if (op->done.image)
			op->done.image(op->context, error->code, error->text, NULL);
		break;
	case WIRE_IMAGE_NAMES:
	case WIRE_KERNEL_NAMES:
	case WIRE_JIT_NAMES:
		if (op->done.names)
			op->done.names(op->context, error->code, error->text, NULL, 0);
		break;
	case WIRE_MAPS:
		if (op->done.maps)
			op->done.maps(op->context, error->code, error->text, NULL, 0);
		break;
	case WIRE_UNWIND:
		if (op->done.unwind)
			op->done.unwind(op->context, error->code, error->text, NULL, 0);
		break;
	case WIRE_PROBES:
		if (op->done.probes)
			op->done.probes(op->context, error->code, error->text, NULL);
		break;
	case WIRE_JVM:
		if (op->done.jvm)
			op->done.jvm(op->context, error->code, error->text, NULL);
		break;
	case WIRE_LIBC:
		if (op->done.libc)
			op->done.libc(op->context, error->code, error->text, NULL);
		break;
	default:
		break;
	}
}

void client_finish_failed(struct symbolizer *s, const struct error *error)
{
	struct op *op = TAKE_PTR(s->current);

	call_failed(s, op, error);
	op_free(op);
}

void client_finish_image(struct symbolizer *s, const struct symbolizer_image *image)
{
	struct op *op = TAKE_PTR(s->current);

	s->stats.answers++;
	if (op->done.image)
		op->done.image(op->context, 0, "", image);
	op_free(op);
}

void client_finish_names(struct symbolizer *s, const struct wire_names *names)
{
	struct op *op = TAKE_PTR(s->current);

	s->stats.answers++;
	s->stats.addresses += names->names.count;
	for (size_t i = 0; i < names->names.count; i++)
		s->stats.named += names->names.items[i].frame_count ? 1 : 0;
	if (op->done.names)
		op->done.names(op->context, 0, "", names->names.items, names->names.count);
	op_free(op);
}

void client_finish_maps(struct symbolizer *s, const struct wire_mappings *mappings)
{
	struct op *op = TAKE_PTR(s->current);

	s->stats.answers++;
	if (op->done.maps)
		op->done.maps(op->context, 0, "", mappings->mappings.items,
			      mappings->mappings.count);
	op_free(op);
}

void client_finish_unwind(struct symbolizer *s, const void *table, size_t size)
{
	struct op *op = TAKE_PTR(s->current);

	s->stats.answers++;
	if (op->done.unwind)
		op->done.unwind(op->context, 0, "", table, size);
	op_free(op);
}

void client_finish_probes(struct symbolizer *s, const struct probe_points *points)
{
	struct op *op = TAKE_PTR(s->current);

	s->stats.answers++;
	if (op->done.probes)
		op->done.probes(op->context, 0, "", points);
	op_free(op);
}

void client_finish_plain(struct symbolizer *s)
{
	s->stats.answers++;
	op_free(TAKE_PTR(s->current));
}

void client_later(struct symbolizer *s)
{
	queue_push(&s->queue, TAKE_PTR(s->current));
}

void client_fail_all(struct symbolizer *s, const struct error *error)
{
	struct op *op;

	while ((op = queue_pop(&s->queue)) || (op = queue_pop(&s->tables)) ||
	       (op = queue_pop(&s->aside))) {
		op->failure = *error;
		queue_push(&s->failed, op);
	}
}

/* Callbacks may ask anew, and what they ask may fail at once: only those that
 * were owed at the beginning are called, so that this ends. */
void client_deliver(struct symbolizer *s)
{
	for (size_t owed = s->failed.count; owed; owed--) {
		struct op *op = queue_pop(&s->failed);

		call_failed(s, op, &op->failure);
		op_free(op);
	}
	if (s->failed.count)
		link_wake(s);
}
