/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/session_heap.h"

#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/session.h"

#define MEMBER_SHIFT 48

void session_heap_deinit(struct session_heap *heap)
{
	hashmap_deinit(&heap->index);
	vec_free(&heap->live);
	window_deinit(&heap->in_use);
}

/* 0: it cannot be told apart from others. */
static uint64_t key_of(struct session *session, struct process *process, uint64_t address)
{
	struct session_member *member = session_member(session, process);
	size_t number = member ? (size_t)(member - session->members.items) : UINT16_MAX;

	return number < UINT16_MAX ? (uint64_t)(number + 1) << MEMBER_SHIFT | address : 0;
}

static void change(struct session *session, const struct heap_live *live, bool gone)
{
	size_t number = (size_t)(live->key >> MEMBER_SHIFT) - 1;
	struct window_sample sample = {
		.process = session->members.items[number].process,
		.user_stack = live->stack,
		.kernel_stack = STACK_NONE,
		.reason = live->reason,
		.live = {gone ? -live->count : live->count, gone ? -live->bytes : live->bytes},
	};

	memcpy(sample.comm, sample.process->comm, sizeof(sample.comm));
	if (window_add(&session->heap.in_use, &sample))
		session->limited++;
}

static void drop(struct session *session, uint64_t place)
{
	struct session_heap *heap = &session->heap;
	struct heap_live *live = &heap->live.items[place];

	change(session, live, true);
	hashmap_remove(&heap->index, live->key);
	*live = (struct heap_live){.next_free = heap->first_free};
	heap->first_free = (uint32_t)place + 1;
	heap->live_count--;
}

static void keep(struct session *session, uint64_t key, const struct session_allocation *what)
{
	struct session_heap *heap = &session->heap;
	struct heap_live live = {.key = key,
				 .count = what->count,
				 .bytes = what->bytes,
				 .stack = what->stack,
				 .reason = what->reason};
	uint64_t *known = hashmap_get(&heap->index, key);
	uint32_t place = heap->first_free;

	if (known) /* its free was lost: the address is another's now */
		drop(session, *known);
	place = heap->first_free;
	if (heap->live_count >= HEAP_LIVE_MAX || !key ||
	    (!place && vec_push(&heap->live, (struct heap_live){0}))) {
		heap->untracked++;
		return;
	}
	if (!place) {
		place = (uint32_t)heap->live.count;
		heap->live.items[place - 1].next_free = heap->first_free;
	}
	if (hashmap_put(&heap->index, key, place - 1)) {
		heap->untracked++;
		return;
	}
	heap->first_free = heap->live.items[place - 1].next_free;
	heap->live.items[place - 1] = live;
	heap->live_count++;
	change(session, &live, false);
}

void session_alloc(struct session *session, struct process *process,
		   const struct session_allocation *what)
{
	struct window_sample sample = {
		.process = process,
		.kernel_stack = STACK_NONE,
		.user_stack = what->stack,
		.reason = what->reason,
		.count = what->count,
		.weight = what->bytes,
	};

	memcpy(sample.comm, process->comm, sizeof(sample.comm));
	if (session_put(session, process, what->time, &sample) && what->address)
		keep(session, key_of(session, process, what->address), what);
}

void session_free(struct session *session, struct process *process, uint64_t address)
{
	uint64_t key = key_of(session, process, address);
	uint64_t *place = key ? hashmap_get(&session->heap.index, key) : NULL;

	session->heap.frees++;
	if (place)
		drop(session, *place);
	else
		session->heap.unknown_frees++;
}

void session_heap_exec(struct session *session, struct process *process)
{
	uint64_t key = key_of(session, process, 0);

	for (size_t i = 0; key && i < session->heap.live.count; i++)
		if (session->heap.live.items[i].key >> MEMBER_SHIFT == key >> MEMBER_SHIFT)
			drop(session, i);
}

void session_heap_finish(struct session *session)
{
	struct window *in_use = &session->heap.in_use;

	if (!in_use->samples.count)
		return;
	in_use->start = session->opened;
	in_use->end = session->opened + session->window_ns;
	if (vec_push(&session->closed, *in_use)) {
		session->limited += in_use->samples.count;
		window_deinit(in_use);
	}
	*in_use = (struct window){0};
}
