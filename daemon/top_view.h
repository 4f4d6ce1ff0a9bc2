/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * `perfctl top` on a terminal, by ncurses: draws the model's rows as the state asks for them,
 * and gives the state its keys. One loop, which never waits for perfd; where perfd goes away
 * it says so and tries again.
 */
#pragma once

#include "daemon/options.h"
#include "daemon/top_feed.h"
#include "daemon/top_print.h"
#include "daemon/top_state.h"

struct top_view {
	struct top_model *model;
	struct top_feed *feed; /* open */
	struct top_state *state;
	const struct options *options; /* to connect again */
	struct top_print *print; /* host, CPUs, rate */
	uint64_t interval_ns;
	uint64_t rounds; /* intervals, then it ends; 0: until told to */
};

/* -ENOTTY: the terminal cannot do it (TERM); else the signal that ended it, or 0. SIGINT,
 * SIGTERM, SIGHUP, SIGQUIT and SIGWINCH are blocked. */
int top_view_run(struct top_view *view, struct error *error);
