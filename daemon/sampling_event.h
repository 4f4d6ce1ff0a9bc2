/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One sampling event: a clock (or counter) on one CPU that runs the sampling
 * program at a rate, with the session's slot as its cookie.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/source.h"

struct bpf_link;
struct bpf_program;

struct sampling_event {
	struct bpf_link *link; /* NULL: none; owns the perf event */
	int fd; /* the perf event's */
};

/* False: what is sampled is seen otherwise, by probes or a tracepoint. */
bool sampling_event_has(enum abi_source source);
/* Between two firings: nanoseconds of a clock, page faults. 0: a counter that the kernel
 * steers to the frequency, or no such event. */
uint64_t sampling_period(const struct source_slot *how);
/* The same, a little more or less by chance: sampling that goes in step with what a program
 * does again and again would always or never see it. */
uint64_t sampling_period_jittered(const struct source_slot *how);
/* `period`: of those. */
int sampling_event_open(struct sampling_event *event, const struct bpf_program *program,
			const struct source_slot *how, uint64_t period, uint32_t cpu, uint32_t slot,
			struct error *error);
/* The next firing of a clock is a new period away, from now. */
int sampling_event_set(const struct sampling_event *event, const struct source_slot *how,
		       uint64_t period);
void sampling_event_close(struct sampling_event *event);
