/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which stacks the engine gives up, and when: those that no sample named for some minutes, when
 * they are a good part of the table, so that what perfd holds is what the machine does now and
 * not all that it ever did; and all, where the table is full all the same. The kernel side sends
 * them anew when they come again.
 */
#include "daemon/engine_internal.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"

#define EPOCH_NS (30 * NSEC_PER_SEC)
#define AGE_EPOCHS 4u /* so long nobody named it: given up */
/* It is not worth it for fewer, and for less than an eighth of all. */
#define SIFT_LEAST 2048u
#define SIFT_PART 8u

static struct heap_tracker *tracker_of(struct session *session)
{
	return session->source == ABI_SOURCE_HEAP ? &session->heap.tracker : NULL;
}

static void keep_of(struct session *session, bool *keep)
{
	const struct heap_tracker *tracker = tracker_of(session);

	window_keep_stacks(&session->window, keep);
	for (size_t i = 0; i < session->closed.count; i++)
		window_keep_stacks(&session->closed.items[i], keep);
	for (size_t i = 0; tracker && i < tracker->sites.count; i++)
		if (tracker->sites.items[i].site.stack != STACK_NONE)
			keep[tracker->sites.items[i].site.stack] = true;
}

/* Without memory (moved NULL) it is known how much there is, but not where it is from. */
static void renumber_sites(struct heap_tracker *tracker, const uint32_t *moved)
{
	_cleanup_free_ uint32_t *stacks = malloc((tracker->sites.count + 1) * sizeof(*stacks));

	for (size_t i = 0; stacks && i < tracker->sites.count; i++) {
		uint32_t stack = tracker->sites.items[i].site.stack;

		stacks[i] = stack == STACK_NONE || !moved ? STACK_NONE : moved[stack];
	}
	heap_tracker_renumber(tracker, stacks);
}

static void renumber(struct session *session, const uint32_t *moved)
{
	if (moved) {
		window_renumber(&session->window, moved);
		for (size_t i = 0; i < session->closed.count; i++)
			window_renumber(&session->closed.items[i], moved);
	}
	if (tracker_of(session))
		renumber_sites(tracker_of(session), moved);
}

/* Every session, also those that have ended and are not closed yet. */
static struct session *session_at(const struct engine *engine, size_t at)
{
	return at < ABI_SLOTS_MAX ? engine->sessions[at] : engine->ended.items[at - ABI_SLOTS_MAX];
}

static size_t sessions_end(const struct engine *engine)
{
	return ABI_SLOTS_MAX + engine->ended.count;
}

/* Gives up what is in no window, with no allocation and not marked in `keep`. `all`: nothing is in
 * a window, and where there is no memory to keep anything, all goes. */
static void sift(struct engine *engine, bool *keep, bool all)
{
	size_t before = engine->stacks.stacks.count;
	_cleanup_free_ uint32_t *moved = malloc((before + 1) * sizeof(*moved));
	bool able = keep && moved;

	if (!able && !all)
		return;
	for (size_t at = 0; able && at < sessions_end(engine); at++)
		if (session_at(engine, at))
			keep_of(session_at(engine, at), keep);
	if (able)
		heap_follow_keep_stacks(&engine->heap, keep);
	for (size_t i = 0; i < before; i++)
		if (!able || !keep[i])
			engine->source->ops->forget_stack(engine->source,
							  engine->stacks.stacks.items[i].id);
	stack_table_sift(&engine->stacks, able ? keep : NULL, moved);
	for (size_t at = 0; at < sessions_end(engine); at++)
		if (session_at(engine, at))
			renumber(session_at(engine, at), able ? moved : NULL);
	heap_follow_renumber(&engine->heap, able ? moved : NULL);
	log_debug("%zu of %zu stacks given up", before - engine->stacks.stacks.count, before);
}

void engine_empty_stacks(struct engine *engine)
{
	_cleanup_free_ bool *keep = calloc(engine->stacks.stacks.count + 1, sizeof(*keep));
	struct session_tables tables = engine_tables(engine);

	/* Everything that holds an index is folded, with the names that are there. */
	engine_walk_raw(engine, true);
	for (size_t at = 0; at < sessions_end(engine); at++) {
		struct session *session = session_at(engine, at);

		if (session && at < ABI_SLOTS_MAX)
			session_roll(session, 0, true);
		if (session)
			session_fold(session, &tables, UINT64_MAX);
	}
	sift(engine, keep, true);
}

void engine_sift_stacks(struct engine *engine, uint64_t now)
{
	struct stack_table *stacks = &engine->stacks;
	_cleanup_free_ bool *keep = NULL;
	size_t aged;

	if (now < engine->sifted + EPOCH_NS)
		return;
	engine->sifted = now;
	stacks->epoch++;
	malloc_trim(0); /* what was needed for a moment */
	aged = stack_table_aged(stacks, AGE_EPOCHS);
	if (aged < SIFT_LEAST || aged < stacks->stacks.count / SIFT_PART)
		return;
	keep = calloc(stacks->stacks.count, sizeof(*keep));
	if (!keep)
		return; /* the next time, or when the table is full */
	for (size_t i = 0; i < stacks->stacks.count; i++)
		keep[i] = !stack_aged(stacks, &stacks->stacks.items[i], AGE_EPOCHS) ||
			  stacks->stacks.items[i].state == STACK_RAW ||
			  stacks->stacks.items[i].state == STACK_LATE;
	sift(engine, keep, false);
}
