/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What can be sampled: one table with the name of each event, what its samples stand
 * for, and which of the system-wide views shows it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

struct event_kind {
	enum abi_source source;
	const char *name; /* -e NAME */
	const char *count; /* of the profile's first value: "samples" */
	const char *value; /* of the profile's value: "cpu" */
	const char *unit;
	uint32_t view; /* slot of the system-wide view */
	const char *key; /* of the config: that view's rate */
	const char *help; /* one line */
};

/* NULL: there is none of that name. */
const struct event_kind *event_kind_find(const char *name);
/* That of a source that is in the table. */
const struct event_kind *event_kind_of(enum abi_source source);
/* Why there is no system-wide view of it: "memory.faults_hz is 0". */
void event_kind_explain(const struct event_kind *kind, char *text, size_t size);
/* "cpu-clock, cycles, …", the caller's to free; NULL without memory. */
char *event_kind_names(void);
