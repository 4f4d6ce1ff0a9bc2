/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The word that libperfd-heap.so and those who watch it share: what perfd may
 * change while a program runs, and what the library counts. The library exports it
 * as the data symbol `perfd_heap_control`; perfd reads and writes it in the
 * program's memory. Fixed widths: a change raises HEAP_CONTROL_VERSION.
 *
 * The library's probes are USDT notes with semaphores, one place for two names:
 *
 *	perfd:alloc, otel_memory:alloc	(ptr, size, weighted_bytes)
 *	perfd:free, otel_memory:free	(ptr)
 *
 * `size` is what was asked for, in bytes. `weighted_bytes` is what the sample stands
 * for: size / p, rounded up or down by chance so that its mean is exactly that; so
 * weighted_bytes / size allocations. p = 1 - exp(-size / interval), or 1 for what is as large as
 * the band. `free` comes for
 * each pointer that `alloc` told of, once, before the memory can be used again.
 * Allocations of no bytes are not sampled.
 */
#pragma once

#include <stdint.h>

#define HEAP_CONTROL_MAGIC 0x70616568u /* "heap" */
#define HEAP_CONTROL_VERSION 2u
#define HEAP_INTERVAL_DEFAULT (512u * 1024)
#define HEAP_INTERVAL_MAX (1ULL << 40)

enum heap_mode {
	HEAP_OFF, /* no sample is taken; what was sampled is still followed */
	HEAP_WATCHED, /* sampled while somebody holds the probe's semaphore */
	HEAP_ALWAYS, /* sampled although nobody does: for tests */
};

/* How the library got between the program and its allocator. */
enum heap_state {
	HEAP_NEW, /* not asked for memory yet */
	HEAP_PRELOADED, /* by its names: it comes first */
	HEAP_PATCHED, /* by the slots of the loaded objects */
	HEAP_DETACHED, /* those were put back */
	HEAP_BYPASSED, /* the program has an allocator inside, which goes before ours */
	HEAP_REFUSED, /* set-user-id program: nothing is done */
};

/* heap_control.flags */
#define HEAP_FIXED 1u /* the environment named an interval: it stays */

struct heap_control {
	uint32_t magic;
	uint32_t version;
	uint32_t mode; /* enum heap_mode; may be changed at any time */
	uint32_t state; /* enum heap_state; the library's */
	/* Mean bytes between two samples; 0: every allocation. May be changed at any
	 * time; then `changes` is to be raised, after it. Threads follow within
	 * HEAP_CHECK_BYTES; weights are right at every moment. */
	uint64_t interval;
	uint64_t seed; /* of the draws; 0: from the clock */
	uint32_t changes;
	/* Counted by the library. */
	uint32_t threads; /* that have drawn so far, forked ones too */
	uint64_t sampled; /* allocations */
	uint64_t freed; /* of these */
	uint64_t untracked; /* no room to follow them: not told of at all */
	uint64_t untracked_bytes; /* their weighted bytes */
	uint64_t slots; /* patched now */
	uint64_t objects; /* looked at for slots so far */
	/* Allocations of so many bytes and more are samples, each, and stand for themselves; 0: of
	 * no size. May be changed like `interval`. */
	uint64_t band;
	/* As soon as `sampled` is that much, interval and band are taken HEAP_COARSE times as
	 * large, until this or the rule is changed (and `changes` raised); 0: never. */
	uint64_t granted;
	uint64_t usual; /* the interval that the library began with */
	uint32_t flags;
	uint32_t pad;
};

#define HEAP_COARSE 64u

/* A thread takes notice of a change after at most so many bytes; mostly after a quarter of its
 * interval. */
#define HEAP_CHECK_BYTES (4ULL << 20)

_Static_assert(sizeof(struct heap_control) == 120, "heap_control");
