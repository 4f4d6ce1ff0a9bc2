/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The line that says how a recording goes: on stderr, and only where that is a
 * terminal that can clear a line (not TERM=dumb). NO_COLOR (no-color.org) is
 * honoured.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/protocol.h"

#define PROGRESS_INTERVAL_MS 500

struct progress {
	bool terminal;
	bool color;
	bool drawn;
	uint64_t elapsed_ns; /* of the last event, for the rate */
	uint64_t samples;
};

void progress_init(struct progress *progress);
/* Draws a "progress" event over the line that is there. */
void progress_draw(struct progress *progress, const struct message *event);
/* Takes the line away, so that something else can be printed. */
void progress_clear(struct progress *progress);
