/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a profile of allocations comes to, in words: how the process uses memory (its pattern,
 * with the facts it was judged by), and what could be done about it. Each sentence comes from a
 * rule with a threshold that has a name; docs/memory.md lists them.
 *
 * Ownership: the advice owns its texts.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/strbuf.h"
#include "daemon/base/vec.h"
#include "flamegraph/heap_view.h"

/* Allocations a second, and what part of them is temporary, from which on a pool pays. */
#define HEAP_CHURN_RATE 10000.0
#define HEAP_CHURN_SHARE 0.5
/* So many objects of so few bytes: what the allocator adds to each is no small part. */
#define HEAP_SMALL_OBJECTS 100000.0
#define HEAP_SMALL_BYTES 32.0
/* glibc's and others' bound from which on an allocation is a mapping of its own. */
#define HEAP_LARGE_BYTES 131072.0
#define HEAP_LARGE_RATE 100.0
#define HEAP_LARGE_LIFE_NS 100e6
/* Anonymous memory that is not live heap: bytes, and the part of all of it. */
#define HEAP_GAP_BYTES (64ULL << 20)
#define HEAP_GAP_SHARE 0.5
/* A peak so many times what is in use now, and of so many bytes. */
#define HEAP_PEAK_TIMES 2.0
#define HEAP_PEAK_BYTES (16ULL << 20)
/* A median size up to which, and a part of the bytes in large ones from which on, … */
#define HEAP_PATTERN_SMALL 256.0
#define HEAP_PATTERN_LARGE_SHARE 0.5
/* A mean of windows so many times their median is made by bursts; at least so many samples a
 * window, or chance would do it. */
#define HEAP_BURST_TIMES 2.0
#define HEAP_BURST_SAMPLES 10.0

struct heap_sentence {
	char key[16]; /* "leak", "churn", "small", "large", "gap", "peak" */
	struct strbuf text;
	uint32_t stack; /* what it is about; PROFILE_NONE: the whole */
};

struct heap_advice {
	/* "many small" "few large" "mixed"; "growing" "steady" "settled" "shrinking" "unknown";
	 * "bursts" "even" "unknown" */
	const char *sizes, *trend, *rhythm;
	struct strbuf facts;
	double rate, byte_rate; /* allocations and bytes a second */
	double size_p50, large_share;
	uint64_t anon_bytes, live_bytes; /* at the last look, of all processes; 0: not known */
	VEC(struct heap_sentence) sentences; /* leaks first */
};

/* `rows`: by function, of any view. -ENOMEM. */
int heap_advice_init(struct heap_advice *advice, const struct profile *profile,
		     const struct heap_data *data, const struct heap_rows *rows);
void heap_advice_deinit(struct heap_advice *advice);
