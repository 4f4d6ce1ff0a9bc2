/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is left alone because a worker or an opener did not survive it, and why: the
 * newest QUARANTINE_MAX, for people. What acts on it remembers it for itself.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define QUARANTINE_MAX 64

struct quarantined {
	uint32_t image; /* as the client's caller numbers them; 0: no file of its own */
	const char *what; /* static: "names", "unwind table", "debug file", ... */
	char why[200];
	uint64_t when_ns; /* CLOCK_REALTIME */
};

struct quarantine { /* zero-initialised: empty */
	struct quarantined entries[QUARANTINE_MAX];
	uint64_t total; /* ever; the newest is the last */
};

/* what: kept, not copied. */
void quarantine_add(struct quarantine *quarantine, uint32_t image, const char *what,
		    const char *why);
/* How many of them are kept. */
size_t quarantine_count(const struct quarantine *quarantine);
/* The newest first; at < quarantine_count(). */
const struct quarantined *quarantine_get(const struct quarantine *quarantine, size_t at);
