/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap_windows.h"

#include <math.h>
#include <string.h>

#include "daemon/base/clock.h"

/* The latest rates are those of so much own time, or of as much as they stand for. */
#define LATEST_NS (2.0 * NSEC_PER_SEC)
/* What probes cost is not known better than to this of a part: a process that has less of it
 * for itself is taken to have so much. */
#define OWN_LEAST 0.02
/* A first part ends when the process had almost the planned length for itself, or so many times of
 * it with what the probes cost; or after so long. */
#define ENOUGH 0.95
#define CPU_MOST 10u
#define PATIENCE_NS (250 * NSEC_PER_MSEC)
/* Who had less than that share for want of a CPU says little of its rate: the next window stands
 * for all. */
#define TOO_LITTLE 0.1

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* What the process had for itself between two moments; 0: not known. */
static double own_between(const struct heap_spent *before, const struct heap_spent *now)
{
	double cpu, probes;

	if (now->cpu <= before->cpu)
		return 0;
	cpu = (double)(now->cpu - before->cpu);
	probes = (double)(now->probes - before->probes);
	return fmax(cpu - probes, cpu * OWN_LEAST);
}

static void note_spent(struct heap_windows *windows, uint64_t now, const struct heap_spent *spent)
{
	if (!spent->cpu)
		return;
	windows->spent = *spent;
	windows->spent_at = now;
}

void heap_windows_init(struct heap_windows *windows, uint64_t since, const struct heap_spent *spent)
{
	*windows = (struct heap_windows){.since = since, .spent_since = *spent, .covers = since};
	note_spent(windows, since, spent);
}

void heap_windows_deinit(struct heap_windows *windows)
{
	vec_free(&windows->seen);
}

/* `back` 0: the last one. */
static struct heap_part *part_before(struct heap_windows *windows, uint32_t back)
{
	return &windows->parts[(windows->last + HEAP_PARTS - back) % HEAP_PARTS];
}

static const struct heap_part *part_at(const struct heap_windows *windows, uint32_t back)
{
	return &windows->parts[(windows->last + HEAP_PARTS - back) % HEAP_PARTS];
}

const struct heap_part *heap_windows_first(const struct heap_windows *windows)
{
	return part_at(windows, 1);
}

/* As long as it may be for rests that are no longer than they are to be. */
static uint64_t next_length(const struct heap_windows *windows, uint64_t now, double share)
{
	bool young = now - windows->began <= HEAP_YOUNG_NS;
	double wanted = share * (double)(young ? HEAP_YOUNG_REST_NS : HEAP_REST_NS), length;

	if (!windows->began)
		return HEAP_FIRST_NS;
	if (!windows->cost)
		return HEAP_FIRST_MOST_NS;
	/* As the last one's: some of that is not the part's, so it is approached from below. */
	length = wanted * part_at(windows, 1)->own / (double)windows->cost;
	if (length < (double)HEAP_FIRST_LEAST_NS)
		return HEAP_FIRST_LEAST_NS;
	return length > (double)HEAP_FIRST_MOST_NS ? HEAP_FIRST_MOST_NS : (uint64_t)length;
}

static void put(struct heap_windows *windows, const struct heap_part *part)
{
	windows->last = (windows->last + 1) % HEAP_PARTS;
	windows->parts[windows->last] = *part;
}

/* All before that time. */
static void forget(struct heap_windows *windows, uint64_t time)
{
	size_t gone = 0;

	/* In the order of their times, but for what threads did at the same moment. */
	while (gone < windows->seen.count && windows->seen.items[gone].time < time)
		gone++;
	if (!gone)
		return;
	windows->seen.count -= gone;
	memmove(windows->seen.items, windows->seen.items + gone,
		windows->seen.count * sizeof(*windows->seen.items));
}

uint64_t heap_windows_open(struct heap_windows *windows, uint64_t now,
			   const struct heap_spent *spent, double share)
{
	struct heap_part first = {
		.from = now,
		.until = UINT64_MAX,
		.covers = windows->covers,
		.gap = fmax(windows->gap + own_between(&windows->spent, spent), 0),
	};

	windows->length = next_length(windows, now, share);
	if (!windows->began)
		windows->began = windows->since;
	windows->open = windows->in_first = true;
	windows->due = false;
	windows->opened = now;
	windows->cost = 0;
	note_spent(windows, now, spent);
	put(windows, &first);
	put(windows, &(struct heap_part){.from = UINT64_MAX, .until = UINT64_MAX});
	forget(windows, part_at(windows, 2 * HEAP_TURNS - 1)->from);
	return now + windows->length;
}

uint64_t heap_windows_wait(const struct heap_windows *windows, uint64_t now,
			   const struct heap_spent *spent)
{
	double own = own_between(&windows->spent, spent), length = (double)windows->length;
	uint64_t cpu = spent->cpu > windows->spent.cpu ? spent->cpu - windows->spent.cpu : 0;
	uint64_t open = now - windows->opened;

	if (!windows->in_first || own >= ENOUGH * length || !spent->cpu ||
	    cpu >= CPU_MOST * windows->length || open >= PATIENCE_NS)
		return 0;
	/* As if nothing slowed it from now on: else what it does then is more than its share. */
	return now + (uint64_t)fmax(fmax(length - own, (1 - ENOUGH) * length), (double)(open / 8));
}

void heap_windows_part(struct heap_windows *windows, uint64_t now, const struct heap_spent *spent)
{
	struct heap_part *first = part_before(windows, 1), *rest = part_before(windows, 0);
	bool known =
		(double)(spent->cpu - windows->spent.cpu) >= TOO_LITTLE * (double)windows->length &&
		spent->cpu;

	if (!windows->in_first)
		return;
	windows->in_first = false;
	windows->due = known;
	first->until = rest->from = rest->covers = now;
	first->own = known ? own_between(&windows->spent, spent) : 0;
	if (known) {
		windows->covers = now;
		windows->gap = 0;
	} else { /* the next one stands for all of it */
		windows->covers = first->covers;
		windows->gap = first->gap;
	}
	note_spent(windows, now, spent);
}

void heap_windows_close(struct heap_windows *windows, uint64_t now, uint64_t until,
			const struct heap_spent *spent)
{
	const struct heap_part *first = heap_windows_first(windows);
	struct heap_part *rest = part_before(windows, 0);
	double last;

	if (!windows->open)
		return;
	heap_windows_part(windows, now, spent);
	/* What it will have until the end is in `spent` the next time, as if nobody had looked. */
	last = first->until > first->from
		       ? first->own / (double)(first->until - first->from) * (double)(until - now)
		       : 0;
	rest->until = until;
	rest->own = own_between(&windows->spent, spent) + last;
	if (windows->covers == first->until)
		windows->covers = until;
	windows->gap -= last;
	note_spent(windows, now, spent);
	windows->open = false;
	windows->ended = until;
	windows->observed_ns += until - windows->opened;
}

void heap_windows_charge(struct heap_windows *windows, uint64_t cost)
{
	windows->cost += cost;
}

void heap_windows_restart(struct heap_windows *windows, uint64_t now,
			  const struct heap_spent *spent)
{
	heap_windows_close(windows, now, now, spent);
	windows->ended = windows->since = windows->covers = now;
	windows->gap = 0;
	windows->due = false;
	windows->spent_since = *spent;
	note_spent(windows, now, spent);
	vec_clear(&windows->seen);
}

bool heap_windows_due(struct heap_windows *windows, uint64_t time)
{
	if (!windows->due || time < heap_windows_first(windows)->until)
		return false;
	windows->due = false;
	return true;
}

const struct heap_part *heap_windows_at(const struct heap_windows *windows, uint64_t time)
{
	for (uint32_t i = 0; i < HEAP_PARTS; i++) {
		const struct heap_part *part = &windows->parts[i];

		if (time >= part->from && time < part->until)
			return part;
	}
	return NULL;
}

/* ---- what stands for what ---- */

/* The share of a stretch that is after that time. */
static double share_after(uint64_t time, uint64_t from, uint64_t until)
{
	if (time <= from)
		return 1;
	return time < until ? (double)(until - time) / (double)(until - from) : 0;
}

static double own_remembered(const struct heap_windows *windows, const struct heap_part *part)
{
	return part->own * share_after(windows->remembered, part->from, part->until);
}

static double gap_of(const struct heap_part *part, uint64_t since)
{
	return part->gap * share_after(since, part->covers, part->from);
}

/* The time that a part stands for, with itself. */
static double span_of(const struct heap_part *part, uint64_t since)
{
	return part->own * share_after(since, part->from, part->until) + gap_of(part, since);
}

double heap_windows_repeats(const struct heap_windows *windows, const struct heap_part *part,
			    uint64_t since)
{
	double own = own_remembered(windows, part);

	return own > 0 ? gap_of(part, since) / own : 0;
}

double heap_windows_rate(const struct heap_windows *windows, const struct heap_part *part,
			 uint64_t since)
{
	double own = own_remembered(windows, part);

	return own > 0 ? span_of(part, since) / own : 0;
}

/* That the process had for itself since `spent`, until then, where its clock is gone: as before. */
static double own_by_time(const struct heap_windows *windows, uint64_t until)
{
	double before = own_between(&windows->spent_since, &windows->spent);

	if (until <= windows->spent_at || windows->spent_at <= windows->since)
		return 0;
	return before / (double)(windows->spent_at - windows->since) *
	       (double)(until - windows->spent_at);
}

/* Own time until then for which nothing stands yet. */
static double missing(const struct heap_windows *windows, uint64_t since, uint64_t until,
		      const struct heap_spent *spent)
{
	double own = windows->gap;

	if (!windows->open)
		own += spent->cpu ? own_between(&windows->spent, spent)
				  : own_by_time(windows, until);
	return fmax(own, 0) * share_after(since, windows->covers, until);
}

struct heap_rest heap_windows_rest(const struct heap_windows *windows, uint64_t since,
				   uint64_t until, const struct heap_spent *spent)
{
	uint64_t begin = later(since, windows->since);
	struct heap_rest rest = {.from = until};
	double lacks, known = 0;

	if (!windows->began)
		return rest;
	lacks = missing(windows, begin, until, spent);
	for (uint32_t back = 0; back < 2 * HEAP_TURNS; back++) {
		const struct heap_part *part = part_at(windows, back);

		if (part->until <= later(begin, windows->remembered) ||
		    (known >= LATEST_NS && known >= lacks))
			break;
		if (part->own <= 0)
			continue;
		known += span_of(part, since);
		rest.from = part->from;
	}
	rest.times = known > 0 ? lacks / known : 0;
	return rest;
}

/* ---- samples ---- */

void heap_windows_saw(struct heap_windows *windows, const struct heap_seen *seen)
{
	/* The older half goes; it may be the half of a part, which then counts as shorter. */
	if (windows->seen.count >= HEAP_SEEN_MAX) {
		windows->remembered = windows->seen.items[windows->seen.count / 2].time;
		forget(windows, windows->remembered);
	}
	if (vec_push(&windows->seen, *seen))
		windows->remembered = seen->time + 1; /* no memory: from then on */
}

void heap_windows_freed(struct heap_windows *windows, uint64_t address, uint64_t time)
{
	if (!windows->in_first && !windows->due)
		return;
	for (size_t i = windows->seen.count; i-- > 0;) {
		struct heap_seen *seen = &windows->seen.items[i];

		if (seen->time < windows->opened)
			return;
		if (seen->address != address)
			continue;
		if (seen->life == HEAP_LIFE_UNKNOWN && time >= seen->time)
			seen->life = time - seen->time;
		return;
	}
}

/* ---- time ---- */

uint64_t heap_windows_whole(const struct heap_windows *windows, uint64_t now)
{
	return windows->began && now > windows->began ? now - windows->began : 0;
}

uint64_t heap_windows_observed(const struct heap_windows *windows, uint64_t now)
{
	return windows->observed_ns +
	       (windows->open && now > windows->opened ? now - windows->opened : 0);
}

void heap_windows_progress(struct heap_windows *windows, uint64_t now, uint64_t *ret_whole_ns,
			   uint64_t *ret_observed_ns)
{
	uint64_t observed = heap_windows_observed(windows, now);
	uint64_t whole = heap_windows_whole(windows, now);

	*ret_whole_ns = whole > windows->told_whole_ns ? whole - windows->told_whole_ns : 0;
	*ret_observed_ns =
		observed > windows->told_observed_ns ? observed - windows->told_observed_ns : 0;
	windows->told_whole_ns += *ret_whole_ns;
	windows->told_observed_ns += *ret_observed_ns;
}
