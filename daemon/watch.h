/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Watches the measuring itself, once a second: what was lost since, CPUs that came or
 * went, the kernel's limit of the rate, workers that were replaced, a clock that was set. What it
 * sees becomes a mark in the sessions that it concerns, and what was lost is told to them by
 * reason.
 *
 * Other parts mark what only they know (a rate that was changed, a process that was killed)
 * by watch_mark() or session_mark().
 */
#pragma once

#include <stdint.h>

struct engine;
struct source_counters;

struct watch {
	uint32_t cpus, cpu_changes; /* as last seen */
	uint32_t worker_restarts;
	uint64_t kernel_rate; /* kernel.perf_event_max_sample_rate; 0: not known */
	int kernel_rate_fd; /* -1: cannot be read */
};

void watch_init(struct watch *watch, const struct engine *engine);
void watch_deinit(struct watch *watch);
/* Looks; also to be called before a session's result is made, that it be complete. `counters`:
 * what was counted just now; NULL: to be asked for. */
void watch_look(struct watch *watch, struct engine *engine, const struct source_counters *counters);
/* A mark in every session that runs. */
void watch_mark(struct engine *engine, const char *key, uint64_t value, const char *format, ...)
	__attribute__((format(printf, 4, 5)));
