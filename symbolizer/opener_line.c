/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/opener_line.h"

#include <stdlib.h>

void opener_line_push(struct opener_line *line, struct opener_waiting *waiting)
{
	waiting->next = NULL;
	if (line->last)
		line->last->next = waiting;
	else
		line->first = waiting;
	line->last = waiting;
	line->count++;
}

struct opener_waiting *opener_line_pop(struct opener_line *line)
{
	struct opener_waiting *waiting = line->first;

	if (!waiting)
		return NULL;
	line->first = waiting->next;
	if (!line->first)
		line->last = NULL;
	line->count--;
	return waiting;
}

void opener_line_put_before(struct opener_line *to, struct opener_line *from)
{
	if (!from->first)
		return;
	from->last->next = to->first;
	to->first = from->first;
	if (!to->last)
		to->last = from->last;
	to->count += from->count;
	*from = (struct opener_line){0};
}

void opener_waiting_free(struct opener_waiting *waiting)
{
	if (waiting)
		opener_request_free(&waiting->request);
	free(waiting);
}

void opener_line_free(struct opener_line *line)
{
	struct opener_waiting *waiting;

	while ((waiting = opener_line_pop(line)))
		opener_waiting_free(waiting);
}
