/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rates of all that samples, under one budget: measures every half second what perfd and
 * each stream cost, has the controller judge (controller.h), and tells the source. What
 * changes becomes a mark and a point of the series "rate" in the session concerned.
 *
 * What a stream costs is what its BPF program ran, plus what the kernel does around each
 * firing and the daemon with each sample: these two are estimates (RATES_*_NS), for they
 * cannot be told apart from the rest; the sum of all is measured, but for the interrupts.
 */
#pragma once

#include <stdint.h>

#include <jansson.h>

#include "daemon/base/error.h"
#include "daemon/controller.h"
#include "daemon/own_cost.h"
#include "daemon/pattern.h"
#include "daemon/source.h"
#include "daemon/thinning.h"

struct engine;
struct session;

/* Around the program: a timer's interrupt, where it cannot be measured (firing_cost.h); a counted
 * page fault; all the page faults to a firing of the machine's view; a task that begins, ends,
 * executes a program or is renamed, on its way through the side band; a mapping of code, likewise:
 * for each, and for the four or five of data that come with it, the kernel makes up the file's path
 * and build id. See docs/benchmarks.md for where they are from. */
#define RATES_CLOCK_NS 1000u
#define RATES_FAULT_NS 300u
#define RATES_VIEW_FAULTS_NS (ABI_FAULTS_PERIOD * 90u)
#define RATES_TASK_NS 900u
#define RATES_MAPPING_NS 4800u
/* Of the daemon's time, a sample on its way into a window. */
#define RATES_SAMPLE_NS 2000u
#define RATES_WINDOW_NS (500 * 1000000ULL)

struct rates {
	struct controller controller;
	struct own_cost own;
	uint32_t clock_ns; /* around a clock's firing, on this machine */
	uint64_t calibrate_at; /* boot time, ns: when it is tried again to measure that; 0: known */
	struct source_counters *seen; /* at the last look; NULL: none yet */
	uint64_t looked; /* boot time, ns */
	uint64_t own_ns, stolen_ns, tasks, mappings, heap_hits, heap_ns; /* likewise */
	uint64_t jittered; /* boot time, ns: when periods were drawn last */
	uint64_t noted; /* when rates were put on time lines */
	struct thinning thinning; /* as the source was told */
	uint64_t second; /* when the last second of patterns began */
	struct cpu_seconds seconds[ABI_SLOTS_MAX]; /* of sessions */
	uint64_t weights[ABI_SLOTS_MAX]; /* likewise, at its beginning */
};

void rates_init(struct rates *rates, const struct engine *engine);
void rates_deinit(struct rates *rates);
/* Measures what a clock's firing costs here, some milliseconds long; before that, and while it
 * cannot be measured, RATES_CLOCK_NS. On a busy machine that is tried again and again. */
void rates_calibrate(struct rates *rates);
/* A session's events begin and end. */
void rates_open(struct engine *engine, struct session *session);
void rates_close(struct engine *engine, const struct session *session);
/* Somebody asks for another rate of it: at once, if the budget has not lowered it. */
void rates_wish(struct engine *engine, struct session *session);
/* Judges, if a window is over: to be called with each tick. `second`: the tick of a whole second;
 * as long as there is nothing to decide, only those are windows' ends. */
void rates_run(struct engine *engine, uint64_t now, bool second);
/* What was counted, if it was looked at at that moment; else NULL. Valid until the next look. */
const struct source_counters *rates_counted(const struct rates *rates, uint64_t now);
/* For `status` and `rates`: all streams, or those of the owner's sessions. New reference. */
json_t *rates_json(const struct engine *engine, bool all, uid_t owner);
