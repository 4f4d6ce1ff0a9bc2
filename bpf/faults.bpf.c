/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Page faults of the whole machine, by the tracepoints at the head of the fault's handler:
 * they cost less than the kernel's software event where they are on, and nothing at all
 * where they are not, which that event does not manage as long as it exists
 * (daemon/duty.h says when they are on).
 *
 * One fault in FAULTS_PERIOD, of each CPU, is a firing, which is weighed and thinned out
 * as those of an event are.
 */
#include "bpf/weight.h"

char LICENSE[] SEC("license") = "GPL";

struct fault_cpu {
	__s32 left; /* faults until the next firing */
	__u32 drawn; /* 0: where in a period this CPU is is still to be drawn */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct fault_cpu);
} fault_cpus SEC(".maps");

static __always_inline bool is_user(const struct pt_regs *regs)
{
	return (regs->cs & 3) == 3;
}

struct kept {
	__u64 hash, from;
	__u32 count, kept;
};

/* A callback of bpf_loop(): keeps a frame, if it is at the instruction that faulted or outside. */
static long keep_frame(__u32 turn, void *context)
{
	struct kept *kept = context;
	__u32 number = SCRATCH_PROBE, at = kept->kept;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &number);
	__u64 frame;

	if (!scratch || turn >= kept->count)
		return 1;
	/* For the verifier: there are ABI_KERNEL_FRAMES_MAX. */
	frame = scratch->frames[turn & ABI_KERNEL_FRAMES_MAX];
	if (!at && frame != kept->from)
		return 0;
	scratch->frames[at & ABI_KERNEL_FRAMES_MAX] = frame;
	kept->hash = hash_step(kept->hash, frame);
	kept->kept = at + 1;
	return 0;
}

/*
 * The kernel's stack from the instruction that faulted on: what lies inside of it is how the
 * kernel gets here. Its registers are in scratch->saved.
 */
static __always_inline long faulting_stack(void *ctx, struct scratch *scratch)
{
	long bytes = bpf_get_stack(ctx, scratch->frames, ABI_KERNEL_FRAMES_MAX * sizeof(__u64), 0);
	struct kept kept = {.hash = ABI_SPACE_KERNEL, .from = scratch->saved.rip};

	if (bytes <= 0)
		return 0;
	kept.count = (__u32)bytes / sizeof(__u64);
	bpf_loop(ABI_KERNEL_FRAMES_MAX, keep_frame, &kept, 0);
	if (!kept.kept || kept.kept > ABI_KERNEL_FRAMES_MAX)
		return 0;
	kept.hash |= 1;
	scratch->stack.space = ABI_SPACE_KERNEL;
	scratch->stack.pid = 0;
	scratch->stack.hdr.reason = ABI_REASON_COMPLETE;
	return emit_stack(scratch, ABI_FRAME_ADDRESS, kept.hash, kept.kept) ? -1 : (long)kept.hash;
}

static __always_inline void walk_fault(void *ctx, struct scratch *scratch, struct task_struct *task,
				       struct abi_sample *sample)
{
	__u8 reason = ABI_REASON_NO_USER;
	bool user_side = is_user(&scratch->saved);
	long kernel = 0, user = 0;

	scratch->stack.hdr = sample->hdr;
	if (!user_side)
		kernel = faulting_stack(ctx, scratch);
	__builtin_memset(&scratch->walk, 0, sizeof(scratch->walk));
	if (user_side) {
		KEEP_REGISTERS(scratch->registers, &scratch->saved);
		scratch->walk.ip = scratch->saved.rip;
	} else {
		user_side = entry_registers(scratch, task);
	}
	if (user_side)
		user = user_stack(scratch, task, sample->pid, SCRATCH_PROBE, &reason);
	if (kernel == -1 || user == -1)
		reason = ABI_REASON_LOST_STACK;
	sample->kernel_stack = kernel == -1 ? 0 : (__u64)kernel;
	sample->user_stack = user == -1 ? 0 : (__u64)user;
	sample->hdr.reason = reason;
}

static __always_inline void send(struct abi_sample *sample, struct slot_state *state,
				 struct abi_counters *count)
{
	__u64 more = carry(state, ABI_SLOT_FAULTS, count, sample->weight, sample->hdr.time);
	__u8 reason = sample->hdr.reason;

	sample->weight += more;
	if (emit(sample, sizeof(*sample))) {
		reason = ABI_REASON_LOST_RING;
		owe(state, ABI_SLOT_FAULTS, count, sample->weight, more, sample->hdr.time);
		sample->weight -= more; /* told of before */
	}
	account(count, reason, sample->weight);
}

/* A firing. */
static __always_inline void on_firing(struct bpf_raw_tracepoint_args *ctx, struct task_struct *task,
				      const struct abi_slot *slot, struct abi_counters *count)
{
	__u32 index = ABI_SLOT_FAULTS, context = SCRATCH_PROBE;
	struct slot_state *state = bpf_map_lookup_elem(&slot_states, &index);
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct abi_sample sample = {};
	__u64 ids = bpf_get_current_pid_tgid(), scale;

	if (!state || !scratch)
		return;
	sample.hdr.time = bpf_ktime_get_boot_ns();
	count->fired++;
	scale = slot_scale(slot, sample.hdr.time);
	if (scale)
		sample.weight = weigh_counted(slot, index, state, ABI_FAULTS_PERIOD * scale >> 16,
					      sample.hdr.time);
	if (!sample.weight) {
		count->thinned++;
		return;
	}
	if (bpf_probe_read_kernel(&scratch->saved, sizeof(scratch->saved), (void *)ctx->args[1]))
		return;
	fill(&sample, slot, index, ids);
	walk_fault(ctx, scratch, task, &sample);
	send(&sample, state, count);
	count->run_ns += bpf_ktime_get_boot_ns() - sample.hdr.time;
}

/* On page_fault_user and page_fault_kernel, both TP_PROTO(unsigned long address, struct pt_regs
 * *regs, unsigned long error_code): one program, for the verifier takes its time over each. */
SEC("raw_tp")
int page_fault(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 zero = 0, index = ABI_SLOT_FAULTS;
	struct fault_cpu *cpu = bpf_map_lookup_elem(&fault_cpus, &zero);
	struct task_struct *task;
	struct abi_counters *count;
	struct abi_slot *slot;

	if (!cpu || --cpu->left > 0)
		return 0;
	if (!cpu->drawn) {
		cpu->drawn = 1;
		cpu->left = 1 + bpf_get_prandom_u32() % ABI_FAULTS_PERIOD;
		return 0;
	}
	cpu->left = ABI_FAULTS_PERIOD;
	slot = bpf_map_lookup_elem(&slots, &index);
	count = bpf_map_lookup_elem(&counters, &index);
	task = (struct task_struct *)bpf_get_current_task();
	if (!slot || !count || !slot->active || !bpf_get_current_pid_tgid())
		return 0;
	/* Of the kernel's own addresses; or where the kernel tried whether something is
	 * there, as this program's own reads do (the one below too, hence the 1): no
	 * memory comes of it. */
	if (ctx->args[0] >> 63 || BPF_CORE_READ(task, pagefault_disabled) > 1)
		return 0;
	on_firing(ctx, task, slot, count);
	return 0;
}
