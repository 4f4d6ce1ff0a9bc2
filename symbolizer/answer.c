/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The client's reading of its worker's answers: foreign bytes, for the worker
 * may have been taken over by a file. What is damaged ends the worker.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "symbolizer/client_private.h"
#include "symbolizer/damage.h"
#include "symbolizer/hotspot.h"
#include "symbolizer/libc_functions.h"
#include "symbolizer/probe_points.h"
#include "symbolizer/unwind_table.h"

#define HANDED_MAX 3
#define JIT_TURNS_MAX 256 /* a compiler's list is read piece by piece */
#define BPF_PATIENCE_FIRST_NS (250 * NSEC_PER_MSEC)
#define BPF_PATIENCE_MAX_NS (2 * NSEC_PER_SEC)
#define BPF_CALM_NS (60 * NSEC_PER_SEC)
#define PATIENCE_MAX_NS (600 * NSEC_PER_SEC)

/* A sentence that the worker told, made fit for a log. */
static void make_printable(struct error *error, const char *text, size_t length)
{
	snprintf(error->text, sizeof(error->text), "%.*s", (int)length, text);
	for (char *c = error->text; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
}

/* An error that it told. */
static void told_error(const struct channel_in *in, struct error *error)
{
	error->code = in->header.error < 0 && in->header.error > -4096 ? in->header.error : -EPROTO;
	make_printable(error, strbuf_text(&in->payload), in->payload.length);
}

/* What comes first in an answer about a file. Gives what comes behind it; NULL: it is
 * damaged, and the worker gone. */
static char *take_damage(struct symbolizer *s, const struct op *op, enum client_damage what,
			 size_t *ret_size)
{
	char *payload = s->in.payload.data;
	struct error error = {0};
	struct reader reader;
	const char *text;
	uint32_t count;
	size_t length;

	reader_init(&reader, payload, s->in.payload.length);
	count = reader_u32(&reader);
	text = reader_bytes(&reader, DAMAGE_TEXT_MAX, &length);
	if (!reader_ok(&reader)) {
		link_lost(s, true, "a damaged answer");
		return NULL;
	}
	make_printable(&error, text, length);
	client_damaged(s, op->image, what, count, error.text);
	*ret_size = reader_left(&reader);
	return payload + reader.at;
}

static void on_image(struct symbolizer *s, struct op *op)
{
	struct image *image = client_image(s, op->image);
	struct symbolizer_image info = {0};
	struct error error = {0};
	size_t size;
	char *payload;

	if (!image) { /* dropped meanwhile, by a callback */
		error_set(&error, -ENOENT, "the file was dropped");
		client_finish_failed(s, &error);
		return;
	}
	if (s->in.header.error) {
		told_error(&s->in, &error);
		if (error.code == -EINVAL)
			client_damaged(s, op->image, CLIENT_DAMAGE_FILE, 1, error.text);
		client_image_fail(s, image, &error);
		client_finish_failed(s, &error);
		return;
	}
	payload = take_damage(s, op, CLIENT_DAMAGE_FILE, &size);
	if (!payload)
		return;
	if (wire_get_image(payload, size, &error, &info) < 0) {
		link_lost(s, true, error.text);
		return;
	}
	image->held = true;
	image->debug_held = false;
	image->has_parts = info.has_parts && !image->parts_refused;
	if (op->kind == WIRE_IMAGE_OPEN)
		client_finish_image(s, &info);
}

static void on_kernel_loaded(struct symbolizer *s)
{
	struct error error = {0};
	struct reader reader;

	s->kernel_loaded_at = clock_boot_ns();
	if (s->in.header.error) {
		told_error(&s->in, &error);
		error_prefix(&error, "/proc/kallsyms");
		client_finish_failed(s, &error);
		return;
	}
	reader_init(&reader, s->in.payload.data, s->in.payload.length);
	s->kernel_restricted = reader_u8(&reader) != 0;
	reader_u32(&reader);
	if (!reader_ok(&reader)) {
		link_lost(s, true, "a damaged answer");
		return;
	}
	s->kernel_held = true;
}

static size_t nameless(const struct wire_names *names)
{
	size_t count = 0;

	for (size_t i = 0; i < names->names.count; i++)
		count += names->names.items[i].frame_count == 0;
	return count;
}

/* BPF programs come and go, next to each other and in each other's place, and the list
 * tells where they begin only: one that came after it was read has its neighbour's name.
 * So a list that is older than the question is not believed about them, if it is not
 * quite new, unless it is known that none came since. */
static bool bpf_wants_refresh(struct symbolizer *s, const struct op *op,
			      const struct wire_names *names)
{
	uint64_t age = clock_boot_ns() - s->kernel_loaded_at;
	bool any = false;

	for (size_t i = 0; i < names->names.count && !any; i++) {
		const struct symbolizer_name *name = &names->names.items[i];

		any = name->frame_count && !strcmp(name->frames[0].module, "bpf");
	}
	if (s->kernel_told && s->kernel_opened_at > s->kernel_changed_at)
		return false;
	if (!any || op->refreshed || s->kernel_loaded_at >= op->asked || age < s->bpf_patience)
		return false;
	/* Ever longer while such questions follow each other closely. */
	s->bpf_patience = age > BPF_CALM_NS ? BPF_PATIENCE_FIRST_NS : 2 * s->bpf_patience;
	if (s->bpf_patience < BPF_PATIENCE_FIRST_NS)
		s->bpf_patience = BPF_PATIENCE_FIRST_NS;
	if (s->bpf_patience > BPF_PATIENCE_MAX_NS)
		s->bpf_patience = BPF_PATIENCE_MAX_NS;
	return true;
}

/* A module or a BPF program may have come since the list was read. Reading it
 * costs tens of milliseconds, so an address that stays nameless makes the next
 * attempt wait longer. */
static bool kernel_wants_refresh(struct symbolizer *s, struct op *op,
				 const struct wire_names *names)
{
	bool missing = nameless(names) > 0;

	if (bpf_wants_refresh(s, op, names)) {
		op->refreshed = true;
		s->kernel_held = false;
		return true;
	}
	if (op->refreshed) {
		s->kernel_patience = missing ? s->kernel_patience * 2 : CLIENT_PATIENCE_FIRST_NS;
		if (s->kernel_patience > PATIENCE_MAX_NS)
			s->kernel_patience = PATIENCE_MAX_NS;
		return false;
	}
	if (!missing || clock_boot_ns() - s->kernel_loaded_at < s->kernel_patience)
		return false;
	op->refreshed = true;
	s->kernel_held = false;
	return true;
}

/* The worker had to let go of something it needs for this. */
static bool handed_again(struct symbolizer *s, struct op *op)
{
	struct image *image = client_image(s, op->image);

	if (s->in.header.error != -ESTALE || op->handed >= HANDED_MAX)
		return false;
	if (op->kind == WIRE_KERNEL_NAMES) {
		op->handed++;
		s->kernel_held = false;
	} else if (image) {
		image->held = false;
	}
	return true;
}

static enum client_damage damage_of_names(const struct op *op)
{
	return op->kind == WIRE_JIT_NAMES ? CLIENT_DAMAGE_JIT_NAMES : CLIENT_DAMAGE_NAMES;
}

static void on_names(struct symbolizer *s, struct op *op)
{
	char *payload = s->in.payload.data;
	size_t size = s->in.payload.length;
	struct wire_names names;
	struct error error = {0};

	if (s->in.header.error) {
		if (handed_again(s, op))
			return;
		if (op->kind == WIRE_JIT_NAMES && s->in.header.error == -EAGAIN &&
		    op->handed++ < JIT_TURNS_MAX) {
			client_later(s);
			return;
		}
		told_error(&s->in, &error);
		if (error.code == -EINVAL)
			client_damaged(s, op->image, damage_of_names(op), 1, error.text);
		client_finish_failed(s, &error);
		return;
	}
	if (op->kind != WIRE_KERNEL_NAMES)
		payload = take_damage(s, op, damage_of_names(op), &size);
	if (!payload)
		return;
	if (wire_get_names(payload, size, op->count, &error, &names) < 0) {
		link_lost(s, true, error.text);
		return;
	}
	if (op->kind != WIRE_KERNEL_NAMES || !kernel_wants_refresh(s, op, &names))
		client_finish_names(s, &names);
	wire_names_deinit(&names);
}

static void on_debug(struct symbolizer *s, struct op *op)
{
	struct image *image = client_image(s, op->image);
	struct error error = {0};
	struct reader reader;
	char *payload;
	size_t size;

	if (!image) /* dropped meanwhile: the next step says so */
		return;
	if (s->in.header.error) {
		if (handed_again(s, op))
			return;
		told_error(&s->in, &error);
		client_debug_fail(s, image, &error);
		return;
	}
	payload = take_damage(s, op, CLIENT_DAMAGE_DEBUG_FILE, &size);
	if (!payload)
		return;
	reader_init(&reader, payload, size);
	reader_u32(&reader);
	image->has_parts = reader_u8(&reader) && !image->parts_refused;
	if (!reader_ok(&reader) || reader_left(&reader)) {
		link_lost(s, true, "a damaged answer");
		return;
	}
	image->debug_held = true;
	client_parts_forget(image);
}

static void on_wanted(struct symbolizer *s, struct op *op)
{
	struct wire_parts wanted;
	struct error error = {0};

	if (s->in.header.error) {
		if (handed_again(s, op))
			return;
		told_error(&s->in, &error);
		client_finish_failed(s, &error);
		return;
	}
	if (wire_get_parts(s->in.payload.data, s->in.payload.length, &error, &wanted) < 0) {
		link_lost(s, true, error.text);
		return;
	}
	client_parts_wanted(s, op, &wanted);
	wire_parts_deinit(&wanted);
}

static void on_part(struct symbolizer *s, struct op *op)
{
	struct image *image = client_image(s, op->image);
	struct error error = {0};

	if (!image) /* dropped meanwhile: the next step says so */
		return;
	if (s->in.header.error) {
		if (handed_again(s, op))
			return;
		told_error(&s->in, &error);
	}
	client_part_done(s, image, &error);
}

static void on_maps(struct symbolizer *s)
{
	struct wire_mappings mappings;
	struct error error = {0};

	if (s->in.header.error) {
		told_error(&s->in, &error);
		client_finish_failed(s, &error);
		return;
	}
	if (wire_get_mappings(s->in.payload.data, s->in.payload.length, &error, &mappings) < 0) {
		link_lost(s, true, error.text);
		return;
	}
	client_finish_maps(s, &mappings);
	wire_mappings_deinit(&mappings);
}

static void on_unwind(struct symbolizer *s)
{
	struct unwind_table table;
	struct error error = {0};

	if (s->in.header.error) {
		told_error(&s->in, &error);
		if (error.code == -EINVAL)
			client_damaged(s, s->current->image, CLIENT_DAMAGE_UNWIND_TABLE, 1,
				       error.text);
		client_finish_failed(s, &error);
		return;
	}
	if (unwind_table_decode(s->in.payload.data, s->in.payload.length, &error, &table) < 0) {
		link_lost(s, true, error.text);
		return;
	}
	unwind_table_deinit(&table);
	client_finish_unwind(s, s->in.payload.data, s->in.payload.length);
}

static void on_probes(struct symbolizer *s)
{
	struct probe_points points;
	struct error error = {0};

	if (s->in.header.error) {
		told_error(&s->in, &error);
		client_finish_failed(s, &error);
	} else if (probe_points_decode(s->in.payload.data, s->in.payload.length, &error, &points) <
		   0) {
		link_lost(s, true, error.text);
	} else {
		client_finish_probes(s, &points);
	}
}

static void on_jvm(struct symbolizer *s)
{
	struct jvm_layout layout;
	struct error error = {0};

	if (s->in.header.error) {
		told_error(&s->in, &error);
		client_finish_failed(s, &error);
		return;
	}
	if (hotspot_decode(s->in.payload.data, s->in.payload.length, &error, &layout) < 0) {
		link_lost(s, true, error.text);
		return;
	}
	client_finish_jvm(s, &layout);
}

static void on_libc(struct symbolizer *s)
{
	struct libc_functions functions;
	struct error error = {0};

	if (s->in.header.error) {
		told_error(&s->in, &error);
		client_finish_failed(s, &error);
		return;
	}
	if (libc_functions_decode(s->in.payload.data, s->in.payload.length, &error, &functions) <
	    0) {
		link_lost(s, true, error.text);
		return;
	}
	client_finish_libc(s, &functions);
}

void answer_take(struct symbolizer *s)
{
	switch (s->step) {
	case WIRE_IMAGE_OPEN:
		on_image(s, s->current);
		break;
	case WIRE_IMAGE_DEBUG:
		on_debug(s, s->current);
		break;
	case WIRE_IMAGE_WANTED:
		on_wanted(s, s->current);
		break;
	case WIRE_IMAGE_PART:
		on_part(s, s->current);
		break;
	case WIRE_IMAGE_NAMES:
	case WIRE_KERNEL_NAMES:
	case WIRE_JIT_NAMES:
		on_names(s, s->current);
		break;
	case WIRE_KERNEL_LOAD:
		on_kernel_loaded(s);
		break;
	case WIRE_MAPS:
		on_maps(s);
		break;
	case WIRE_UNWIND:
		on_unwind(s);
		break;
	case WIRE_PROBES:
		on_probes(s);
		break;
	case WIRE_JVM:
		on_jvm(s);
		break;
	case WIRE_LIBC:
		on_libc(s);
		break;
	default:
		client_finish_plain(s);
	}
}
