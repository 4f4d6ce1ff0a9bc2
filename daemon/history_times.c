/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_times.h"

#include <errno.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/reader.h"
#include "daemon/history_packed.h"
#include "flamegraph/protobuf.h"

#define SERIES_BAND 16u

static void put_series(const struct series *series, struct strbuf *out)
{
	bool band = series_has_band(series);

	protobuf_put_varint(out, series->name);
	protobuf_put_varint(out, series->kind | (band ? SERIES_BAND : 0));
	protobuf_put_varint(out, series->step_ns);
	protobuf_put_varint(out, series->points.count);
	for (size_t i = 0; i < series->points.count; i++) {
		const struct series_point *point = &series->points.items[i];

		/* SERIES_UNKNOWN is the largest number there is: 0. */
		protobuf_put_varint(out, point->value + 1);
		if (!band || point->value == SERIES_UNKNOWN)
			continue;
		protobuf_put_varint(out, point->value - point->low);
		protobuf_put_varint(out, point->high - point->value);
	}
}

int history_times_encode(const struct series_list *list, struct strbuf *out)
{
	_cleanup_(strbuf_deinit) struct strbuf plain = {0};

	protobuf_put_varint(&plain, list->count);
	for (size_t i = 0; i < list->count; i++)
		put_series(&list->items[i], &plain);
	return strbuf_error(&plain) ? -ENOMEM : history_pack(&plain, out);
}

static int get_points(struct reader *reader, uint64_t count, bool band, uint64_t shift_ns,
		      uint64_t step_ns, struct series *into)
{
	struct series one = {.kind = into->kind, .step_ns = step_ns};
	int r = 0;

	for (uint64_t i = 0; !r && i < count; i++) {
		struct series_point point = {.value = protobuf_varint(reader) - 1};

		point.low = point.high = point.value;
		if (band && point.value != SERIES_UNKNOWN) {
			point.low -= protobuf_varint(reader);
			point.high += protobuf_varint(reader);
		}
		if (!reader_ok(reader))
			r = -EBADMSG;
		else if (point.value != SERIES_UNKNOWN)
			r = series_put(&one, i * step_ns, &point);
	}
	if (!r)
		r = series_join(into, &one, shift_ns);
	series_deinit(&one);
	return r;
}

static int get_series(struct reader *reader, uint64_t shift_ns, uint64_t step_ns,
		      struct series_list *list)
{
	struct series like = {.name = (uint32_t)protobuf_varint(reader)}, *into;
	uint64_t kind = protobuf_varint(reader), own_step = protobuf_varint(reader);
	uint64_t count = protobuf_varint(reader);
	int r;

	like.kind = (uint32_t)(kind & ~(uint64_t)SERIES_BAND);
	like.step_ns = own_step > step_ns ? own_step : step_ns;
	if (!reader_ok(reader) || kind >= 2 * SERIES_BAND || like.kind >= SERIES_KIND_COUNT ||
	    !own_step || own_step > INT64_MAX || count > SERIES_STEPS_MAX)
		return -EBADMSG;
	r = series_list_find(list, &like, &into);
	return r ? r : get_points(reader, count, kind & SERIES_BAND, shift_ns, own_step, into);
}

int history_times_decode(const void *bytes, size_t size, uint64_t shift_ns, uint64_t step_ns,
			 struct series_list *list)
{
	_cleanup_free_ char *plain = NULL;
	struct reader reader;
	uint64_t count;
	size_t n;
	int r = history_unpack(bytes, size, &plain, &n);

	if (r)
		return r;
	reader_init(&reader, plain, n);
	count = protobuf_varint(&reader);
	for (uint64_t i = 0; !r && i < count; i++)
		r = get_series(&reader, shift_ns, step_ns, list);
	if (r)
		return r;
	return !reader_ok(&reader) || reader_left(&reader) ? -EBADMSG : 0;
}
