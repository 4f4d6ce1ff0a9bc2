/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The processes of the machine as the record stream tells of them, in the
 * order of time: who lives under which pid, its threads' names, its mappings.
 *
 * A pid is reused; a process is not: each has a serial of its own. Exited ones
 * stay findable for a grace time (late samples), and in memory as long as
 * somebody holds a reference.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/base/hashmap.h"
#include "daemon/mapping_set.h"

enum maps_state {
	MAPS_UNKNOWN, /* it was there before us: /proc has to be read */
	MAPS_ASKED,
	MAPS_KNOWN,
};

struct process {
	uint32_t references;
	uint32_t pid;
	uint32_t ppid;
	uint32_t threads; /* alive */
	uint64_t serial; /* unique in this daemon's life */
	uint64_t start; /* boot time ns; of processes found at our start too */
	uint64_t end; /* 0: alive */
	uint64_t cgroup; /* v2 id, as its last sample had it; 0: none yet */
	uint32_t execs; /* counted: permission is checked again after each */
	uint32_t exec_id; /* the kernel's own count of its and its ancestors' execs */
	bool exec_id_known;
	uint32_t published; /* number of the mapping set that the kernel side has for it */
	uint32_t slots; /* sessions that follow it (bit a slot) */
	uint32_t slots_at_exec; /* those that will with its next exec */
	enum maps_state maps_state;
	struct mapping_set *maps; /* NULL while unknown */
	uint32_t jit_image; /* of the code that it writes itself; IMAGE_NONE: none yet */
	uint32_t jit_dump; /* its compiler's dump, which it has mapped; likewise */
	uint32_t jit_execs; /* `execs` when those were found */
	__u64 memory[ABI_MEMORY_COUNT]; /* bytes by kind, when last put on a time line */
	uint64_t memory_time; /* boot time ns of that; 0: never */
	uint32_t heap_judged; /* execs + 1 when `heap_wanted` was last settled */
	bool heap_wanted; /* memory.heap_probes has a pattern for it */
	uint32_t maps_turn; /* times that they were asked for */
	uint32_t finds; /* mappings that walks met (ABI_FOUND), so far */
	uint64_t maps_hash; /* mapping_set_hash() when they were last read; 0: never */
	bool untold; /* its program's mappings were not told, but those that walks met */
	bool settling; /* has executed a program, and no mapping of it has been told yet */
	uint64_t doubted; /* boot time ns of an exit that may be none; 0: none was told */
	uint64_t absent; /* boot time ns when it was first seen not to be there; 0: not so */
	bool kernel; /* a kernel thread */
	bool listed; /* known from the task list, not from a fork */
	bool inherits; /* forked before its parent's mappings were known: they are its own, too */
	char comm[ABI_COMM_MAX]; /* of the main thread */
	struct process *next_exited;
};

struct thread {
	uint32_t tid;
	uint32_t pid;
	char comm[ABI_COMM_MAX];
};

struct process_table {
	struct hashmap alive; /* pid -> struct process * */
	struct hashmap exited; /* pid -> the newest that exited, within the grace */
	struct hashmap threads; /* tid -> struct thread * */
	struct process *oldest_exited; /* a queue in the order of exit */
	struct process *newest_exited;
	uint64_t next_serial;
	uint64_t grace_ns;
	uint32_t max; /* of processes; more are counted, not kept */
	uint64_t refused; /* processes above the limit */
	uint64_t seen; /* processes so far */
	uint64_t execs;
	uint64_t exits;
};

void process_table_init(struct process_table *table, uint32_t max, uint64_t grace_ns);
void process_table_deinit(struct process_table *table);

/* The living process with that pid, else the one that exited last under it
 * within the grace time; NULL if there is none. */
struct process *process_table_find(const struct process_table *table, uint32_t pid);
struct process *process_table_alive(const struct process_table *table, uint32_t pid);
/* The thread's name; the process's where the thread is not known. */
const char *process_table_comm(const struct process_table *table, const struct process *process,
			       uint32_t tid);

/* The events. Each gives the process it is about (NULL: above the limit or out
 * of memory). */
struct process *process_table_task(struct process_table *table, const struct abi_task *task);
/* *ret_new: a new process began (not a thread). */
struct process *process_table_fork(struct process_table *table, const struct abi_fork *fork,
				   bool *ret_new);
struct process *process_table_exec(struct process_table *table, const struct abi_exec *exec);
struct process *process_table_renamed(struct process_table *table, const struct abi_comm *comm);
/* *ret_last: its last thread: the process has ended.
 *
 * The kernel takes its events from a task that executes a set-user-id program, or one that
 * it may not read, and tells of an exit that is none (perf_event_exit_task() in
 * begin_new_exec(), fs/exec.c), after the exec and before the first mapping. An exit at such
 * a moment is doubted: *ret_last is false, process->doubted is set, and either a mapping
 * comes, or process_table_end() says that it was one. */
struct process *process_table_exit(struct process_table *table, const struct abi_exit *ended,
				   bool *ret_last);
/* A mapping was told: it lives. */
void process_table_settled(struct process *process);
/* Its exit, which was doubted, was one. */
void process_table_end(struct process_table *table, struct process *process);
/* It has ended, and no event told of it (they were lost). */
void process_table_gone(struct process_table *table, struct process *process, uint64_t time);
/* A process that no event told of (they were lost): made up from a sample. */
struct process *process_table_discover(struct process_table *table, uint32_t pid, uint64_t time);
/* Forgets what exited before `now` - grace. */
void process_table_expire(struct process_table *table, uint64_t now);

struct process *process_ref(struct process *process);
void process_unref(struct process *process);
