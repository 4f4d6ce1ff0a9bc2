/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The probes of the processes whose allocations a session looks at: which files they map
 * that have any (the worker says so, once a file), and when those on an allocator's own
 * functions are in.
 *
 * Those cost half a microsecond a call, which some programs make millions of a second. So
 * they are taken out again where a window of WINDOW_NS cost more than the budget, for as
 * long as it takes that the mean is the budget. What a window saw stands for the time since
 * the one before ended, too: a share that was settled before the window began, so that it
 * has nothing to do with what is in it, and sums stay unbiased. The kernel side counts
 * only between the window's two moments, however late perfd is.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "daemon/config.h"
#include "daemon/process_table.h"
#include "daemon/resolver.h"
#include "daemon/source.h"
#include "daemon/source_heap.h"
#include "symbolizer/probe_points.h"

/* What a call of a probed function is taken to cost its thread: half a microsecond where the
 * kernel emulates the instruction, and the program. */
#define HEAP_HIT_NS 700u
#define HEAP_WINDOWS 8 /* so many of the last are remembered for late records */

/* A file's places, as the worker told them. */
struct heap_file {
	uint32_t image;
	bool asked, known;
	struct probe_points points;
};

/* A file that a followed process maps. */
struct heap_mapped {
	uint32_t image;
	bool done; /* its probes are in, or it has none */
	struct heap_links notes; /* probes of libraries: always in */
	struct heap_links calls; /* on functions: in during windows */
};

struct heap_window {
	uint64_t from, until; /* boot time, ns */
	uint64_t stands_for; /* ns */
};

struct heap_followed {
	struct process *process; /* a reference */
	uint32_t execs; /* when its files were looked at */
	uint32_t mappings;
	VEC(struct heap_mapped) files;
	bool has_notes, has_calls;
	uint64_t unsettled; /* boot time, ns: since then some file has not been looked at; 0 */
	bool in; /* those on functions */
	uint64_t next; /* boot time, ns: when that changes, or a window ends */
	uint64_t hits; /* when the present window began */
	struct heap_window windows[HEAP_WINDOWS];
	uint32_t window; /* the present one */
	uint64_t observed_ns, whole_ns;
};

struct heap_follow {
	struct source *source;
	struct resolver *resolver;
	const struct config *config;
	VEC(struct heap_followed *) processes;
	VEC(struct heap_file *) files;
	double budget; /* of a process's time: probes on functions may cost so much */
	uint64_t failed; /* probes that could not be put in */
	uint64_t hits; /* of functions' probes, so far */
};

void heap_follow_init(struct heap_follow *follow, struct source *source, struct resolver *resolver,
		      const struct config *config);
void heap_follow_deinit(struct heap_follow *follow);
/* In thousandths of a process's time; what was the config's before. */
void heap_follow_set_budget(struct heap_follow *follow, double permille);
/* Follows a process, if it is not followed yet; -ENOMEM. */
int heap_follow_add(struct heap_follow *follow, struct process *process);
void heap_follow_remove(struct heap_follow *follow, const struct process *process);
/* New files, answers, windows: to be called often. The boot time at which it wants to be
 * called again, 0: with the next record. */
uint64_t heap_follow_run(struct heap_follow *follow, uint64_t now);
/* For a sample of the allocator's own probes at that time: what one stands for in time,
 * 1 and more. */
double heap_follow_share(const struct heap_follow *follow, const struct process *process,
			 uint64_t time);
/* Probes that are in now. */
uint64_t heap_follow_probes(const struct heap_follow *follow);
/* Of the time that functions' probes were wanted, in which they counted: 0 to 1. */
double heap_follow_observed(const struct heap_follow *follow);
