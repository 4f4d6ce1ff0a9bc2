/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who takes and who gives back address space: mmap, mremap, munmap and brk, with their
 * sizes and stacks.
 *
 * Two ways to see them, one of which is attached (daemon/source_mmap.c). All of these calls
 * take their process's mmap_lock for writing, and since 6.14 (which looks up no memory
 * cgroup's path for it any more) its tracepoint costs little where it is not wanted: page
 * faults have had locks of their own since 6.4, and rarely come by. A hook on all system calls
 * costs each of them a tenth of a microsecond: it is for older kernels, while a session
 * looks.
 *
 * A call is judged by its arguments, before it is done: one that fails counts.
 */
#include "bpf/weight.h"

char LICENSE[] SEC("license") = "GPL";

/* Slots of that source, as bits: for each of the two. Set by the daemon. */
volatile __u64 mmap_slots;
volatile __u64 munmap_slots;

/* x86-64's numbers (arch/x86/entry/syscalls/syscall_64.tbl). */
enum { CALL_MMAP = 9, CALL_MUNMAP = 11, CALL_BRK = 12, CALL_MREMAP = 25 };
#define TS_COMPAT 2u /* arch/x86/include/asm/thread_info.h: a call of 32-bit code */
#define PAGE 4096ULL

/* The outermost frames of the kernel's stack say which call it is; the rest is how the
 * kernel gets here. */
#define KERNEL_FRAMES 4u

/* Firings to a sample, on average 2^thin: twice as many when a window's share of the limit
 * is used up, half as many when a window used less than a quarter. */
#define WINDOW_NS 125000000ULL
#define WINDOWS 8
#define THIN_MAX 20

struct change {
	__u64 taken, given; /* bytes */
};

static __always_inline __u64 pages(__u64 bytes)
{
	return bytes > 1ULL << 47 ? 0 : (bytes + PAGE - 1) & ~(PAGE - 1);
}

static __always_inline void brk_change(struct task_struct *task, __u64 wanted,
				       struct change *change)
{
	__u64 now = BPF_CORE_READ(task, mm, brk);

	/* A question only, or what the kernel refuses. */
	if (wanted < BPF_CORE_READ(task, mm, start_brk))
		return;
	now = pages(now);
	wanted = pages(wanted);
	if (wanted > now)
		change->taken = wanted - now;
	else
		change->given = now - wanted;
}

static __always_inline bool what_changes(struct task_struct *task, __u64 call, struct pt_regs *regs,
					 struct change *change)
{
	__u64 old, new;

	switch (call) {
	case CALL_MMAP:
		change->taken = pages(regs->rsi);
		break;
	case CALL_MUNMAP:
		change->given = pages(regs->rsi);
		break;
	case CALL_BRK:
		brk_change(task, regs->rdi, change);
		break;
	case CALL_MREMAP:
		old = pages(regs->rsi);
		new = pages(regs->rdx);
		if (new > old)
			change->taken = new - old;
		else
			change->given = old - new;
		break;
	default:
		return false;
	}
	return change->taken || change->given;
}

/*
 * The shift of the sample's weight, or -1. A call of n pages is taken with
 * p = min(1, 2^-thin * 2^floor(log2 n)): large ones always. p hangs on what was before
 * only, so size / p is right on average at any rate.
 */
static __always_inline int draw(const struct abi_slot *slot, struct slot_state *state, __u64 bytes,
				__u64 now)
{
	__u64 number = bytes / PAGE;
	__u32 share = slot->limit / WINDOWS, band = 0, shift;

	if (state->generation != slot->generation)
		*state = (struct slot_state){.generation = slot->generation, .window = now};
	if (now - state->window >= WINDOW_NS) {
		if (state->taken <= share / 4 && state->thin)
			state->thin--;
		state->window = now;
		state->taken = 0;
	}
	for (__u32 step = 32; step; step >>= 1)
		if (number >> band >> step)
			band += step;
	shift = (state->thin > band ? state->thin - band : 0) & 31;
	if (bpf_get_prandom_u32() & ((1U << shift) - 1))
		return -1;
	if (++state->taken > share && state->thin < THIN_MAX) {
		state->thin++;
		state->taken = 0;
	}
	return (int)shift;
}

/* As kernel_stack(), but of the outermost frames. */
static __always_inline long outer_stack(void *ctx, struct scratch *scratch)
{
	long bytes = bpf_get_stack(ctx, scratch->frames, ABI_KERNEL_FRAMES_MAX * sizeof(__u64), 0);
	__u32 count, first;
	__u64 hash = ABI_SPACE_KERNEL;

	if (bytes <= 0)
		return 0;
	count = (__u32)bytes / sizeof(__u64);
	first = count > KERNEL_FRAMES ? count - KERNEL_FRAMES : 0;
	for (__u32 i = 0; i < KERNEL_FRAMES; i++) {
		__u64 frame;

		if (i >= count)
			break;
		/* For the verifier: there are ABI_KERNEL_FRAMES_MAX. */
		frame = scratch->frames[(first + i) & ABI_KERNEL_FRAMES_MAX];
		scratch->frames[i] = frame;
		hash = hash_step(hash, frame);
	}
	hash |= 1;
	scratch->stack.space = ABI_SPACE_KERNEL;
	scratch->stack.pid = 0;
	scratch->stack.hdr.reason = ABI_REASON_COMPLETE;
	return emit_stack(scratch, ABI_FRAME_ADDRESS, hash,
			  count > KERNEL_FRAMES ? KERNEL_FRAMES : count)
		       ? -1
		       : (long)hash;
}

struct call {
	__u64 ids, now, cgroup;
	__u64 asked; /* slots that want calls of this kind, as bits */
	__u64 samples; /* those of them that get one */
	__u64 bytes;
	long kernel, user;
	__u8 source, reason;
	__u32 scale; /* of the views: while they look at a part of the time only */
	__u8 shift[64]; /* of each slot's weight */
};

/* An index that clang may move, and the verifier (6.18) still knows. */
static __always_inline __u8 *shift_of(struct call *call, __u64 index)
{
	index &= 63;
	asm volatile("" : "+r"(index));
	return &call->shift[index & 63];
}

/* Takes the lowest slot out of the set: mostly there is one, of the view. */
static __always_inline __u32 next_slot(__u64 *slots)
{
	__u64 bit = *slots & -*slots;
	__u32 index = 0;

	*slots &= ~bit;
	for (__u32 step = 32; step; step >>= 1)
		if (bit >> index >> step)
			index += step;
	return index;
}

/* A callback of bpf_loop(): whether the next slot wants a sample. */
static long ask_slot(__u32 turn __attribute__((unused)), void *context)
{
	struct call *call = context;
	__u32 index = next_slot(&call->asked);
	struct abi_slot *slot = bpf_map_lookup_elem(&slots, &index);
	struct abi_counters *count = bpf_map_lookup_elem(&counters, &index);
	struct slot_state *state = bpf_map_lookup_elem(&slot_states, &index);
	__u32 scale;
	int shift;

	if (!slot || !count || !state || !slot->active)
		return !call->asked;
	count->fired++;
	if (!is_target(slot, index, (__u32)(call->ids >> 32),
		       (struct task_struct *)bpf_get_current_task())) {
		count->filtered++;
		return !call->asked;
	}
	scale = slot_scale(slot, call->now);
	shift = scale ? draw(slot, state, call->bytes, call->now) : -1;
	if (shift < 0) {
		count->thinned++;
		return !call->asked;
	}
	*shift_of(call, index) = (__u8)shift;
	if (index >= ABI_SESSION_SLOTS)
		call->scale = scale;
	call->samples |= 1ULL << (index & 63);
	return !call->asked;
}

/* Bytes, of which there may be 2^47. */
static __always_inline __u64 scaled(__u64 weight, __u32 scale)
{
	return (weight >> 16) * scale + ((weight & 0xffff) * scale >> 16);
}

/* Likewise: sends it. */
static long tell_slot(__u32 turn __attribute__((unused)), void *context)
{
	struct call *call = context;
	__u32 index = next_slot(&call->samples);
	struct abi_counters *count = bpf_map_lookup_elem(&counters, &index);
	struct abi_sample sample = {};
	__u8 shift = *shift_of(call, index);

	if (!count)
		return 1;
	sample.hdr.size = sizeof(sample);
	sample.hdr.type = ABI_SAMPLE;
	sample.hdr.cpu = (__u16)bpf_get_smp_processor_id();
	sample.hdr.source = call->source;
	sample.hdr.slot = (__u8)index;
	sample.hdr.time = call->now;
	sample.hdr.reason = call->reason;
	sample.pid = (__u32)(call->ids >> 32);
	sample.tid = (__u32)call->ids;
	sample.cgroup = call->cgroup;
	sample.weight = call->bytes << (shift & 31);
	if (index >= ABI_SESSION_SLOTS)
		sample.weight = scaled(sample.weight, call->scale);
	sample.kernel_stack = call->kernel == -1 ? 0 : (__u64)call->kernel;
	sample.user_stack = call->user == -1 ? 0 : (__u64)call->user;
	account(count, emit(&sample, sizeof(sample)) ? ABI_REASON_LOST_RING : call->reason,
		sample.weight);
	count->run_ns += bpf_ktime_get_boot_ns() - call->now;
	return !call->samples;
}

static __always_inline void walk(void *ctx, struct scratch *scratch, struct task_struct *task,
				 struct call *call)
{
	call->reason = ABI_REASON_NO_USER;
	__builtin_memset(&scratch->stack.hdr, 0, sizeof(scratch->stack.hdr));
	scratch->stack.hdr.time = call->now;
	scratch->stack.hdr.cpu = (__u16)bpf_get_smp_processor_id();
	call->kernel = outer_stack(ctx, scratch);
	__builtin_memset(&scratch->walk, 0, sizeof(scratch->walk));
	if (entry_registers(scratch, task))
		call->user = user_stack(scratch, task, (__u32)(call->ids >> 32), SCRATCH_PROBE,
					&call->reason);
	if (call->kernel == -1 || call->user == -1)
		call->reason = ABI_REASON_LOST_STACK;
}

/* The registers with which it came are in scratch->saved. */
static __always_inline int on_call(void *ctx, struct scratch *scratch, struct task_struct *task,
				   __u64 number)
{
	struct call call = {.source = ABI_SOURCE_MMAP};
	struct change change = {};

	if (!what_changes(task, number, &scratch->saved, &change))
		return 0;
	call.bytes = change.taken;
	call.asked = mmap_slots;
	if (!change.taken) {
		call.source = ABI_SOURCE_MUNMAP;
		call.bytes = change.given;
		call.asked = munmap_slots;
	}
	if (!call.asked)
		return 0;
	call.ids = bpf_get_current_pid_tgid();
	call.now = bpf_ktime_get_boot_ns();
	bpf_loop(ABI_SLOTS_MAX, ask_slot, &call, 0);
	if (!call.samples)
		return 0;
	call.cgroup = bpf_get_current_cgroup_id();
	walk(ctx, scratch, task, &call);
	bpf_loop(ABI_SLOTS_MAX, tell_slot, &call, 0);
	return 0;
}

static __always_inline bool is_of_interest(__u64 number)
{
	return number == CALL_MMAP || number == CALL_MUNMAP || number == CALL_BRK ||
	       number == CALL_MREMAP;
}

static __always_inline bool is_compat(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread_info.status) & TS_COMPAT;
}

/* Since 6.14 TP_PROTO(struct mm_struct *mm, bool write). Before the lock is taken: a walk may
 * have to ask for mappings. */
SEC("raw_tp/mmap_lock_start_locking")
int mmap_locking(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 context = SCRATCH_PROBE;
	struct task_struct *task;
	struct scratch *scratch;
	struct pt_regs *saved;
	__u64 number;

	if (!(ctx->args[1] & 1))
		return 0;
	/* Programs that begin and end take that lock by dozens of other ways: these go first. */
	saved = (struct pt_regs *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	if (bpf_probe_read_kernel(&number, sizeof(number), &saved->orig_rax) ||
	    !is_of_interest(number))
		return 0;
	task = (struct task_struct *)bpf_get_current_task();
	if (BPF_CORE_READ(task, flags) & PF_KTHREAD ||
	    (__u64)BPF_CORE_READ(task, mm) != ctx->args[0] || is_compat(task))
		return 0;
	scratch = bpf_map_lookup_elem(&scratches, &context);
	if (!scratch || bpf_probe_read_kernel(&scratch->saved, sizeof(scratch->saved), saved))
		return 0;
	return on_call(ctx, scratch, task, number);
}

/* TP_PROTO(struct pt_regs *regs, long id) */
SEC("raw_tp/sys_enter")
int mmap_called(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 number = ctx->args[1];
	__u32 context = SCRATCH_PROBE;
	struct task_struct *task;
	struct scratch *scratch;

	if (!is_of_interest(number))
		return 0;
	task = (struct task_struct *)bpf_get_current_task();
	scratch = bpf_map_lookup_elem(&scratches, &context);
	if (!scratch || is_compat(task) ||
	    bpf_probe_read_kernel(&scratch->saved, sizeof(scratch->saved), (void *)ctx->args[0]))
		return 0;
	return on_call(ctx, scratch, task, number);
}
