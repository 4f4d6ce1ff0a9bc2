/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What every program that takes samples does: whether the task is one of the
 * session's, the kernel's and the user's stack as records, and counting.
 */
#pragma once

#include "bpf/emit.h"
#include "bpf/maps.h"
#include "bpf/owner.h"
#include "bpf/raw.h"
#include "bpf/walk.h"

static __always_inline bool is_target(const struct abi_slot *slot, __u32 index, __u32 pid,
				      struct task_struct *task)
{
	struct abi_target *target;

	if (!slot->all) {
		target = bpf_map_lookup_elem(&targets, &pid);
		if (!target || !(target->slots >> index & 1))
			return false;
	}
	return slot_may_see(slot, task);
}

/* The id of the kernel stack, 0 if there is none, -1 if it was lost. */
static __always_inline long kernel_stack(void *ctx, struct scratch *scratch)
{
	__u64 hash = ABI_SPACE_KERNEL;
	long bytes;
	__u32 count;

	bytes = bpf_get_stack(ctx, scratch->frames, ABI_KERNEL_FRAMES_MAX * sizeof(__u64), 0);
	if (bytes <= 0)
		return 0;
	count = (__u32)bytes / sizeof(__u64);
	for (__u32 i = 0; i < ABI_KERNEL_FRAMES_MAX; i++) {
		if (i >= count)
			break;
		hash = hash_step(hash, scratch->frames[i]);
	}
	hash |= 1; /* never 0 */
	scratch->stack.space = ABI_SPACE_KERNEL;
	scratch->stack.pid = 0;
	scratch->stack.hdr.reason = ABI_REASON_COMPLETE;
	return emit_stack(scratch, ABI_FRAME_ADDRESS, hash, count) ? -1 : (long)hash;
}

/* In DWARF's order (System V ABI, AMD64 supplement, figure 3.36). A macro, for the
 * source may be the context, which has to be read field by field. */
#define KEEP_REGISTERS(to, regs)                                                                   \
	do {                                                                                       \
		(to)[0] = (regs)->rax;                                                             \
		(to)[1] = (regs)->rdx;                                                             \
		(to)[2] = (regs)->rcx;                                                             \
		(to)[3] = (regs)->rbx;                                                             \
		(to)[4] = (regs)->rsi;                                                             \
		(to)[5] = (regs)->rdi;                                                             \
		(to)[6] = (regs)->rbp;                                                             \
		(to)[7] = (regs)->rsp;                                                             \
		(to)[8] = (regs)->r8;                                                              \
		(to)[9] = (regs)->r9;                                                              \
		(to)[10] = (regs)->r10;                                                            \
		(to)[11] = (regs)->r11;                                                            \
		(to)[12] = (regs)->r12;                                                            \
		(to)[13] = (regs)->r13;                                                            \
		(to)[14] = (regs)->r14;                                                            \
		(to)[15] = (regs)->r15;                                                            \
	} while (0)

static __always_inline bool in_exec(struct task_struct *task)
{
	return bpf_core_field_exists(task->in_execve) &&
	       BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
}

/* The registers with which the thread entered the kernel. False: there is no user
 * side. (A system call leaves its own address in rcx and r11: no rule uses those
 * across one.) */
static __always_inline bool entry_registers(struct scratch *scratch, struct task_struct *task)
{
	struct pt_regs *saved;

	if (BPF_CORE_READ(task, flags) & PF_KTHREAD || !BPF_CORE_READ(task, mm))
		return false;
	/* The registers are those of a program that is gone. */
	if (in_exec(task))
		return false;
	saved = (struct pt_regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	if (bpf_probe_read_kernel(&scratch->saved, sizeof(scratch->saved), saved))
		return false;
	KEEP_REGISTERS(scratch->registers, &scratch->saved);
	scratch->walk.ip = scratch->saved.rip;
	/* Between fork and the first return to user space there is nothing yet. */
	return scratch->walk.ip != 0;
}

/* Walks from the registers in `scratch` and walk.ip. The stack's id, -1 if it was
 * lost; `reason` says how the walk ended. */
static __always_inline long user_stack(struct scratch *scratch, struct task_struct *task, __u32 pid,
				       __u32 context, __u8 *reason)
{
	struct walk *walk = &scratch->walk;
	struct unwind_process *maps = bpf_map_lookup_elem(&unwind_processes, &pid);
	struct unwind_view *view;
	__u32 zero = 0;
	__u64 ip, raw;

	view = bpf_map_lookup_elem(&unwind_views, &zero);
	walk->scratch = context;
	walk->sp = scratch->registers[UNWIND_RSP];
	walk->bp = scratch->registers[UNWIND_RBP];
	/* Addresses mean something only in their process: its birth and number go
	 * into the id. */
	walk->hash = hash_step(ABI_SPACE_USER, pid);
	walk->born = BPF_CORE_READ(task, group_leader, start_boottime);
	walk->hash = hash_step(walk->hash, walk->born);
	walk->pid = pid;
	walk->exec_id = (__u32)BPF_CORE_READ(task, self_exec_id);
	walk->blind = view && view->blind;
	walk->epoch = view ? view->epoch : 0;
	if (view && !view->blind && maps && maps->exec_id == walk->exec_id &&
	    maps->epoch == view->epoch)
		walk->set = maps->set;
	walk->early = context < ABI_RAW_CONTEXTS;
	ip = walk->ip;
	walk_user(walk);
	if (context < ABI_RAW_CONTEXTS && walk_came_early(walk)) {
		if (walk->blind)
			vma_tell_all(context);
		raw = emit_raw(scratch, ip, pid);
		if (raw) {
			*reason = ABI_REASON_RAW;
			return (long)raw;
		}
	}
	*reason = (__u8)walk->reason;
	walk->hash = hash_step(walk->hash, walk->reason) | 1;
	scratch->stack.space = ABI_SPACE_USER;
	scratch->stack.pid = pid;
	scratch->stack.hdr.reason = *reason;
	return emit_stack(scratch, ABI_FRAME_FILE, walk->hash, walk->count) ? -1 : (long)walk->hash;
}

/* Of programs that another may displace in their middle, on the same counters. */
static __always_inline void account_shared(struct abi_counters *count, __u32 reason, __u64 weight)
{
	__u64 at = reason;

	asm volatile("" : "+r"(at));
	if (at >= ABI_REASON_COUNT)
		return;
	__sync_fetch_and_add(&count->fired, 1);
	__sync_fetch_and_add(&count->samples[at], 1);
	__sync_fetch_and_add(&count->weight[at], weight);
}

static __always_inline void account(struct abi_counters *count, __u32 reason, __u64 weight)
{
	__u64 at = reason;

	/* clang checks one copy of the number and uses another: the verifier (6.18,
	 * clang 14) then sees an unchecked index. This keeps it in one register. */
	asm volatile("" : "+r"(at));
	if (at >= ABI_REASON_COUNT)
		return;
	count->samples[at]++;
	count->weight[at] += weight;
}
