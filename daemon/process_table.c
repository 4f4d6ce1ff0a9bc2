/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/process_table.h"

#include <stdlib.h>
#include <string.h>

struct process *process_ref(struct process *process)
{
	if (process)
		process->references++;
	return process;
}

void process_unref(struct process *process)
{
	if (!process || --process->references)
		return;
	mapping_set_unref(process->maps);
	free(process);
}

void process_table_init(struct process_table *table, uint32_t max, uint64_t grace_ns)
{
	*table = (struct process_table){.next_serial = 1, .grace_ns = grace_ns, .max = max};
}

static void *pointer_at(const struct hashmap *map, uint64_t key)
{
	uint64_t *value = hashmap_get(map, key);

	return value ? (void *)(uintptr_t)*value : NULL;
}

void process_table_deinit(struct process_table *table)
{
	uint64_t key, value;

	for (size_t at = 0; hashmap_next(&table->alive, &at, &key, &value);)
		process_unref((struct process *)(uintptr_t)value);
	for (size_t at = 0; hashmap_next(&table->threads, &at, &key, &value);)
		free((void *)(uintptr_t)value);
	while (table->oldest_exited) {
		struct process *next = table->oldest_exited->next_exited;

		process_unref(table->oldest_exited);
		table->oldest_exited = next;
	}
	hashmap_deinit(&table->alive);
	hashmap_deinit(&table->exited);
	hashmap_deinit(&table->threads);
}

struct process *process_table_alive(const struct process_table *table, uint32_t pid)
{
	return pointer_at(&table->alive, pid);
}

struct process *process_table_find(const struct process_table *table, uint32_t pid)
{
	struct process *process = process_table_alive(table, pid);

	return process ? process : pointer_at(&table->exited, pid);
}

const char *process_table_comm(const struct process_table *table, const struct process *process,
			       uint32_t tid)
{
	const struct thread *thread = pointer_at(&table->threads, tid);

	return thread && thread->pid == process->pid ? thread->comm : process->comm;
}

static void set_comm(char *comm, const char *to)
{
	memcpy(comm, to, ABI_COMM_MAX);
	comm[ABI_COMM_MAX - 1] = '\0';
}

/* The thread's entry, made if it is not there. */
static struct thread *thread_put(struct process_table *table, struct process *process, uint32_t tid)
{
	struct thread *thread = pointer_at(&table->threads, tid);

	if (thread && thread->pid == process->pid)
		return thread;
	if (!thread) {
		thread = calloc(1, sizeof(*thread));
		if (!thread || hashmap_put(&table->threads, tid, (uintptr_t)thread)) {
			free(thread);
			return NULL;
		}
	}
	*thread = (struct thread){.tid = tid, .pid = process->pid};
	set_comm(thread->comm, process->comm);
	process->threads++;
	return thread;
}

/* True if the thread was known and the process's. */
static bool thread_drop(struct process_table *table, struct process *process, uint32_t tid)
{
	struct thread *thread = pointer_at(&table->threads, tid);

	if (!thread || thread->pid != process->pid)
		return false;
	hashmap_remove(&table->threads, tid);
	free(thread);
	if (process->threads)
		process->threads--;
	return true;
}

/* Out of the living, into the queue of the exited. */
static void retire(struct process_table *table, struct process *process, uint64_t time)
{
	hashmap_remove(&table->alive, process->pid);
	process->end = time ? time : 1;
	table->exits++;
	if (hashmap_put(&table->exited, process->pid, (uintptr_t)process)) {
		process_unref(process); /* no memory for a grace time */
		return;
	}
	if (table->newest_exited)
		table->newest_exited->next_exited = process;
	else
		table->oldest_exited = process;
	table->newest_exited = process;
}

static struct process *create(struct process_table *table, uint32_t pid, uint32_t ppid,
			      uint64_t start)
{
	struct process *older = process_table_alive(table, pid), *process;

	if (older) /* its exit was lost */
		retire(table, older, start);
	if (table->alive.count >= table->max) {
		table->refused++;
		return NULL;
	}
	process = calloc(1, sizeof(*process));
	if (!process || hashmap_put(&table->alive, pid, (uintptr_t)process)) {
		free(process);
		table->refused++;
		return NULL;
	}
	process->references = 1;
	process->pid = pid;
	process->ppid = ppid;
	process->start = start;
	process->serial = table->next_serial++;
	table->seen++;
	return process;
}

struct process *process_table_task(struct process_table *table, const struct abi_task *task)
{
	struct process *process = process_table_alive(table, task->pid);
	struct thread *thread;

	if (!process) {
		process = create(table, task->pid, task->ppid, task->start);
		if (!process)
			return NULL;
		process->listed = true;
		process->kernel = task->flags & ABI_TASK_KERNEL;
		process->exec_id = task->exec_id;
		process->exec_id_known = true;
		if (process->kernel)
			process->maps_state = MAPS_KNOWN;
		set_comm(process->comm, task->comm);
	}
	if (task->tid == task->pid)
		set_comm(process->comm, task->comm);
	thread = thread_put(table, process, task->tid);
	if (thread)
		set_comm(thread->comm, task->comm);
	return process;
}

static struct process *fork_process(struct process_table *table, const struct abi_fork *fork)
{
	struct process *parent = process_table_alive(table, fork->ppid), *process;

	process = create(table, fork->pid, fork->ppid, fork->hdr.time);
	if (!process || !parent) {
		if (process)
			thread_put(table, process, fork->tid);
		return process;
	}
	set_comm(process->comm, process_table_comm(table, parent, fork->ptid));
	process->kernel = parent->kernel;
	process->slots = parent->slots;
	process->slots_at_exec = parent->slots_at_exec;
	process->maps_state = parent->maps_state == MAPS_KNOWN ? MAPS_KNOWN : MAPS_UNKNOWN;
	process->inherits = process->maps_state != MAPS_KNOWN;
	process->maps = mapping_set_ref(parent->maps);
	process->untold = parent->untold;
	process->exec_id = parent->exec_id;
	process->exec_id_known = parent->exec_id_known;
	thread_put(table, process, fork->tid);
	return process;
}

struct process *process_table_fork(struct process_table *table, const struct abi_fork *fork,
				   bool *ret_new)
{
	struct process *process = process_table_alive(table, fork->pid);

	*ret_new = false;
	if (fork->tid == fork->pid) {
		/* The task list, read after the event was written, may have it. */
		if (process && process->listed && process->start <= fork->hdr.time) {
			process->listed = false;
			return process;
		}
		*ret_new = true;
		return fork_process(table, fork);
	}
	if (!process)
		process = process_table_discover(table, fork->pid, fork->hdr.time);
	if (process) {
		struct thread *thread = thread_put(table, process, fork->tid);

		if (thread)
			set_comm(thread->comm, process_table_comm(table, process, fork->ptid));
	}
	return process;
}

/* An exec ends all other threads, and the caller takes over the main one's
 * number (de_thread() in fs/exec.c): its old number never exits. */
static void drop_other_threads(struct process_table *table, struct process *process)
{
	VEC(uint32_t) others = {0};
	uint64_t key, value;

	for (size_t at = 0; hashmap_next(&table->threads, &at, &key, &value);) {
		const struct thread *thread = (const struct thread *)(uintptr_t)value;

		if (thread->pid == process->pid && thread->tid != process->pid &&
		    vec_push(&others, thread->tid))
			break;
	}
	for (size_t i = 0; i < others.count; i++)
		thread_drop(table, process, others.items[i]);
	vec_free(&others);
}

struct process *process_table_exec(struct process_table *table, const struct abi_exec *exec)
{
	struct process *process = process_table_alive(table, exec->pid);
	struct thread *thread;

	if (!process)
		process = process_table_discover(table, exec->pid, exec->hdr.time);
	if (!process)
		return NULL;
	mapping_set_unref(process->maps);
	process->maps = mapping_set_create();
	process->maps_state = MAPS_KNOWN;
	process->inherits = false;
	process->kernel = false;
	process->settling = true;
	process->untold = false;
	process->doubted = 0;
	process->execs++;
	process->exec_id++;
	process->published = 0;
	table->execs++;
	process->slots |= process->slots_at_exec;
	process->slots_at_exec = 0;
	set_comm(process->comm, exec->comm);
	thread = thread_put(table, process, exec->pid);
	if (thread)
		set_comm(thread->comm, exec->comm);
	if (process->threads > 1)
		drop_other_threads(table, process);
	return process;
}

struct process *process_table_renamed(struct process_table *table, const struct abi_comm *comm)
{
	struct process *process = process_table_alive(table, comm->pid);
	struct thread *thread;

	if (!process)
		return NULL;
	if (comm->tid == comm->pid)
		set_comm(process->comm, comm->comm);
	thread = thread_put(table, process, comm->tid);
	if (thread)
		set_comm(thread->comm, comm->comm);
	return process;
}

struct process *process_table_exit(struct process_table *table, const struct abi_exit *ended,
				   bool *ret_last)
{
	struct process *process = process_table_alive(table, ended->pid);

	*ret_last = false;
	if (!process)
		return NULL;
	if (process->settling && ended->tid == process->pid && process->threads <= 1) {
		process->doubted = ended->hdr.time ? ended->hdr.time : 1;
		return process;
	}
	thread_drop(table, process, ended->tid);
	if (!process->threads) {
		*ret_last = true;
		retire(table, process, ended->hdr.time);
	}
	return process;
}

void process_table_settled(struct process *process)
{
	process->settling = false;
	process->doubted = 0;
}

void process_table_end(struct process_table *table, struct process *process)
{
	uint64_t time = process->doubted;

	process_table_settled(process);
	thread_drop(table, process, process->pid);
	retire(table, process, time);
}

void process_table_gone(struct process_table *table, struct process *process, uint64_t time)
{
	process_table_settled(process);
	drop_other_threads(table, process);
	thread_drop(table, process, process->pid);
	retire(table, process, time);
}

struct process *process_table_discover(struct process_table *table, uint32_t pid, uint64_t time)
{
	struct process *process = create(table, pid, 0, time);

	if (!process)
		return NULL;
	set_comm(process->comm, "[unknown]\0\0\0\0\0\0");
	thread_put(table, process, pid);
	return process;
}

void process_table_expire(struct process_table *table, uint64_t now)
{
	while (table->oldest_exited && table->oldest_exited->end + table->grace_ns < now) {
		struct process *process = table->oldest_exited;

		table->oldest_exited = process->next_exited;
		if (!table->oldest_exited)
			table->newest_exited = NULL;
		process->next_exited = NULL;
		if (pointer_at(&table->exited, process->pid) == process)
			hashmap_remove(&table->exited, process->pid);
		process_unref(process);
	}
}
