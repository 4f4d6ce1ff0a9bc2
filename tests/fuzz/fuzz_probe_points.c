/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as the description of a USDT probe's note, and as the worker's answer: what
 * is taken of them makes sense to the kernel.
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe_points points;
	struct strbuf again = {0};
	struct probe_note note;
	struct error error;

	if (probe_note_parse(data, size, &note))
		check(&note.point);
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
