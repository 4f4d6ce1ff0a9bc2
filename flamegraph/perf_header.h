/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The head of a sample as `perf script` prints it, and a little wider:
 *
 *	redis-server 1234/1235 [001] 4794564.109216:   10101010 cpu-clock:ppp:  ...
 *
 * The name may have blanks; what stands between the thread and the time is passed over.
 * All that is given points into the line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct perf_header {
	const char *comm, *pid, *tid, *event;
	size_t comm_n, pid_n, tid_n, event_n; /* the pid is "?" where it is not told */
	size_t task_n; /* from the comm to the end of the tid: who it was */
	uint64_t time_ns, period;
	bool has_time, has_period;
	const char *rest; /* behind the event: a stack of one frame, or nothing of ours */
	size_t rest_n;
};

/* Unchanged if it is none. */
bool perf_header_parse(const char *line, size_t n, struct perf_header *ret);
