/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests to openers that wait, first come, first served: openers.c's own.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "symbolizer/openers.h"

struct opener_waiting { /* a request of a caller */
	struct opener_waiting *next;
	uint32_t id;
	struct opener_request request; /* path and name are ours */
	openers_fn *done;
	void *context;
	uint32_t tries; /* openers that ended over it */
	struct error failure; /* if it failed without an opener */
};

struct opener_line { /* first come, first served */
	struct opener_waiting *first, *last;
	size_t count;
};

void opener_line_push(struct opener_line *line, struct opener_waiting *waiting);
/* NULL: it is empty. */
struct opener_waiting *opener_line_pop(struct opener_line *line);
/* All of `from`, which is empty then, goes before what is in `to`. */
void opener_line_put_before(struct opener_line *to, struct opener_line *from);
void opener_waiting_free(struct opener_waiting *waiting);
void opener_line_free(struct opener_line *line);
