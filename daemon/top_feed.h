/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where `perfctl top` has its intervals from: two sessions of the running perfd on all
 * processes that the user may see, one of CPU time and one of page faults, of which it takes
 * what came since the last time; and /proc, for memory. A perfd that samples no page faults
 * is looked at without them.
 *
 * It never waits: top_feed_ask() sends, top_feed_poll() says whether the answer is whole. The
 * sessions end with the connection, however that ends.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/client.h"
#include "daemon/options.h"
#include "daemon/top_model.h"

enum top_feed_state { TOP_FEED_IDLE, TOP_FEED_CPU, TOP_FEED_FAULTS };

struct top_feed {
	struct client client;
	enum top_feed_state state;
	uint32_t cpu_session, faults_session; /* the latter 0: none */
	uint32_t frequency_hz;
	uint32_t cpus;
	uint64_t until_ns; /* of the session's life, up to where it was taken */
	bool all; /* the user may see all processes */
	bool same_pids; /* perfd's pids are /proc's here */
	struct profile *cpu, *faults; /* of the interval that is being asked for */
};

/* Connects and opens the sessions. -ENOENT, -ECONNREFUSED: no perfd runs. */
int top_feed_open(struct top_feed *feed, const struct options *options, struct error *error);
void top_feed_close(struct top_feed *feed);
/* Readable when there may be an answer. */
int top_feed_fd(const struct top_feed *feed);
/* Asks for an interval; not while one is asked for. */
int top_feed_ask(struct top_feed *feed, struct error *error);
/* 0: an interval is in the model now; -EAGAIN: not yet; else an error. */
int top_feed_poll(struct top_feed *feed, struct top_model *model, struct error *error);
/* Asks, and waits for it. -EINTR: `interrupt_fd` (-1: none) became readable. */
int top_feed_next(struct top_feed *feed, struct top_model *model, int interrupt_fd,
		  struct error *error);
