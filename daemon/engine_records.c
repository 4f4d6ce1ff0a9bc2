/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What each record of the stream means for the engine's tables and sessions.
 */
#include "daemon/engine_internal.h"

#include <errno.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"

static struct process *find_process(struct engine *engine, uint32_t pid, uint64_t time)
{
	struct process *process = process_table_find(&engine->processes, pid);

	if (process)
		return process;
	engine->discovered++;
	return process_table_discover(&engine->processes, pid, time);
}

static void on_sample(struct engine *engine, const struct abi_sample *sample)
{
	uint32_t slot = sample->hdr.slot < ABI_SLOTS_MAX ? sample->hdr.slot : 0;
	struct engine_taken *taken = &engine->taken[slot];
	struct session *session = engine->sessions[slot];
	uint32_t kernel = STACK_NONE, user = STACK_NONE;
	uint8_t reason = sample->hdr.reason;
	struct process *process;
	uint64_t refused;

	if (!session) { /* fired before its session was closed */
		taken->unasked++;
		return;
	}
	process = find_process(engine, sample->pid, sample->hdr.time);
	if (!process) {
		session->limited++;
		taken->limited++;
		return;
	}
	if (process->cgroup != sample->cgroup) {
		process->cgroup = sample->cgroup;
		cgroup_table_path(&engine->cgroups, sample->cgroup); /* while it is there */
	}
	if (sample->kernel_stack)
		kernel = stack_table_index(&engine->stacks, sample->kernel_stack);
	if (sample->user_stack)
		user = stack_table_index(&engine->stacks, sample->user_stack);
	if ((sample->kernel_stack && kernel == STACK_NONE) ||
	    (sample->user_stack && user == STACK_NONE))
		reason = ABI_REASON_LOST_STACK;
	refused = session->refused;
	if (session_add(session, sample, process,
			process_table_comm(&engine->processes, process, sample->tid), kernel, user,
			reason))
		taken->stored++;
	else if (session->refused > refused)
		taken->refused++;
	else
		taken->limited++;
}

/* Which tables the walk used, and which one it lacked. */
static void note_tables(struct engine *engine, const struct abi_stack *stack)
{
	uint32_t image = IMAGE_NONE;

	for (size_t i = 0; i < stack->count; i++) {
		image = ABI_FRAME_IMAGE(stack->frames[i]);
		if (image)
			unwinder_used(&engine->unwinder, image, stack->hdr.time);
	}
	if (stack->hdr.reason == ABI_REASON_EVICTED)
		unwinder_missed(&engine->unwinder, image);
}

static void on_stack(struct engine *engine, const struct abi_stack *stack)
{
	struct process *process =
		stack->pid ? find_process(engine, stack->pid, stack->hdr.time) : NULL;

	if (process)
		resolver_want_maps(&engine->resolver, process, true);
	if (stack->form == ABI_FRAME_FILE)
		note_tables(engine, stack);
	stack_table_put(&engine->stacks, stack, process);
}

/* A stack that was kept raw has been walked: from here on it is one like others. */
static void on_walked(void *context, struct process *process, const struct abi_stack *stack)
{
	struct engine *engine = context;

	capture_write(&engine->capture, &stack->hdr);
	note_tables(engine, stack);
	stack_table_put(&engine->stacks, stack, process);
}

void engine_walk_raw(struct engine *engine, bool last)
{
	const struct raw_stacks_walk how = {.source = engine->source,
					    .unwinder = &engine->unwinder,
					    .now = clock_boot_ns(),
					    .last = last,
					    .done = on_walked,
					    .context = engine};

	raw_stacks_walk(&engine->raw, &how);
}

static void on_raw(struct engine *engine, const struct abi_raw *raw)
{
	struct process *process = find_process(engine, raw->pid, raw->hdr.time);

	if (!process || !stack_table_expect(&engine->stacks, raw->id))
		return;
	resolver_want_maps(&engine->resolver, process, true);
	if (raw_stacks_put(&engine->raw, raw, process, clock_boot_ns()) != -ENOSPC)
		return;
	engine_walk_raw(engine, true);
	raw_stacks_put(&engine->raw, raw, process, clock_boot_ns());
}

static void on_fork(struct engine *engine, const struct abi_fork *fork)
{
	bool is_new;
	struct process *child = process_table_fork(&engine->processes, fork, &is_new);
	struct process *parent = process_table_alive(&engine->processes, fork->ppid);

	if (!child || !is_new || !parent)
		return;
	/* (Its walks look while nobody is told.) The kernel side has handed the parent's on, where
	 * too many do not begin at once. */
	if (!engine->mappings.choice.blind && child->maps_state == MAPS_UNKNOWN)
		resolver_want_maps(&engine->resolver, child, false);
	else if (!engine->mappings.choice.blind)
		unwinder_changed(&engine->unwinder, child);
	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
		struct session *session = engine->sessions[slot];

		if (session && (!session->target || child->slots >> slot & 1))
			session_forked(session, parent, child);
	}
}

/* The kernel side has looked, at the exec, whose owner may see what the process is now. */
static void leave_sessions(struct engine *engine, struct process *process)
{
	uint32_t slots, left;

	if (!process->slots || !engine->source->ops->target_slots ||
	    engine->source->ops->target_slots(engine->source, (pid_t)process->pid, &slots))
		return;
	left = process->slots & ~slots;
	process->slots &= slots;
	for (uint32_t slot = 1; left && slot < ABI_SESSION_SLOTS; slot++) {
		if (left >> slot & 1 && engine->sessions[slot])
			session_mark(engine->sessions[slot], "left", 0,
				     "process %u has executed a program that you may not see",
				     process->pid);
	}
}

/* A process that joins a session with its exec is a member from then on. */
static void on_exec(struct engine *engine, const struct abi_exec *exec)
{
	struct process *process = process_table_alive(&engine->processes, exec->pid);

	if (process)
		engine_alloc_rest(engine, process, exec->hdr.time);
	process = process_table_exec(&engine->processes, exec);
	if (process) {
		leave_sessions(engine, process);
		engine_mappings_exec(engine, process);
	}
	for (uint32_t slot = 1; process && slot < ABI_SESSION_SLOTS; slot++) {
		struct session *session = engine->sessions[slot];

		if (!session || !(process->slots >> slot & 1))
			continue;
		session_member(session, process);
		if (session->source == ABI_SOURCE_HEAP)
			session_heap_exec(session, process, exec->hdr.time);
	}
}

static void on_exited(struct engine *engine, const struct abi_exit *ended)
{
	bool last;
	struct process *process = process_table_exit(&engine->processes, ended, &last);

	if (process && last)
		engine_process_ended(engine, process, ended->hdr.time);
	else if (process && process->doubted && vec_push(&engine->doubted, process->pid))
		process_table_settled(process); /* it goes with whoever has its number next */
}

static void on_mmap(struct engine *engine, const struct abi_mmap *mmap)
{
	struct process *process = find_process(engine, mmap->pid, mmap->hdr.time);
	uint32_t image;

	if (!process || process->kernel)
		return;
	process_table_settled(process);
	image = resolver_map(&engine->resolver, process, mmap, false);
	unwinder_changed(&engine->unwinder, process);
	engine_mapped(engine, process, mmap, image);
}

void engine_mapped(struct engine *engine, struct process *process, const struct abi_mmap *mmap,
		   uint32_t image)
{
	engine_heap_mapped(engine, process);
	jvm_table_mapped(&engine->jvms, process, image_table_get(&engine->images, image),
			 mmap->start, mmap->offset);
	if (!process->slots)
		return;
	/* Somebody looks at it: its next mappings and tables are wanted soon. */
	unwinder_need(&engine->unwinder, process, image);
	engine->hurry_until = clock_boot_ns() + DRAIN_HURRY_NS;
}

static void on_task(struct engine *engine, const struct abi_task *task)
{
	struct process *process = process_table_task(&engine->processes, task);

	if (process && task->tid == task->pid)
		resolver_want_maps(&engine->resolver, process, false);
}

void engine_on_record(void *context, const struct abi_header *record)
{
	struct engine *engine = context;

	engine->records++;
	engine->task_records += record->type >= ABI_FORK && record->type <= ABI_EXIT;
	engine->mapping_records += record->type == ABI_MMAP;
	if (record->time > engine->now)
		engine->now = record->time;
	/* Of a raw stack the capture gets what the walk makes of it, of a mapping that a walk met
	 * what any other one would be. */
	if (record->type != ABI_RAW && record->type != ABI_FOUND)
		capture_write(&engine->capture, record);
	switch ((enum abi_type)record->type) {
	case ABI_SAMPLE:
		on_sample(engine, (const struct abi_sample *)record);
		break;
	case ABI_STACK:
		on_stack(engine, (const struct abi_stack *)record);
		break;
	case ABI_TASK:
		on_task(engine, (const struct abi_task *)record);
		break;
	case ABI_FORK:
		on_fork(engine, (const struct abi_fork *)record);
		break;
	case ABI_EXEC:
		on_exec(engine, (const struct abi_exec *)record);
		break;
	case ABI_COMM:
		process_table_renamed(&engine->processes, (const struct abi_comm *)record);
		break;
	case ABI_EXIT:
		on_exited(engine, (const struct abi_exit *)record);
		break;
	case ABI_MMAP:
		on_mmap(engine, (const struct abi_mmap *)record);
		break;
	case ABI_FOUND:
		engine_on_found(engine, (const struct abi_found *)record);
		break;
	case ABI_RAW:
		on_raw(engine, (const struct abi_raw *)record);
		break;
	case ABI_ALLOC:
		engine_on_alloc(engine, (const struct abi_alloc *)record);
		break;
	case ABI_FREE:
		engine_on_free(engine, (const struct abi_free *)record);
		break;
	case ABI_RSS:
		engine_on_rss(engine, (const struct abi_rss *)record);
		break;
	case ABI_OOM:
		engine_on_oom(engine, (const struct abi_rss *)record);
		break;
	case ABI_LOST:
	case ABI_TYPE_COUNT:
		break; /* counted by the source */
	}
}
