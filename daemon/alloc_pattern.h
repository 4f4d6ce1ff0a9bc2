/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a process does with its allocator, judged by what was sampled of it, and the rule of
 * sampling that goes with it. Pure: it knows no clock, BPF or session.
 *
 * A rule is an interval (bytes between two samples, on average), a band (pieces of so many bytes
 * and more are samples each, and stand for themselves), and a grant (samples in a quarter of a
 * second; beyond them the interval is ALLOC_COARSE times as long, for the rest of it, and the
 * band as much higher). A rule is settled from what was before it holds, and each sample carries
 * the weight that its own rule gave it, so sums stay unbiased whatever a process is taken for.
 *
 * Figures are by the second, of the last ALLOC_SECONDS that were looked at. I is the usual
 * interval: memory.heap_interval for probes on an allocator, the library's own for
 * libperfd-heap.so.
 *
 *	pattern      when (the first that holds)                         wanted  at most  from
 *	unknown      less than three seconds are known                   as I      500    I
 *	bursts       8 s are known, the largest is 10 times the median     50     2000    I / 16
 *	             and would have 20 samples at I
 *	few large    half of the bytes are in pieces of 128 KiB and more   50      500    I / 16
 *	heavy        more than 500 samples/s at I                          as I    500    I
 *	many small   1,000 allocations and more, half of 256 bytes and    200      500    I / 16
 *	             less
 *	rare         less than 20 samples/s at I                           20      500    I / 64
 *	steady       otherwise                                            100      500    I / 4
 *
 * `wanted`: samples a second of the pieces below the band; the interval is made shorter for
 * them, down to `from`. `at most`: so many of the largest second; the interval is made longer
 * for that, up to 64 I. Intervals are I times a power of two; one is changed when it is off by
 * twice, at once where it is too short, after three seconds of the same judgement where too
 * long. So is the pattern. The band is the lowest of 128 KiB to 16 MiB of which no second had
 * more than 100 pieces; none if there is none; 1 MiB while the pattern is unknown.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define ALLOC_SECONDS 16u
#define ALLOC_BANDS 8u
#define ALLOC_BAND_FIRST (128u << 10) /* bytes; each other is twice the one before */
#define ALLOC_SMALL 256u /* bytes */
#define ALLOC_GRANTS 4u /* in a second */
#define ALLOC_COARSE 64u
#define ALLOC_INTERVAL_MIN 256u
#define ALLOC_INTERVAL_MAX (1u << 30)

enum alloc_pattern {
	ALLOC_UNKNOWN,
	ALLOC_RARE,
	ALLOC_FEW_LARGE,
	ALLOC_MANY_SMALL,
	ALLOC_BURSTS,
	ALLOC_HEAVY,
	ALLOC_STEADY,
	ALLOC_PATTERN_COUNT
};

struct alloc_rule {
	uint64_t interval; /* bytes */
	uint64_t band; /* bytes; 0: none */
	uint32_t grant; /* 0: no limit */
};

/* What was allocated in a second, by what samples stand for. */
struct alloc_second {
	double bytes, count;
	double small; /* of the count */
	double large[ALLOC_BANDS]; /* of the count: from its own band up to the next */
	double large_bytes[ALLOC_BANDS];
	uint32_t samples;
};

struct alloc_behaviour {
	struct alloc_second open; /* what is being added to */
	struct alloc_second seconds[ALLOC_SECONDS]; /* a ring, scaled to whole seconds */
	uint64_t count; /* of these so far */
	uint64_t usual; /* I */
	enum alloc_pattern pattern, next; /* as it is; as it was judged last */
	uint32_t next_held, longer_held; /* seconds that this was judged, one after another */
	int32_t shift; /* the interval is I << shift, or I >> -shift */
	struct alloc_rule rule;
};

/* An unknown one. */
void alloc_behaviour_init(struct alloc_behaviour *behaviour, uint64_t usual);
/* A sample of `size` bytes, which stands for `bytes` (of the time that is looked at, not of
 * any other). */
void alloc_behaviour_add(struct alloc_behaviour *behaviour, double size, double bytes);
/* `seconds` that were looked at are over, a second or less: judges. Too short ones (below
 * 1/100) go on. Whether the rule or the pattern is another one now. */
bool alloc_behaviour_second(struct alloc_behaviour *behaviour, double seconds);
/* The usual interval is another one: what is known stays known. */
void alloc_behaviour_set_usual(struct alloc_behaviour *behaviour, uint64_t usual);
/* Means of a second of what is known. */
struct alloc_second alloc_behaviour_mean(const struct alloc_behaviour *behaviour);
/* "many small": for programs and people. */
const char *alloc_pattern_name(enum alloc_pattern pattern);
/* What makes the rule what it is, as a part of a sentence. */
const char *alloc_pattern_text(enum alloc_pattern pattern);
