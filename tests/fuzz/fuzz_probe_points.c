/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as the description of a USDT probe's note, as an allocator's code, and as the
 * worker's answer: what is taken of them makes sense to the kernel.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/probe_points.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct probe_point *point)
{
	if (!point->probe || point->probe >= ABI_PROBE_COUNT || point->arguments[0] > 15 ||
	    point->arguments[1] > 15 || point->arguments[2] > 15)
		abort();
}

/* The probe is in the code, and its arguments are in registers that can be read. */
static void place(const uint8_t *code, size_t size)
{
	for (uint8_t count = 1; count <= 2; count++) {
		struct probe_point point = {.probe = ABI_PROBE_SIZE, .arguments = {5, 4}};

		probe_place_find(code, size, 0x1000, count, &point);
		check(&point);
		if (point.emulated && point.offset >= size)
			abort();
		for (uint8_t i = 0; i < count; i++)
			if (point.arguments[i] == 7 || point.arguments[i] == 10 ||
			    point.arguments[i] == 11)
				abort();
		if (count == 2 && point.arguments[0] == point.arguments[1])
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe_points points;
	struct strbuf again = {0};
	struct probe_note note;
	struct error error;

	if (probe_note_parse(data, size, &note))
		check(&note.point);
	place(data, size);
	if (probe_points_decode(data, size, &error, &points))
		return 0;
	for (size_t i = 0; i < points.count; i++)
		check(&points.items[i]);
	probe_points_encode(&points, &again);
	if (again.length != size)
		abort();
	strbuf_deinit(&again);
	return 0;
}
