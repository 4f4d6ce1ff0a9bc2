/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/engine_alloc_pattern.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/base/clock.h"
#include "daemon/engine_internal.h"

#define NOTE_NS (10 * NSEC_PER_SEC) /* an interval that stays is noted so often */

static const struct measure_kind interval_kind = {.name = "heap interval",
						  .group = "",
						  .unit = "bytes",
						  .kind = SERIES_LEVEL,
						  .step_ns = NSEC_PER_SEC};

static bool follows(const struct session *session, const struct process *process)
{
	return session && session->source == ABI_SOURCE_HEAP &&
	       (process->slots >> session->slot & 1);
}

/* "64 KiB", "1.5 MiB": as short as a mark wants it. */
static const char *in_words(uint64_t bytes, char *text, size_t size)
{
	if (bytes >= 1 << 20)
		snprintf(text, size, "%.3g MiB", (double)bytes / (1 << 20));
	else if (bytes >= 1 << 10)
		snprintf(text, size, "%.3g KiB", (double)bytes / (1 << 10));
	else
		snprintf(text, size, "%" PRIu64 " bytes", bytes);
	return text;
}

static void mark(struct session *session, const struct heap_followed *followed)
{
	const struct heap_rules *rules = &followed->rules;
	const struct alloc_rule *rule = heap_rules_present(rules);
	char interval[32], band[32];

	in_words(rule->interval, interval, sizeof(interval));
	in_words(rule->band, band, sizeof(band));
	session_mark(session, "alloc_pattern", rule->interval,
		     "allocations of %s (%u): %s; a sample in %s%s%s now", followed->process->comm,
		     followed->process->pid,
		     rules->by_pattern ? alloc_pattern_name(rules->behaviour.pattern)
				       : "patterns are off",
		     interval, rule->band ? ", and all from " : "", rule->band ? band : "");
}

static void note(struct session *session, struct heap_followed *followed, uint64_t now)
{
	uint64_t interval = heap_rules_present(&followed->rules)->interval;
	struct session_measure measure = {
		.kind = &interval_kind,
		.process = followed->process,
		.time = now,
		.point = {.value = interval, .low = interval, .high = interval},
	};

	session_measure(session, &measure);
}

void engine_tell_alloc_patterns(struct engine *engine, uint64_t now)
{
	bool again = now - engine->alloc_noted >= NOTE_NS;

	if (again)
		engine->alloc_noted = now;
	for (size_t i = 0; i < engine->heap.processes.count; i++) {
		struct heap_followed *followed = engine->heap.processes.items[i];
		struct heap_rules *rules = &followed->rules;
		bool changed = rules->changes != rules->told, first = !rules->noted;

		if (!changed && !first && !again)
			continue;
		rules->told = rules->changes;
		rules->noted = true;
		for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
			struct session *session = engine->sessions[slot];

			if (!session || !follows(session, followed->process))
				continue;
			if (changed)
				mark(session, followed);
			note(session, followed, now);
		}
		/* Of the whole machine there may be hundreds: what changed is enough. */
		if (changed && engine->sessions[ABI_SLOT_HEAP] && followed->process->heap_wanted)
			mark(engine->sessions[ABI_SLOT_HEAP], followed);
	}
}

/* ---- rows ---- */

static bool is_shown(const struct engine *engine, const struct process *process, bool all,
		     uid_t owner)
{
	for (uint32_t slot = 1; !all && slot < ABI_SESSION_SLOTS; slot++)
		if (follows(engine->sessions[slot], process) &&
		    engine->sessions[slot]->request.owner == owner)
			return true;
	return all;
}

/* Why it has no pattern's rule. */
static const char *why_not(const struct heap_followed *followed)
{
	if (!followed->has_notes)
		return "memory.heap_interval: patterns are off";
	if (followed->hand.state == HEAP_CONTROL_FIXED)
		return "PERFD_HEAP_INTERVAL of its environment";
	if (followed->hand.state == HEAP_CONTROL_KNOWN)
		return "its library's interval: patterns are off";
	return followed->hand.state == HEAP_CONTROL_LOST
		       ? "its library's interval: that cannot be changed"
		       : "its library's interval";
}

static json_t *row(const struct heap_followed *followed)
{
	const struct heap_rules *rules = &followed->rules;
	const struct alloc_rule *rule = heap_rules_present(rules);
	const struct alloc_second mean = alloc_behaviour_mean(&rules->behaviour);
	enum alloc_pattern pattern = rules->behaviour.pattern;
	const char *why = rules->by_pattern ? alloc_pattern_text(pattern) : why_not(followed);

	return json_pack("{s:i, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:I, s:I, s:I}", "pid",
			 (int)followed->process->pid, "comm", followed->process->comm, "by",
			 followed->has_notes ? "library" : "probes", "pattern",
			 alloc_pattern_name(pattern), "why_text", why, "interval_bytes",
			 (json_int_t)rule->interval, "band_bytes", (json_int_t)rule->band,
			 "usual_bytes", (json_int_t)rules->behaviour.usual, "bytes_per_second",
			 mean.bytes, "allocations_per_second", mean.count, "samples",
			 (json_int_t)rules->samples, "coarse_samples", (json_int_t)rules->coarse,
			 "changes", (json_int_t)rules->changes);
}

struct candidate {
	const struct heap_followed *followed;
	double bytes;
};

static int compare(const void *left, const void *right)
{
	const struct candidate *a = left, *b = right;

	return (a->bytes < b->bytes) - (a->bytes > b->bytes);
}

json_t *engine_alloc_patterns(const struct engine *engine, bool all, uid_t owner)
{
	size_t count = engine->heap.processes.count, n = 0;
	struct candidate *candidates = calloc(count + 1, sizeof(*candidates));
	json_t *rows = json_array();

	for (size_t i = 0; candidates && i < count; i++) {
		const struct heap_followed *followed = engine->heap.processes.items[i];

		if (!is_shown(engine, followed->process, all, owner))
			continue;
		candidates[n++] = (struct candidate){
			followed, alloc_behaviour_mean(&followed->rules.behaviour).bytes};
	}
	if (n)
		qsort(candidates, n, sizeof(*candidates), compare);
	for (size_t i = 0; i < n && i < ENGINE_ALLOC_PATTERNS_MAX; i++)
		json_array_append_new(rows, row(candidates[i].followed));
	free(candidates);
	return rows;
}
