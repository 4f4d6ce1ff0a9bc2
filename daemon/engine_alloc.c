/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sampled allocations and their frees, on their way into the sessions of their process.
 */
#include "daemon/engine_internal.h"

#include <fnmatch.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/clock.h"

/* Whether it was drawn in the kernel, by a probe on an allocator's own function. */
static bool is_drawn(const struct abi_alloc *alloc)
{
	uint32_t code = alloc->who >> ABI_PID_BITS;

	return code >= ABI_WEIGHT_RULE && code <= ABI_WEIGHT_BAND;
}

/* What a sampled allocation stands for by its rule, in bytes. 0: another one stands for it. */
static double bytes_of(const struct engine *engine, const struct abi_alloc *alloc,
		       const struct process *process, double size)
{
	uint32_t code = alloc->who >> ABI_PID_BITS;
	double bytes = size;

	if (is_drawn(alloc))
		return heap_follow_weigh(&engine->heap, process, alloc->time, code, size);
	if (code != ABI_WEIGHT_ITSELF)
		bytes = (double)abi_small_value(code, ABI_WEIGHT_MANTISSA);
	heap_follow_saw(&engine->heap, process, size, bytes);
	return bytes;
}

/* The sessions of allocations that a process is in, one after another; NULL: no more. */
static struct session *next_session(const struct engine *engine, const struct process *process,
				    uint32_t *slot)
{
	while (++*slot < ABI_SESSION_SLOTS) {
		struct session *session = engine->sessions[*slot];

		if (session && session->source == ABI_SOURCE_HEAP && (process->slots >> *slot & 1))
			return session;
	}
	return NULL;
}

/* The session of the machine's view, where the process is in it; NULL. */
static struct session *view_of(const struct engine *engine, const struct process *process)
{
	return process->heap_wanted ? engine->sessions[ABI_SLOT_HEAP] : NULL;
}

/* ---- the time without probes ---- */

static void repeat(struct session *session, struct process *process, const struct heap_seen *seen,
		   uint64_t time, double times)
{
	struct session_allocation what = {.time = time,
					  .repeats = true,
					  .life = seen->life,
					  .count = (uint64_t)llround((double)seen->count * times),
					  .bytes = (uint64_t)llround((double)seen->bytes * times),
					  .stack = seen->stack,
					  .reason = seen->reason};

	session_alloc(session, process, &what);
}

/* What the last window's first part saw, for the time before it. */
static void repeat_first(struct session *session, const struct heap_followed *followed)
{
	const struct heap_windows *windows = &followed->windows;
	const struct heap_part *first = heap_windows_first(windows);
	double times = heap_windows_repeats(windows, first, session->opened);

	for (size_t i = 0; times > 0 && i < windows->seen.count; i++) {
		const struct heap_seen *seen = &windows->seen.items[i];

		if (seen->time >= first->from && seen->time < first->until)
			repeat(session, followed->process, seen, seen->time, times);
	}
}

/* If by that time all is known of the last window's first part. */
static void settle(struct engine *engine, struct heap_followed *followed, uint64_t time)
{
	struct process *process = followed->process;
	struct session *session;

	if (!heap_follow_due(followed, time))
		return;
	for (uint32_t slot = 0; (session = next_session(engine, process, &slot));)
		repeat_first(session, followed);
	if (view_of(engine, process))
		repeat_first(view_of(engine, process), followed);
}

/* What the latest windows saw, for the time after the last. */
static void repeat_latest(struct engine *engine, struct session *session,
			  const struct heap_followed *followed, uint64_t until)
{
	const struct heap_windows *windows = &followed->windows;
	struct heap_spent spent = heap_follow_spent(&engine->heap, followed);
	struct heap_rest rest = heap_windows_rest(windows, session->opened, until, &spent);

	for (size_t i = 0; rest.times > 0 && i < windows->seen.count; i++) {
		const struct heap_seen *seen = &windows->seen.items[i];
		const struct heap_part *part = heap_windows_at(windows, seen->time);

		if (seen->time >= rest.from && part)
			repeat(session, followed->process, seen, until,
			       rest.times * heap_windows_rate(windows, part, session->opened));
	}
}

void engine_alloc_rest(struct engine *engine, struct process *process, uint64_t until)
{
	struct heap_followed *followed = heap_follow_find(&engine->heap, process);
	struct session *session;

	if (!followed)
		return;
	heap_follow_finish(&engine->heap, followed);
	settle(engine, followed, UINT64_MAX);
	for (uint32_t slot = 0; (session = next_session(engine, process, &slot));)
		repeat_latest(engine, session, followed, until);
	if (view_of(engine, process))
		repeat_latest(engine, view_of(engine, process), followed, until);
}

void engine_alloc_finish(struct engine *engine, struct session *session)
{
	const struct heap_follow *heap = &engine->heap;

	for (size_t i = 0; i < heap->processes.count; i++) {
		struct heap_followed *followed = heap->processes.items[i];

		if (!(followed->process->slots >> session->slot & 1))
			continue;
		heap_follow_finish(&engine->heap, followed);
		settle(engine, followed, UINT64_MAX);
		repeat_latest(engine, session, followed, session->ended);
	}
}

/* What the process has in use is of unknown fate, if nobody looked at its frees by then. */
static void note_break(struct engine *engine, struct process *process, uint64_t time)
{
	struct heap_followed *followed = heap_follow_find(&engine->heap, process);
	struct session *session;

	if (followed)
		settle(engine, followed, time);
	if (!heap_follow_blind(&engine->heap, process, time))
		return;
	for (uint32_t slot = 0; (session = next_session(engine, process, &slot));)
		session_heap_break(session, process, time);
}

static void ignore(struct engine *engine, struct process *process, uint64_t time, uint64_t address)
{
	struct session *session;

	for (uint32_t slot = 0; (session = next_session(engine, process, &slot));)
		session_heap_ignore(session, process, time, address);
}

/* One allocator's function calls another, as realloc() does malloc() where its arena is full:
 * that is one allocation, and the outer one's probe has had its own draw. */
static bool is_inner(const struct engine *engine, uint32_t index)
{
	const struct stack_table *table = &engine->stacks;
	const struct stack *stack = &table->stacks.items[index];
	const struct frame *leaf, *caller;

	if (stack->state != STACK_READY || stack->count < 2)
		return false;
	leaf = &table->frames.items[table->frame_ids.items[stack->first]];
	caller = &table->frames.items[table->frame_ids.items[stack->first + 1]];
	return leaf->image == caller->image &&
	       heap_follow_inside(&engine->heap, caller->image, caller->offset);
}

/* It is none, or another one stands for it. */
static void leave_out(struct engine *engine, struct process *process,
		      const struct session_allocation *what)
{
	if (what->address)
		ignore(engine, process, what->time, what->address);
}

/* By a window, for the time that has none. */
static void note_seen(struct engine *engine, const struct process *process,
		      const struct session_allocation *what)
{
	struct heap_followed *followed = heap_follow_find(&engine->heap, process);
	struct heap_seen seen = {.time = what->time,
				 .address = what->address,
				 .count = what->count,
				 .bytes = what->bytes,
				 .life = HEAP_LIFE_UNKNOWN,
				 .stack = what->stack,
				 .reason = what->reason};

	if (followed)
		heap_windows_saw(&followed->windows, &seen);
}

void engine_on_alloc(struct engine *engine, const struct abi_alloc *alloc)
{
	struct process *process = process_table_find(&engine->processes, abi_alloc_pid(alloc));
	double size = (double)abi_alloc_size(alloc), bytes;
	struct session *session;
	struct session_allocation what = {.time = alloc->time,
					  .address = abi_alloc_address(alloc),
					  .stack = STACK_NONE,
					  .reason = alloc->reason};

	if (!process || size < 1) {
		engine->taken[ABI_SLOT_HEAP].unasked++;
		return;
	}
	engine->taken[ABI_SLOT_HEAP].stored++;
	note_break(engine, process, alloc->time);
	if (what.address == ABI_ADDRESS_UNFOLLOWED) {
		what.unfollowed = true;
		what.address = 0;
	}
	bytes = bytes_of(engine, alloc, process, size);
	if (bytes <= 0) {
		leave_out(engine, process, &what);
		return;
	}
	what.bytes = (uint64_t)llround(bytes);
	what.count = (uint64_t)llround(bytes / size * HEAP_COUNT_SCALE);
	if (alloc->stack)
		what.stack = stack_table_index(&engine->stacks, alloc->stack);
	if (what.stack == STACK_NONE) {
		what.reason = ABI_REASON_LOST_STACK;
	} else if (is_drawn(alloc) && is_inner(engine, what.stack)) {
		leave_out(engine, process, &what);
		return;
	}
	if (is_drawn(alloc))
		note_seen(engine, process, &what);
	for (uint32_t slot = 0; (session = next_session(engine, process, &slot));)
		session_alloc(session, process, &what);
	/* The view's windows come and go: what of them is in use, nobody could say. */
	if (view_of(engine, process)) {
		what.address = 0;
		session_alloc(view_of(engine, process), process, &what);
	}
}

void engine_on_free(struct engine *engine, const struct abi_free *record)
{
	struct process *process = process_table_find(&engine->processes, record->pid);
	struct heap_followed *followed;
	struct session *session;

	if (!process)
		return;
	note_break(engine, process, record->time);
	followed = heap_follow_find(&engine->heap, process);
	if (followed)
		heap_windows_freed(&followed->windows, record->address, record->time);
	for (uint32_t slot = 0; (session = next_session(engine, process, &slot));)
		session_free(session, process, record->time, record->address,
			     record->reason == ABI_REASON_LOST_LIMIT);
}

static uint32_t heap_slots(const struct engine *engine)
{
	uint32_t slots = 0;

	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++)
		if (engine->sessions[slot] && engine->sessions[slot]->source == ABI_SOURCE_HEAP)
			slots |= 1u << slot;
	return slots;
}

static bool matches(const char *patterns, const char *comm)
{
	char text[sizeof(((struct config *)0)->heap_probes)], *rest = NULL;

	snprintf(text, sizeof(text), "%s", patterns);
	for (char *word = strtok_r(text, " \t,", &rest); word; word = strtok_r(NULL, " \t,", &rest))
		if (!fnmatch(word, comm, 0))
			return true;
	return false;
}

/* Whether the view of the machine is to show it. perfd looks not at itself. */
static bool is_wanted(struct engine *engine, struct process *process)
{
	if (!engine->sessions[ABI_SLOT_HEAP] || process->kernel)
		return false;
	if (process->heap_judged == process->execs + 1)
		return process->heap_wanted;
	process->heap_judged = process->execs + 1;
	process->heap_wanted = process->pid != (uint32_t)getpid() &&
			       process->ppid != (uint32_t)getpid() &&
			       matches(engine->config.heap_probes, process->comm);
	if (process->heap_wanted)
		engine_mappings_wanted(engine, process);
	return process->heap_wanted;
}

/* Those that joined a session since, and those that are in none any more. */
static void follow(struct engine *engine, uint32_t slots)
{
	uint64_t key, value;

	for (size_t at = 0; hashmap_next(&engine->processes.alive, &at, &key, &value);) {
		struct process *process = (struct process *)(uintptr_t)value;
		bool wanted = is_wanted(engine, process);

		if (process->slots & slots || wanted)
			heap_follow_add(&engine->heap, process);
	}
	for (size_t i = engine->heap.processes.count; i-- > 0;) {
		struct process *process = engine->heap.processes.items[i]->process;

		if (!(process->slots & slots) && !is_wanted(engine, process))
			heap_follow_remove(&engine->heap, process);
	}
}

/* How much of the time was looked at, for the sessions of each process. */
static void tell_progress(struct engine *engine, uint64_t now)
{
	for (size_t i = 0; i < engine->heap.processes.count; i++) {
		struct heap_followed *followed = engine->heap.processes.items[i];
		struct session *session;
		uint64_t wanted, observed;

		note_break(engine, followed->process, engine->now);
		heap_windows_progress(&followed->windows, now, &wanted, &observed);
		for (uint32_t slot = 0;
		     (session = next_session(engine, followed->process, &slot));) {
			session->heap.wanted_ns += wanted;
			session->heap.observed_ns += observed;
		}
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

	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++)
		if (slots >> slot & 1)
			session_heap_tick(engine->sessions[slot], engine->now);

	if (!slots && !engine->heap.processes.count && !engine->sessions[ABI_SLOT_HEAP])
		return;
	follow(engine, slots);
	tell_progress(engine, now);
	next = heap_follow_run(&engine->heap, now);
	engine_tell_alloc_patterns(engine, engine_time(engine));
	if (next)
		engine_call_at(engine, &engine->heap_timer, on_heap_timer, next);
}
