/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The probes of the processes whose allocations a session looks at: which files they map
 * that have any (the worker says so, once a file), and when those on an allocator's own
 * functions are in.
 *
 * A library's own probes fire for samples only, so they are put into whoever maps the file,
 * and the kernel side drops what is of no followed process: a child, and what it executes,
 * are seen from their first instruction.
 *
 * Those on functions cost half a microsecond a call, which some programs make millions of a second.
 * So they are taken out again where they have cost more than the budget, for as long as it takes
 * that the mean is the budget, and a little longer or shorter by chance, so that a program which
 * does the same thing again and again is not always seen at the same place of it. What stands for
 * the time without them: heap_windows.h. A window's end is said before it comes. The kernel side
 * counts only between these moments, however late perfd is.
 *
 * What becomes of samples (fates) is followed for processes of sessions, as long as their probes
 * are in: their frees have probes, too, which go in before a window opens and out FATE_NS after
 * it has closed, so that of all that was freed within a millisecond it is known. From then on
 * nobody knows: heap_follow_blind() says that moment.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "daemon/config.h"
#include "daemon/heap_control.h"
#include "daemon/heap_rules.h"
#include "daemon/heap_table.h"
#include "daemon/heap_windows.h"
#include "daemon/process_table.h"
#include "daemon/resolver.h"
#include "daemon/source.h"
#include "daemon/source_heap.h"
#include "daemon/unwinder.h"
#include "symbolizer/probe_points.h"

#define HEAP_FATES_MAX 8 /* so many processes */

enum heap_file_state {
	HEAP_FILE_NEW,
	HEAP_FILE_ABSENT, /* cannot be had now, and is asked for again */
	HEAP_FILE_ASKED,
	HEAP_FILE_KNOWN,
};

/* A file's places, as the worker told them. */
struct heap_file {
	uint32_t image;
	enum heap_file_state state;
	uint32_t tries; /* that failed for no fault of the file */
	uint64_t ask_at; /* boot time, ns: not before */
	struct probe_points points;
	struct heap_links notes; /* its own probes: in all processes that map it */
	uint32_t users; /* followed processes that want them */
};

/* A file that a followed process maps. */
struct heap_mapped {
	uint32_t image;
	bool done; /* its probes are in, or it has none */
	bool notes; /* counted among the file's users */
	struct heap_links calls; /* on functions: in during windows */
};

/* Of the probes on an allocator's functions. */
enum heap_probing {
	HEAP_OUT,
	HEAP_IN, /* and a window is open */
	HEAP_CLOSING, /* its end has been said: it is near, or was a moment ago */
};

struct heap_followed {
	struct process *process; /* a reference */
	uint64_t since; /* boot time, ns: of its following, or of its last exec */
	uint32_t execs; /* when its files were looked at */
	uint32_t mappings;
	VEC(struct heap_mapped) files;
	bool has_notes, has_calls;
	uint64_t unsettled; /* boot time, ns: since then some file has not been looked at; 0 */
	enum heap_probing probing;
	bool fates; /* they are in, and what becomes of samples is followed */
	struct heap_table table; /* of its sampled pointers */
	uint64_t blind; /* boot time, ns: until then fates were followed; 0: told */
	uint64_t next; /* boot time, ns: when `probing` changes, or is looked at; 0: at once */
	uint64_t next_in; /* HEAP_CLOSING: when they go in again */
	uint64_t hits, hits_at; /* how many there were, and when, at the last look */
	uint64_t sampled_ns; /* what samples cost besides, until then */
	uint64_t probes_ns; /* all that it cost */
	struct heap_rules rules;
	struct heap_control_hand hand; /* on its library's control word */
	struct heap_windows windows;
};

struct heap_follow {
	struct source *source;
	struct resolver *resolver;
	struct unwinder *unwinder; /* NULL: nothing is waited for */
	const struct config *config;
	VEC(struct heap_followed *) processes;
	VEC(struct heap_file *) files;
	double budget; /* of a process's time: probes on functions may cost so much */
	uint32_t sharing; /* processes of no session with probes on functions */
	uint32_t fated; /* processes whose samples' fates are followed */
	uint32_t tables; /* of pointers, in the kernel */
	uint32_t begun; /* processes that got their probes in the present turn */
	uint64_t failed; /* probes that could not be put in */
	uint64_t hits; /* of functions' probes, so far */
	uint64_t probes_ns; /* what they cost, with their samples */
	uint64_t observed_ns, whole_ns; /* of those that are followed no more */
};

void heap_follow_init(struct heap_follow *follow, struct source *source, struct resolver *resolver,
		      struct unwinder *unwinder, const struct config *config);
void heap_follow_deinit(struct heap_follow *follow);
/* In thousandths of a process's time; what was the config's before. */
void heap_follow_set_budget(struct heap_follow *follow, double permille);
/* Follows a process, if it is not followed yet; -ENOMEM. */
int heap_follow_add(struct heap_follow *follow, struct process *process);
void heap_follow_remove(struct heap_follow *follow, const struct process *process);
/* New files, answers, windows: to be called often. The boot time at which it wants to be
 * called again, 0: with the next record. */
uint64_t heap_follow_run(struct heap_follow *follow, uint64_t now);
/* NULL: it is not followed. */
struct heap_followed *heap_follow_find(const struct heap_follow *follow,
				       const struct process *process);
struct heap_file *heap_follow_file(const struct heap_follow *follow, uint32_t image);
/* What a sample of the allocator's own probes at that time stands for, in bytes, by its weight's
 * code (bpf/abi.h), in its own window. 0: it was seen after that, and another one stands for it. */
double heap_follow_weigh(const struct heap_follow *follow, const struct process *process,
			 uint64_t time, uint32_t code, double size);
/* What it has spent so far. */
struct heap_spent heap_follow_spent(const struct heap_follow *follow,
				    const struct heap_followed *followed);
/* The session or the process ends: where it is in a window's first part, that is over. */
void heap_follow_finish(struct heap_follow *follow, struct heap_followed *followed);
/* Whether by that time all is known of what the last window's first part saw, so that it can be
 * repeated: true once. */
bool heap_follow_due(struct heap_followed *followed, uint64_t time);
/* Whether what was in use is of unknown fate by that time: true once. */
bool heap_follow_blind(struct heap_follow *follow, const struct process *process, uint64_t time);
/* A sample of a library's, which says what it stands for. */
void heap_follow_saw(const struct heap_follow *follow, const struct process *process, double size,
		     double bytes);
/* Whether a place is in one of an allocator's functions that have probes: what it calls there,
 * another probe has seen already. */
bool heap_follow_inside(const struct heap_follow *follow, uint32_t image, uint64_t offset);
/* What a hit of a function's probe costs its thread now, on average. */
uint32_t heap_follow_hit_ns(const struct heap_follow *follow);
/* Probes that are in now. */
uint64_t heap_follow_probes(const struct heap_follow *follow);
/* Of the time that functions' probes were wanted, in which they counted: 0 to 1. */
double heap_follow_observed(const struct heap_follow *follow);
/* Sets used[image - 1] of the files whose probes are known; `count`: how many images there are. */
void heap_follow_mark(const struct heap_follow *follow, bool *used, size_t count);
/* Of the stack table, as a window's (window.h); `moved` NULL: none is known any more. */
void heap_follow_keep_stacks(const struct heap_follow *follow, bool *keep);
void heap_follow_renumber(struct heap_follow *follow, const uint32_t *moved);
