/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The windows in which probes on a process's allocator counted, and what stands for the time
 * between them.
 *
 * Each sample stands for itself when it comes. What the first part of a window saw is repeated
 * when that is over, for the time before it in which there were no probes. Time is the CPU time of
 * the process here, less what hits of probes cost it: a process that is slowed by probes, or waits,
 * or has no CPU at a moment, allocates as much in a second of its own. The part's end has
 * nothing to do with what is in it, so sums stay unbiased. What is seen after it stands for itself
 * alone, however long the window stays open.
 * The time after the last window, where a session or the process ends, has no next one: the
 * rates of the latest windows stand for it.
 *
 * How long a first part is follows from what a window costs: there are to be some ten windows in
 * the first seconds, that a short session does not hang upon one moment; later they are long, for
 * of short ones much goes to what is seen for nothing while probes go in and out.
 *
 * Pure. Times are boot time in ns; records may come some time after their window's end.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "flamegraph/heap_tracker.h"

#define HEAP_PARTS 64u /* two a window, a first one and the rest: so many of the last are known */
#define HEAP_TURNS 4u /* the samples of so many windows are remembered */
#define HEAP_SEEN_MAX 4096u /* samples at most */
/* First parts' lengths: the least, the first one's, the most. */
#define HEAP_FIRST_LEAST_NS (2 * 1000000ULL)
#define HEAP_FIRST_NS (2 * 1000000ULL)
#define HEAP_FIRST_MOST_NS (20 * 1000000ULL)
#define HEAP_YOUNG_NS (3 * 1000000000ULL) /* so long there are to be many windows */
#define HEAP_YOUNG_REST_NS (300 * 1000000ULL) /* one after another by so much */
#define HEAP_REST_NS (2 * 1000000000ULL) /* later, where the least length allows it */

/* Of a process, so far: CPU time, and what of it hits of probes cost, ns. */
struct heap_spent {
	uint64_t cpu; /* 0: not known, for it has ended */
	uint64_t probes;
};

struct heap_part {
	uint64_t from, until; /* UINT64_MAX: open */
	uint64_t covers; /* <= from: it stands for the time since then; == from: for itself */
	double gap; /* CPU ns that the process had for itself since then, until `from` */
	double own; /* likewise of the part; 0: not known yet, or hardly any */
};

/* A sample: what it stands for by its rule alone, and what became of it. */
struct heap_seen {
	uint64_t time, address; /* 0: its end is not known */
	uint64_t count, bytes;
	uint64_t life; /* ns until it was freed; HEAP_LIFE_UNKNOWN */
	uint32_t stack;
	uint8_t reason;
};

struct heap_windows {
	struct heap_part parts[HEAP_PARTS]; /* a ring */
	uint32_t last; /* the rest of the last window; its first part is before it */
	bool open;
	bool in_first; /* likewise, and in its first part */
	bool due; /* what the first part saw is still to be repeated */
	uint64_t since; /* the process is followed, or has its present program */
	struct heap_spent spent_since; /* until then */
	struct heap_spent spent; /* until `spent_at`: the last call that knew it */
	uint64_t spent_at;
	uint64_t began; /* from then on something stands for it; 0: there was no window yet */
	uint64_t opened, ended; /* the last one */
	uint64_t length; /* planned, of its first part */
	uint64_t covers; /* since then nothing stands for it, if no window is open */
	double gap; /* own time since then that `spent` has; below 0: it has too much */
	uint64_t cost; /* of the last window and what went before and after it, ns; 0: not known */
	uint64_t observed_ns; /* before the open one */
	uint64_t told_observed_ns, told_whole_ns;
	VEC(struct heap_seen) seen;
	uint64_t remembered; /* all samples since then are in `seen` */
};

/* What stands for the time after the last window. */
struct heap_rest {
	uint64_t from; /* samples since then */
	double times; /* by heap_part_rate() of its part: so often each */
};

void heap_windows_init(struct heap_windows *windows, uint64_t since,
		       const struct heap_spent *spent);
void heap_windows_deinit(struct heap_windows *windows);
/* `share`: of the time, what probes may cost. The result: when its first part is to end, by
 * heap_windows_part(). */
uint64_t heap_windows_open(struct heap_windows *windows, uint64_t now,
			   const struct heap_spent *spent, double share);
/* 0: the first part may end now, for the process had the planned length for itself, or it is to
 * wait no longer; else when that may be. (A length in its own time, like the gap's, makes those
 * moments alike in which it is slowed much and little.) */
uint64_t heap_windows_wait(const struct heap_windows *windows, uint64_t now,
			   const struct heap_spent *spent);
/* The first part ends now. */
void heap_windows_part(struct heap_windows *windows, uint64_t now, const struct heap_spent *spent);
/* After the first part's end: the window is to end at `until`, soon. */
void heap_windows_close(struct heap_windows *windows, uint64_t now, uint64_t until,
			const struct heap_spent *spent);
/* What its probes have cost since the last call, ns. */
void heap_windows_charge(struct heap_windows *windows, uint64_t cost);
/* What comes from now on is another program's: no window of that stands for what was before. */
void heap_windows_restart(struct heap_windows *windows, uint64_t now,
			  const struct heap_spent *spent);
/* The last window's first part. */
const struct heap_part *heap_windows_first(const struct heap_windows *windows);
/* Whether what it saw is to be repeated, and it was over by that time: true once. */
bool heap_windows_due(struct heap_windows *windows, uint64_t time);
/* NULL: there was none then. */
const struct heap_part *heap_windows_at(const struct heap_windows *windows, uint64_t time);
/* How often what the part saw is to be repeated, for the time before it, for somebody who asked
 * since then. */
double heap_windows_repeats(const struct heap_windows *windows, const struct heap_part *part,
			    uint64_t since);
/* Likewise with itself. */
double heap_windows_rate(const struct heap_windows *windows, const struct heap_part *part,
			 uint64_t since);
/* At the end of somebody who asked since then. */
struct heap_rest heap_windows_rest(const struct heap_windows *windows, uint64_t since,
				   uint64_t until, const struct heap_spent *spent);
void heap_windows_saw(struct heap_windows *windows, const struct heap_seen *seen);
void heap_windows_freed(struct heap_windows *windows, uint64_t address, uint64_t time);
/* The time for which something stands, or will, and the part that was looked at. */
uint64_t heap_windows_whole(const struct heap_windows *windows, uint64_t now);
uint64_t heap_windows_observed(const struct heap_windows *windows, uint64_t now);
/* What has come since the last time it was asked. */
void heap_windows_progress(struct heap_windows *windows, uint64_t now, uint64_t *ret_whole_ns,
			   uint64_t *ret_observed_ns);
