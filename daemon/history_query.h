/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is asked of the history: a stretch of time, an event, and whose. A filter that is
 * empty lets all pass; "*" and "?" and "[...]" in a filter are wildcards (glob(7)).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_FILTER_MAX 256

struct history_query {
	uint64_t since_ns, until_ns; /* CLOCK_REALTIME, up to INT64_MAX */
	uint64_t step_ns; /* width of the result's time axis; 0: none, and no series */
	uint32_t steps; /* likewise, by their number (about), once the time is known; 0: no */
	uint32_t pid; /* 0: all */
	char event[16]; /* "": the CPU's, whichever it was */
	char comm[HISTORY_FILTER_MAX];
	char cgroup[HISTORY_FILTER_MAX];
	char unit[HISTORY_FILTER_MAX];
	char container[HISTORY_FILTER_MAX];
	char host[HISTORY_FILTER_MAX];
};

/* Whether a name passes one filter. */
bool history_filter_passes(const char *filter, const char *name);
/* A window belongs to the time asked for: its middle is in it, or the other way round. So
 * each window is in one of two times that follow one another, and no time is too short. */
bool history_query_window(const struct history_query *query, uint64_t start_ns, uint64_t end_ns);
/* The event's name passes. */
bool history_query_event(const struct history_query *query, const char *event);
/* It asks for somebody, not for the machine. */
bool history_query_has_filter(const struct history_query *query);
/* A service passes: its comm and cgroup, and what follows from the latter. */
bool history_query_service(const struct history_query *query, const char *comm, const char *cgroup);
