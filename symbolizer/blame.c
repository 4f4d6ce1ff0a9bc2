/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A worker ended over a request: was it the file that was asked about? Who is to blame is
 * left alone from then on; who is not is asked about again.
 */
#include <errno.h>
#include <string.h>

#include "daemon/base/log.h"
#include "symbolizer/client_private.h"

#define SPARED_MAX 20 /* requests for one file that failed in this way */
#define TRIES_MAX 3 /* workers that may end in one request without its fault */

static void quarantine(struct symbolizer *s, const struct op *op, const struct error *error)
{
	struct image *image = op->image ? client_image(s, op->image) : NULL;

	quarantine_add(s->quarantine, op->image, wire_kind_info(op->kind)->name, error->text);
	if (!image)
		return;
	if (op->kind == WIRE_UNWIND) {
		image->unwind_quarantined = true;
	} else {
		client_image_fail(s, image, error);
		image->quarantined = true;
	}
	s->stats.quarantined++;
}

/* Killed from outside, several times: that says little about the file, so only this
 * request fails, until it happens too often (its memory may be what workers are killed
 * for). */
static bool spare(struct symbolizer *s, const struct op *op, const char *why)
{
	struct image *image = client_image(s, op->image);
	struct error error = {0};

	if (!image || ++image->spared > SPARED_MAX)
		return false;
	error_set(&error, -EINTR, "workers were killed over it (%s)", why);
	client_finish_failed(s, &error);
	return true;
}

void blame_current(struct symbolizer *s, enum worker_end end, enum wire_kind step, const char *why)
{
	struct op *op = s->current;
	bool beside = step == WIRE_IMAGE_DEBUG || step == WIRE_IMAGE_PART;
	struct image *image = beside ? client_image(s, op->image) : NULL;
	struct error error = {0};

	if (end != WORKER_END_FAULT && ++op->tries < TRIES_MAX)
		return; /* it is sent again */
	if (end != WORKER_END_FAULT && spare(s, op, why))
		return;
	if (image) {
		error_set(&error, -EFAULT, "the worker did not survive the debug file (%s)", why);
		(step == WIRE_IMAGE_DEBUG ? client_debug_fail : client_parts_fail)(s, image,
										   &error);
		op->tries = 0;
		return;
	}
	error_set(&error, -EFAULT, "the symbolizer's worker did not survive this %s (%s)%s",
		  op->kind == WIRE_UNWIND ? "file's call frame information"
		  : op->image             ? "file"
					  : "request",
		  why, op->image ? ": it is left alone from now on" : "");
	quarantine(s, op, &error);
	log_warning("symbolizer: %s, image %u: %s", wire_kind_info(op->kind)->name, op->image,
		    error.text);
	client_finish_failed(s, &error);
}
