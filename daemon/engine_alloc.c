/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sampled allocations and their frees, on their way into the sessions of their process.
 */
#include "daemon/engine_internal.h"

#include <math.h>

#include "daemon/base/clock.h"

/* What a sampled allocation stands for, in bytes. */
static double bytes_of(const struct engine *engine, const struct abi_alloc *alloc,
		       const struct process *process, double size)
{
	uint32_t code = alloc->who >> ABI_PID_BITS;

	if (code != ABI_WEIGHT_BY_SIZE)
		return (double)abi_small_value(code, ABI_WEIGHT_MANTISSA);
	/* p = 1 - exp(-size / interval) */
	return size / -expm1(-size / (double)engine->config.heap_interval_bytes) *
	       heap_follow_share(&engine->heap, process, alloc->time);
}

void engine_on_alloc(struct engine *engine, const struct abi_alloc *alloc)
{
	struct process *process = process_table_find(&engine->processes, abi_alloc_pid(alloc));
	double size = (double)abi_alloc_size(alloc), bytes;
	struct session_allocation what = {.time = alloc->time,
					  .address = abi_alloc_address(alloc),
					  .stack = STACK_NONE,
					  .reason = alloc->reason};

	if (!process || size < 1) {
		engine->taken[ABI_SLOT_HEAP].unasked++;
		return;
	}
	engine->taken[ABI_SLOT_HEAP].stored++;
	bytes = bytes_of(engine, alloc, process, size);
	what.bytes = (uint64_t)llround(bytes);
	what.count = (uint64_t)llround(bytes / size * HEAP_COUNT_SCALE);
	if (alloc->stack)
		what.stack = stack_table_index(&engine->stacks, alloc->stack);
	if (what.stack == STACK_NONE)
		what.reason = ABI_REASON_LOST_STACK;
	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
		struct session *session = engine->sessions[slot];

		if (session && session->source == ABI_SOURCE_HEAP && (process->slots >> slot & 1))
			session_alloc(session, process, &what);
	}
}

void engine_on_free(struct engine *engine, const struct abi_free *record)
{
	struct process *process = process_table_find(&engine->processes, record->pid);

	for (uint32_t slot = 1; process && slot < ABI_SESSION_SLOTS; slot++) {
		struct session *session = engine->sessions[slot];

		if (session && session->source == ABI_SOURCE_HEAP && (process->slots >> slot & 1))
			session_free(session, process, record->time, record->address);
	}
}

bool engine_has_heap(const struct engine *engine)
{
	return engine->heap.processes.count;
}

static uint32_t heap_slots(const struct engine *engine)
{
	uint32_t slots = 0;

	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++)
		if (engine->sessions[slot] && engine->sessions[slot]->source == ABI_SOURCE_HEAP)
			slots |= 1u << slot;
	return slots;
}

/* Those that joined a session since, and those that are in none any more. */
static void follow(struct engine *engine, uint32_t slots)
{
	uint64_t key, value;

	for (size_t at = 0; slots && hashmap_next(&engine->processes.alive, &at, &key, &value);) {
		struct process *process = (struct process *)(uintptr_t)value;

		if (process->slots & slots)
			heap_follow_add(&engine->heap, process);
	}
	for (size_t i = engine->heap.processes.count; i-- > 0;) {
		struct process *process = engine->heap.processes.items[i]->process;

		if (!(process->slots & slots))
			heap_follow_remove(&engine->heap, process);
	}
}

static void on_heap_timer(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	engine_run_heap(context);
}

void engine_run_heap(struct engine *engine)
{
	uint32_t slots = heap_slots(engine);
	uint64_t now = clock_boot_ns(), next;
	struct timeval delay = {0};

	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++)
		if (slots >> slot & 1)
			session_heap_tick(engine->sessions[slot], engine->now);

	if (!slots && !engine->heap.processes.count)
		return;
	follow(engine, slots);
	next = heap_follow_run(&engine->heap, now);
	if (!engine->heap_timer)
		engine->heap_timer = evtimer_new(engine->base, on_heap_timer, engine);
	if (!next || !engine->heap_timer)
		return;
	next = next > now ? next - now : 1;
	delay.tv_sec = (time_t)(next / NSEC_PER_SEC);
	delay.tv_usec = (suseconds_t)(next % NSEC_PER_SEC / 1000 + 1);
	evtimer_add(engine->heap_timer, &delay);
}
