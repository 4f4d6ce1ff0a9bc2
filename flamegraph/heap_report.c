/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/heap_report.h"

int heap_report_init(struct heap_report *report, const struct profile *profile,
		     const struct heap_data *data, enum heap_view view, enum heap_by by,
		     uint32_t top)
{
	struct heap_rows functions;
	int r;

	*report = (struct heap_report){.profile = profile, .data = data, .by = by, .top = top};
	/* The advice is about all, whatever is shown. */
	r = heap_rows_init(&functions, profile, data, HEAP_ALLOC, HEAP_BY_FUNCTION);
	if (r)
		return r;
	r = heap_advice_init(&report->advice, profile, data, &functions);
	heap_rows_deinit(&functions);
	if (r)
		return r;
	r = heap_rows_init(&report->rows, profile, data, view, by);
	if (r)
		heap_advice_deinit(&report->advice);
	return r;
}

void heap_report_deinit(struct heap_report *report)
{
	heap_rows_deinit(&report->rows);
	heap_advice_deinit(&report->advice);
}
