/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One sampling event: a clock (or counter) on one CPU that runs the sampling
 * program at a rate, with the session's slot as its cookie.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/source.h"

struct bpf_link;
struct bpf_program;

struct sampling_event {
	struct bpf_link *link; /* NULL: none; owns the perf event */
};

/* Between two firings: nanoseconds of a clock, page faults. */
uint64_t sampling_period(const struct source_slot *how);
int sampling_event_open(struct sampling_event *event, const struct bpf_program *program,
			const struct source_slot *how, uint32_t cpu, uint32_t slot,
			struct error *error);
void sampling_event_close(struct sampling_event *event);
