/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Probe points between the worker and the daemon (probe_points.h).
 */
#include "symbolizer/probe_points.h"

#include <errno.h>

#include "daemon/base/reader.h"

void probe_points_encode(const struct probe_points *points, struct strbuf *answer)
{
	strbuf_u32(answer, (uint32_t)points->count);
	for (size_t i = 0; i < points->count; i++) {
		const struct probe_point *point = &points->items[i];

		strbuf_u64(answer, point->offset);
		strbuf_u64(answer, point->semaphore);
		strbuf_u64(answer, point->function);
		strbuf_u32(answer, point->function_size);
		strbuf_u8(answer, point->probe);
		strbuf_append(answer, point->arguments, sizeof(point->arguments));
		strbuf_u8(answer, point->emulated);
		strbuf_u8(answer, point->returns);
	}
	strbuf_u64(answer, points->control);
}

int probe_points_answer(struct reader *request, int fd, struct strbuf *answer, struct error *error)
{
	struct probe_points points;
	struct elf_image image;
	int r;

	reader_u32(request); /* the image's id, for the client's own use */
	if (!reader_ok(request) || reader_left(request) || fd < 0)
		return error_set(error, -EPROTO, "a request of the wrong form");
	r = elf_image_init(&image, fd, error);
	if (r < 0)
		return r;
	r = probe_points_find(&image, error, &points);
	if (!r)
		probe_points_encode(&points, answer);
	elf_image_deinit(&image);
	return r;
}

int probe_points_decode(const void *payload, size_t size, struct error *error,
			struct probe_points *ret)
{
	struct probe_points points = {0};
	struct reader reader;
	uint32_t count;

	reader_init(&reader, payload, size);
	count = reader_u32(&reader);
	if (count > PROBE_POINTS_MAX)
		return error_set(error, -EBADMSG, "%u probe points", count);
	for (uint32_t i = 0; i < count; i++) {
		struct probe_point *point = &points.items[points.count++];

		point->offset = reader_u64(&reader);
		point->semaphore = reader_u64(&reader);
		point->function = reader_u64(&reader);
		point->function_size = reader_u32(&reader);
		point->probe = reader_u8(&reader);
		for (size_t a = 0; a < sizeof(point->arguments); a++) {
			point->arguments[a] = reader_u8(&reader);
			if (point->arguments[a] > 15)
				reader_fail(&reader, "a register that is none");
		}
		point->emulated = reader_u8(&reader);
		point->returns = reader_u8(&reader);
		/* The kernel takes both as numbers of 32 bits, or less. */
		if (!point->probe || point->probe >= ABI_PROBE_COUNT || point->offset >> 40 ||
		    point->semaphore >> 32)
			reader_fail(&reader, "a probe that makes no sense");
	}
	points.control = reader_u64(&reader);
	if (points.control >> 40)
		reader_fail(&reader, "a control word that is nowhere");
	if (!reader_ok(&reader) || reader_left(&reader))
		return error_set(error, -EBADMSG, "probe points: %s",
				 reader.bad ? reader.bad : "more than there are");
	*ret = points;
	return 0;
}
