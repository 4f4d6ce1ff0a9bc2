/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What `perfctl top` shows, without a terminal or a daemon: the last TOP_KEPT intervals of a
 * session on all processes, and rows made of them: processes, functions of one process or of
 * all, and who calls one of them.
 *
 *	processes  the newest interval; rates are of a second, CPU time of one CPU
 *	functions  all intervals that are kept, which have more samples to go by
 *	callers    likewise: whatever is directly outside of a chain of functions
 *
 * Ownership: the model owns the profiles it is given. Rows own their texts and stay what they
 * are when the model goes on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"
#include "flamegraph/labels.h"
#include "flamegraph/profile.h"

#define TOP_KEPT 20u
#define TOP_COMM_MAX 16

enum top_level { TOP_PROCESSES, TOP_FUNCTIONS, TOP_CALLERS, TOP_LEVEL_COUNT };

enum top_sort {
	TOP_BY_CPU,
	TOP_BY_MEMORY,
	TOP_BY_FAULTS,
	TOP_BY_PID,
	TOP_BY_SELF,
	TOP_BY_TOTAL,
	TOP_BY_NAME,
	TOP_SORT_COUNT
};

/* What /proc has of a process. */
struct top_fact {
	uint32_t pid;
	uint64_t birth_ns; /* CLOCK_REALTIME; 0: unknown */
	uint64_t rss_bytes;
	char comm[TOP_COMM_MAX];
};
struct top_facts {
	struct top_fact *items;
	size_t count;
	size_t capacity;
	bool known; /* false: /proc could not tell, or is of other processes */
};

struct top_process {
	uint32_t pid;
	uint64_t birth_ns; /* 0: unknown */
	uint64_t rss_bytes;
	bool rss_known;
	uint64_t seen; /* interval */
	char comm[TOP_COMM_MAX];
	uint64_t samples; /* of the newest interval */
	uint64_t cpu_ns[TOP_KEPT], faults[TOP_KEPT]; /* by interval % TOP_KEPT */
};

struct top_loss {
	uint32_t key, text; /* in model->names */
	uint64_t all, newest; /* since the session began; in the newest interval */
};

struct top_interval {
	struct profile *cpu; /* NULL: none yet */
	struct labels labels;
	uint64_t duration_ns, samples, cpu_ns;
};

struct top_model {
	struct top_interval intervals[TOP_KEPT];
	uint64_t count; /* intervals so far; the newest is (count - 1) % TOP_KEPT */
	VEC(struct top_process) processes;
	struct hashmap by_pid; /* pid -> index */
	VEC(struct top_loss) losses;
	struct strtab names; /* of losses */
	bool rss_known;
};

void top_model_deinit(struct top_model *model);
/* An interval: the profiles are the model's from then on, on failure too (then they are gone
 * and nothing has changed). `faults`: NULL if unknown. -EINVAL: no time; -ENOMEM. */
int top_model_add(struct top_model *model, struct profile *cpu, struct profile *faults,
		  uint64_t duration_ns, const struct top_facts *facts);
/* The newest one; NULL: there is none yet. */
const struct top_interval *top_model_newest(const struct top_model *model);
/* Time that all kept intervals are of. */
uint64_t top_model_kept_ns(const struct top_model *model);

struct top_function {
	char *text, *module;
};

struct top_query {
	enum top_level level;
	uint32_t pid; /* functions and callers: of that process; 0: of all */
	uint64_t birth_ns; /* which one of that pid; 0: any */
	const struct top_function *chain; /* callers: the function, its caller, … outwards */
	size_t chain_count;
	enum top_sort sort; /* the level's own default if it has no such column */
	bool reversed;
	bool newest; /* functions and callers: of the newest interval only */
	const char *filter; /* extended regular expression, or a text that is none; NULL: all */
};

struct top_row {
	uint32_t text, module; /* in rows->names */
	uint32_t kind; /* enum frame_kind, LABEL_COMM: a thread; of functions and callers */
	uint32_t pid;
	uint64_t birth_ns;
	uint64_t samples;
	uint64_t cpu_ns; /* processes: in the newest interval */
	uint64_t self_ns, total_ns; /* functions; of callers: the time in the chain through it */
	double cpu; /* processes: share of one CPU */
	double self, total; /* shares of rows->subject_ns */
	double faults; /* a second */
	uint64_t rss_bytes;
	bool rss_known;
	uint32_t trend[TOP_KEPT]; /* oldest first: permille of one CPU */
};

struct top_rows {
	VEC(struct top_row) items;
	struct strtab names;
	uint64_t subject_ns; /* CPU time of the process or of all, in the kept intervals */
	uint64_t hidden; /* rows that the filter left out */
	uint32_t trend_count;
	enum top_sort sort; /* as done */
};

/* 0 or -ENOMEM; nothing to deinit then. */
int top_rows_init(struct top_rows *rows, const struct top_model *model,
		  const struct top_query *query);
void top_rows_deinit(struct top_rows *rows);
const char *top_rows_text(const struct top_rows *rows, uint32_t id);

/* "cpu", "memory", …; -EINVAL. */
int top_sort_parse(const char *name, enum top_sort *ret);
const char *top_sort_name(enum top_sort sort);
/* Whether a level has that column. */
bool top_sort_fits(enum top_level level, enum top_sort sort);
