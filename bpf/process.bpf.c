/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Processes, as far as the kernel side must know them at once: a session's
 * children are its own from their first instruction, without waiting for the
 * daemon. (The daemon's own view of processes comes from the perf side band.)
 * Raw tracepoints, not tp_btf: they load without the kernel's BTF too.
 */
#include "bpf/emit.h"
#include "bpf/mapping.h"
#include "bpf/maps.h"
#include "bpf/owner.h"
#include "bpf/rss.h"

char LICENSE[] SEC("license") = "GPL";

/*
 * What a sample of a new process would like to find, but does without: its parent's mappings,
 * its program's. Made ahead for so many of those that begin on a CPU in a window; where more
 * begin (a storm of short lives, of which few are ever sampled), that costs more than all
 * samples do. The others' walks ask the kernel, or keep the stack until the daemon has heard
 * of the process: nothing is lost by it. Those of sessions always get it.
 */
#define AHEAD_WINDOW_NS 250000000ULL
#define AHEAD_MAX 40u

struct ahead {
	__u64 since;
	__u64 used;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ahead);
} aheads SEC(".maps");

static __always_inline bool may_prepare(__u64 now)
{
	__u32 zero = 0;
	struct ahead *ahead = bpf_map_lookup_elem(&aheads, &zero);

	if (!ahead)
		return false;
	if (now - ahead->since >= AHEAD_WINDOW_NS) {
		ahead->since = now;
		ahead->used = 0;
	}
	return ahead->used++ < AHEAD_MAX;
}

/* What following processes costs, and whether something was not made ahead. */
static __always_inline void note_cost(__u64 began, bool put_off)
{
	__u32 slot = ABI_SLOT_PROCESS;
	struct abi_counters *count = bpf_map_lookup_elem(&counters, &slot);

	if (!count)
		return;
	count->thinned += put_off;
	count->run_ns += bpf_ktime_get_boot_ns() - began;
}

/* Whether any map may know the process. */
static __always_inline bool is_marked(__u32 pid)
{
	__u32 at = pid_mark_word(pid);
	__u64 *word = bpf_map_lookup_elem(&pid_marks, &at);

	return word && *word & pid_mark_bit(pid);
}

static __always_inline void mark(__u32 pid)
{
	__u32 at = pid_mark_word(pid);
	__u64 *word = bpf_map_lookup_elem(&pid_marks, &at);

	if (word)
		__sync_fetch_and_or(word, pid_mark_bit(pid));
}

static __always_inline void unmark(__u32 pid)
{
	__u32 at = pid_mark_word(pid);
	__u64 *word = bpf_map_lookup_elem(&pid_marks, &at);

	if (word)
		__sync_fetch_and_and(word, ~pid_mark_bit(pid));
}

/* Nobody tells of mappings: no set of theirs is believed, now or later (unwind_view). */
static __always_inline bool is_blind(void)
{
	__u32 zero = 0;
	struct unwind_view *view = bpf_map_lookup_elem(&unwind_views, &zero);

	return !view || view->blind;
}

/* A look takes no lock, and mostly there is nothing. */
static __always_inline void forget(void *map, __u32 pid)
{
	if (bpf_map_lookup_elem(map, &pid))
		bpf_map_delete_elem(map, &pid);
}

/* The process has ended; or one begins whose number was another's. */
static __always_inline void forget_all(__u32 pid)
{
	if (!is_marked(pid))
		return;
	unmark(pid);
	forget(&targets, pid);
	forget(&heap_targets, pid);
	forget(&unwind_processes, pid);
}

/* What the kernel side knows of the parent is true of the child. True: its mappings were not
 * handed on. */
static __always_inline bool inherit(__u32 parent_pid, __u32 pid, __u64 now)
{
	struct abi_target *from = bpf_map_lookup_elem(&targets, &parent_pid), target;
	struct abi_heap_target *heap, heap_copy;
	struct unwind_process *set, copy;
	bool put_off = false, known = false;

	set = is_blind() ? NULL : bpf_map_lookup_elem(&unwind_processes, &parent_pid);
	if (set && (from || may_prepare(now))) {
		copy = *set;
		bpf_map_update_elem(&unwind_processes, &pid, &copy, BPF_ANY);
		known = true;
	} else {
		put_off = set;
	}
	/* Probes of libraries are in whoever maps them: the child's count at once. */
	heap = bpf_map_lookup_elem(&heap_targets, &parent_pid);
	if (heap) {
		heap_copy = *heap;
		bpf_map_update_elem(&heap_targets, &pid, &heap_copy, BPF_ANY);
		known = true;
	}
	if (from) {
		target = *from;
		bpf_map_update_elem(&targets, &pid, &target, BPF_ANY);
		known = true;
	}
	if (known)
		mark(pid);
	return put_off;
}

/* True: the parent's mappings were not handed on. */
static __always_inline bool follow_fork(struct bpf_raw_tracepoint_args *ctx, __u64 now)
{
	struct task_struct *parent = (struct task_struct *)ctx->args[0];
	struct task_struct *child = (struct task_struct *)ctx->args[1];
	__u32 parent_pid = (__u32)BPF_CORE_READ(parent, tgid);
	__u32 pid = (__u32)BPF_CORE_READ(child, tgid);

	if (pid == parent_pid) /* a thread */
		return false;
	forget_all(pid);
	return is_marked(parent_pid) && inherit(parent_pid, pid, now);
}

/* TP_PROTO(struct task_struct *parent, struct task_struct *child) */
SEC("raw_tp/sched_process_fork")
int process_fork(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 began = bpf_ktime_get_boot_ns();

	note_cost(began, follow_fork(ctx, began));
	return 0;
}

/* Looks at a place of the new program, and remembers what is there. */
static __always_inline bool learn_place(__u32 pid, __u32 exec_id, __u64 address, __u32 changes,
					struct unwind_mapping *mapping)
{
	__u32 context = SCRATCH_PROBE;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	enum vma_found found;

	if (!scratch)
		return false;
	found = vma_look_up(context, address);
	if (found == VMA_UNKNOWN && !scratch->look.mapping.end) {
		scratch->look.address = address;
		found = ask_kernel(address, context);
	}
	if (found != VMA_FOUND)
		return false;
	*mapping = scratch->look.mapping;
	mapping->changes = changes;
	/* Another of these programs may have displaced this one (7.0), and its look, too. */
	if (scratch->look.address != address ||
	    scratch->look.mm != (__u64)BPF_CORE_READ(task, mm) || address < mapping->start ||
	    address >= mapping->end || vma_is_changing(changes))
		return false;
	remember(pid, exec_id, mapping);
	return true;
}

/* The new program's own file and its loader, where the thread will begin: what a
 * short life needs before the daemon has heard of it. In a blind time its samples look. */
static __always_inline void learn_program(struct task_struct *task, __u32 pid)
{
	struct task_struct *current = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(current);
	__u32 exec_id = (__u32)BPF_CORE_READ(task, self_exec_id), zero = 0;
	struct unwind_view *view = bpf_map_lookup_elem(&unwind_views, &zero);
	__u64 code = BPF_CORE_READ(task, mm, start_code), entry = 0;
	__u32 changes = vma_changes(false);
	struct unwind_mapping mapping = {};

	if (!view || view->blind)
		return;
	bpf_probe_read_kernel(&entry, sizeof(entry), &regs->rip);
	learn_place(pid, exec_id, code, changes, &mapping);
	if (entry < mapping.start || entry >= mapping.end)
		learn_place(pid, exec_id, entry, changes, &mapping);
}

/* TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
SEC("raw_tp/sched_process_exec")
int process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 pid = (__u32)BPF_CORE_READ(task, tgid);
	struct abi_target *target = NULL;
	__u64 began = bpf_ktime_get_boot_ns();
	bool blind = is_blind(), prepare;

	if (is_marked(pid)) {
		target = bpf_map_lookup_elem(&targets, &pid);
		forget(&unwind_processes, pid); /* another address space */
	}
	prepare = target || (!blind && may_prepare(began));
	if (prepare)
		learn_program(task, pid);
	/* Who has executed a set-user-id program leaves the sessions of those who may not see
	 * it, for good, before its first instruction; so do its children. */
	if (target) {
		target->slots = slots_that_may_see(target->slots | target->at_exec, task);
		target->at_exec = 0;
	}
	note_cost(began, !prepare && !blind);
	return 0;
}

/* TP_PROTO(struct task_struct *p [, bool group_dead since 6.16]) */
SEC("raw_tp/sched_process_exit")
int process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	__u32 pid = (__u32)BPF_CORE_READ(task, tgid);
	__u64 began = bpf_ktime_get_boot_ns();

	/* do_exit() has counted this thread out already (kernel/exit.c). */
	if (BPF_CORE_READ(task, signal, live.counter) == 0)
		forget_all(pid);
	note_cost(began, false);
	return 0;
}

/* Can mappings be looked at here? perfd, which reads the tasks, has enough of them for a tree with
 * more than a root, which is marked in a way of its own. */
static __always_inline void try_look(void)
{
	__u32 zero = 0, context = SCRATCH_PROBE;
	struct unwind_view *view = bpf_map_lookup_elem(&unwind_views, &zero);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 code = BPF_CORE_READ(task, mm, start_code);

	if (!view || view->looked || !scratch)
		return;
	vma_look_up(context, code);
	if (scratch->look.address == code && scratch->look.mapping.end && scratch->look.levels > 1)
		view->looked = 1;
}

/* All tasks there are, as binary ABI_TASK records: read once at the start. */
SEC("iter/task")
int process_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct abi_task record = {};

	if (!task || task->exit_state) /* a zombie runs no more */
		return 0;
	try_look();
	record.hdr.size = sizeof(record);
	record.hdr.type = ABI_TASK;
	record.hdr.time = bpf_ktime_get_boot_ns();
	record.pid = (__u32)task->tgid;
	record.tid = (__u32)task->pid;
	record.ppid = (__u32)BPF_CORE_READ(task, real_parent, tgid);
	record.flags = task->flags & PF_KTHREAD ? ABI_TASK_KERNEL : 0;
	record.start = task->start_boottime;
	record.exec_id = (__u32)task->self_exec_id;
	BPF_CORE_READ_STR_INTO(&record.comm, task, comm);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

/* What every process has of memory, as binary ABI_RSS records: read once a second. One
 * thread of each is asked: the first whose memory it still is. */
SEC("iter/task")
int process_memory(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct abi_rss record = {};

	if (!task || task->flags & PF_KTHREAD || task->exit_state)
		return 0;
	/* A main thread that has ended leaves the memory to the others. */
	if (task->pid != task->tgid && BPF_CORE_READ(task, group_leader, mm))
		return 0;
	record.hdr.type = ABI_RSS;
	if (read_rss(task, &record))
		bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

/* Since 6.8 TP_PROTO(struct task_struct *task, uid_t uid), before that TP_PROTO(int pid):
 * no pid is as large as a kernel address. The victim may be any process. */
SEC("raw_tp/mark_victim")
int process_victim(struct bpf_raw_tracepoint_args *ctx)
{
	struct task_struct *task = (struct task_struct *)ctx->args[0];
	struct abi_rss record = {};

	record.hdr.type = ABI_OOM;
	if (ctx->args[0] >> 32) {
		read_rss(task, &record);
	} else {
		record.hdr.size = sizeof(record);
		record.hdr.time = bpf_ktime_get_boot_ns();
		record.pid = (__u32)ctx->args[0];
	}
	emit(&record, sizeof(record));
	return 0;
}
