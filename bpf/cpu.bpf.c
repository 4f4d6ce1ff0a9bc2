/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The CPU sampler: one program for the sampling events of every CPU and every
 * session. The event's cookie is the session's slot.
 */
#include "bpf/emit.h"
#include "bpf/maps.h"
#include "bpf/raw.h"
#include "bpf/walk.h"

char LICENSE[] SEC("license") = "GPL";

/* A gap longer than this is a suspended or stopped machine, not late ticks. */
#define LATE_MAX_NS 1000000000ULL

/* Periods of the timer's grid that ended since the last firing: mostly one. A
 * firing that is late does not move the grid: the next one is due a period after
 * this one was. One that comes before it is due shows that all firings so far were
 * late, and sets the grid anew. */
static __always_inline __u64 periods_since(struct slot_state *state, __u64 period, __u64 now)
{
	__u64 periods;

	if (now < state->due + period) {
		state->due = now;
		return 1;
	}
	periods = (now - state->due) / period;
	state->due += periods * period;
	return periods;
}

/*
 * What this firing stands for. The timer behind cpu-clock skips the periods that
 * pass while interrupts are off or the virtual CPU is not run
 * (perf_swevent_hrtimer() forwards it and forgets the overruns). They are a debt:
 * if the thread has not been switched out since the last firing, and the scheduler
 * says that it really had that much CPU time (time stolen from a virtual CPU is
 * nobody's), a later firing of the same run stands for them too. The scheduler's
 * figure may lag by a tick, so the debt is kept until the run ends; what is left
 * then is only counted.
 */
static __always_inline __u64 weigh(const struct abi_slot *slot, struct slot_state *state,
				   struct abi_counters *count, __u32 tid, __u64 period, __u64 now)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 switches = BPF_CORE_READ(task, nvcsw) + BPF_CORE_READ(task, nivcsw);
	__u64 runtime = BPF_CORE_READ(task, se.sum_exec_runtime), periods, paid, had;

	if (slot->source != ABI_SOURCE_CPU_CLOCK || !period)
		return period;
	if (state->generation != slot->generation || now - state->due > LATE_MAX_NS) {
		*state = (struct slot_state){.due = now, .generation = slot->generation};
		periods = 1;
	} else {
		periods = periods_since(state, period, now);
	}
	if (state->tid != tid || state->switches != switches) {
		count->missed += state->debt + periods - 1;
		state->tid = tid;
		state->switches = switches;
		state->runtime = runtime;
		state->weight = state->debt = 0;
		return period;
	}
	state->debt += periods - 1;
	state->weight += period;
	had = runtime - state->runtime;
	paid = had > state->weight ? (had - state->weight) / period : 0;
	if (paid > state->debt)
		paid = state->debt;
	state->debt -= paid;
	state->weight += paid * period;
	count->late += paid;
	return period + paid * period;
}

static __always_inline bool is_target(const struct abi_slot *slot, __u32 index, __u32 pid)
{
	struct abi_target *target;

	if (slot->all)
		return true;
	target = bpf_map_lookup_elem(&targets, &pid);
	return target && (target->slots >> index & 1);
}

/* The id of the kernel stack, 0 if there is none, -1 if it was lost. */
static __always_inline long kernel_stack(struct bpf_perf_event_data *ctx, struct scratch *scratch)
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

/* The registers with which the thread entered the kernel, or those of the
 * sample itself when it hit user code. False: there is no user side. (A system call
 * leaves its own address in rcx and r11: no rule uses those across one.) */
static __always_inline bool user_registers(struct bpf_perf_event_data *ctx, struct scratch *scratch,
					   struct task_struct *task, struct walk *walk)
{
	struct pt_regs *saved;

	if (ctx->regs.rip >> 63 == 0 && (ctx->regs.cs & 3) == 3) {
		KEEP_REGISTERS(scratch->registers, &ctx->regs);
		walk->ip = ctx->regs.rip;
	} else {
		if (BPF_CORE_READ(task, flags) & PF_KTHREAD || !BPF_CORE_READ(task, mm))
			return false;
		/* The registers are those of a program that is gone. */
		if (in_exec(task))
			return false;
		saved = (struct pt_regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
		if (bpf_probe_read_kernel(&scratch->saved, sizeof(scratch->saved), saved))
			return false;
		KEEP_REGISTERS(scratch->registers, &scratch->saved);
		walk->ip = scratch->saved.rip;
	}
	walk->sp = scratch->registers[UNWIND_RSP];
	walk->bp = scratch->registers[UNWIND_RBP];
	/* Between fork and the first return to user space there is nothing yet; in
	 * exec the registers are those of a program that is gone. */
	return walk->ip != 0;
}

/* Likewise for the user stack; `reason` says how the walk ended. */
static __always_inline long user_stack(struct bpf_perf_event_data *ctx, struct scratch *scratch,
				       __u32 pid, __u8 *reason)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct walk *walk = &scratch->walk;
	struct unwind_process *maps = bpf_map_lookup_elem(&unwind_processes, &pid);
	__u64 ip, raw;

	__builtin_memset(walk, 0, sizeof(*walk));
	walk->scratch = SCRATCH_SAMPLE;
	if (!user_registers(ctx, scratch, task, walk)) {
		*reason = ABI_REASON_NO_USER;
		return 0;
	}
	/* Addresses mean something only in their process: its birth and number go
	 * into the id. */
	walk->hash = hash_step(ABI_SPACE_USER, pid);
	walk->hash = hash_step(walk->hash, BPF_CORE_READ(task, group_leader, start_boottime));
	walk->pid = pid;
	walk->exec_id = (__u32)BPF_CORE_READ(task, self_exec_id);
	if (maps && maps->exec_id == walk->exec_id)
		walk->set = maps->set;
	walk->early = 1;
	ip = walk->ip;
	walk_user(walk);
	if (walk_came_early(walk)) {
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

SEC("perf_event")
int cpu_sample(struct bpf_perf_event_data *ctx)
{
	__u32 index = (__u32)bpf_get_attach_cookie(ctx), context = SCRATCH_SAMPLE;
	__u64 ids = bpf_get_current_pid_tgid();
	__u32 pid = (__u32)(ids >> 32);
	struct abi_slot *slot = bpf_map_lookup_elem(&slots, &index);
	struct abi_counters *count = bpf_map_lookup_elem(&counters, &index);
	struct slot_state *state = bpf_map_lookup_elem(&slot_states, &index);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct abi_sample sample = {};
	long kernel, user;
	__u8 reason;

	if (!slot || !count || !state || !scratch || !slot->active)
		return 0;
	sample.hdr.time = bpf_ktime_get_boot_ns();
	count->fired++;
	sample.weight = weigh(slot, state, count, (__u32)ids, ctx->sample_period, sample.hdr.time);
	if (!(__u32)ids) {
		count->idle++;
		return 0;
	}
	if (!is_target(slot, index, pid)) {
		count->filtered++;
		return 0;
	}
	sample.hdr.size = sizeof(sample);
	sample.hdr.type = ABI_SAMPLE;
	sample.hdr.cpu = (__u16)bpf_get_smp_processor_id();
	sample.hdr.source = slot->source;
	sample.hdr.slot = (__u8)index;
	sample.pid = pid;
	sample.tid = (__u32)ids;
	sample.cgroup = bpf_get_current_cgroup_id();
	scratch->stack.hdr = sample.hdr;
	kernel = (ctx->regs.cs & 3) == 3 ? 0 : kernel_stack(ctx, scratch);
	user = user_stack(ctx, scratch, pid, &reason);
	if (kernel == -1 || user == -1)
		reason = ABI_REASON_LOST_STACK;
	sample.kernel_stack = kernel == -1 ? 0 : (__u64)kernel;
	sample.user_stack = user == -1 ? 0 : (__u64)user;
	sample.hdr.reason = reason;
	if (emit(&sample, sizeof(sample)))
		reason = ABI_REASON_LOST_RING;
	account(count, reason, sample.weight);
	return 0;
}
