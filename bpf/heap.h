/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What programs on allocators' functions have in common: which calls are samples, their stacks,
 * their records. One in `interval` bytes is taken, on average, by exponential gaps on the line
 * of the bytes that a CPU saw allocated (a gap has no memory, so it does not matter whose they
 * were).
 *
 * Such a program may be displaced by another thread in its middle: what it builds a stack
 * in is taken and given back.
 */
#pragma once

#include "bpf/sample.h"

/* Units of the line: 2^32 to an interval, so that 8 bytes are many of them. */
#define GAP_SHIFT 32
#define LOG_BITS 20u /* of a gap's logarithm, behind the point */

struct heap_cpu {
	__s64 gap; /* until the next sample */
	__u32 drawn; /* 0: the first gap is still to be drawn */
	__u32 busy[SCRATCH_COUNT - SCRATCH_HEAP];
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct heap_cpu);
} heap_cpus SEC(".maps");

/* The functions below that are global are verified by themselves, once: with their loops inside
 * the programs 6.18 gave up after a million instructions. */

/* -ln(u) of a random u in (0, 1], in units of the line: log2 bit by bit, by squaring. */
__noinline __s64 draw_gap(void)
{
	__u64 u = (__u64)bpf_get_prandom_u32() + 1, x, log;
	__u32 high = 0;

	for (__u32 step = 32; step; step >>= 1)
		if (u >> high >> step)
			high += step;
	x = u << 32 >> high; /* 1 <= x < 2, 32 bits behind the point */
	log = high;
	for (__u32 i = 0; i < LOG_BITS; i++) {
		x = (x >> 1) * (x >> 1) >> 30;
		log = log << 1 | x >> 33;
		x >>= x >> 33;
	}
	/* ln 2 in 32 bits: 25 and 32 bits at most, so 57. */
	return (__s64)(((32ULL << LOG_BITS) - log) * 2977044472ULL >> LOG_BITS);
}

static __always_inline bool is_sampled(struct heap_cpu *cpu, __u64 size, __u64 interval)
{
	__u64 whole = interval ? interval : 1, times = size / whole;
	__u64 units = times >> 20 ? ~0ULL >> 4 : times << GAP_SHIFT;
	__s64 left;

	/* The rest is below the interval, which is a GiB at most (bpf/abi.h). */
	units += ((size - times * whole) << GAP_SHIFT) / whole;

	if (!cpu->drawn) {
		cpu->drawn = 1;
		cpu->gap = draw_gap();
	}
	/* Exact where two threads of a CPU displace one another, but for the draw. */
	left = __sync_fetch_and_add(&cpu->gap, -(__s64)units) - (__s64)units;
	if (left > 0)
		return false;
	cpu->gap = draw_gap();
	return true;
}

/* The stack's id; 0: lost. */
static __always_inline __u64 heap_stack(struct pt_regs *ctx, struct heap_cpu *cpu, __u32 pid,
					__u64 now, __u8 *reason)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct scratch *scratch;
	__u32 place = 0, context;
	long id;

	*reason = ABI_REASON_LOST_STACK;
	UNROLL
	for (__u32 i = 0; i < SCRATCH_COUNT - SCRATCH_HEAP; i++) {
		if (!place && !__sync_val_compare_and_swap(&cpu->busy[i], 0, 1))
			place = i + 1;
	}
	if (!place || place > SCRATCH_COUNT - SCRATCH_HEAP)
		return 0;
	context = SCRATCH_HEAP + place - 1;
	scratch = bpf_map_lookup_elem(&scratches, &context);
	if (!scratch)
		return 0;
	__builtin_memset(&scratch->stack.hdr, 0, sizeof(scratch->stack.hdr));
	__builtin_memset(&scratch->walk, 0, sizeof(scratch->walk));
	scratch->stack.hdr.time = now;
	KEEP_REGISTERS(scratch->registers, ctx);
	scratch->walk.ip = ctx->rip;
	id = user_stack(scratch, task, pid, context, reason);
	if (id == -1)
		*reason = ABI_REASON_LOST_STACK;
	place = (place - 1) & 3;
	cpu->busy[place] = 0;
	return id == -1 ? 0 : (__u64)id;
}

/* Each register by a load of its own: one load at an address that was chosen before is
 * nothing the verifier takes ("dereference of modified ctx ptr"). */
#define REGISTER(number, field)                                                                    \
	case number:                                                                               \
		value = ctx->field;                                                                \
		asm volatile("" : "+r"(value));                                                    \
		break;

static __always_inline __u64 argument(struct pt_regs *ctx, __u32 number)
{
	__u64 value = 0;

	switch (number & 15) {
		REGISTER(0, rax)
		REGISTER(1, rdx)
		REGISTER(2, rcx)
		REGISTER(3, rbx)
		REGISTER(4, rsi)
		REGISTER(5, rdi)
		REGISTER(6, rbp)
		REGISTER(8, r8)
		REGISTER(9, r9)
		REGISTER(12, r12)
		REGISTER(13, r13)
		REGISTER(14, r14)
		REGISTER(15, r15)
	default:
		break;
	}
	return value;
}

/* Whether a session is on the process whose owner may see it, now. */
__noinline int heap_is_seen(__u32 pid)
{
	struct abi_target *target = bpf_map_lookup_elem(&targets, &pid);

	return target && slots_that_may_see(target->slots, (void *)bpf_get_current_task());
}

/* Or the machine's view wants it. */
static __always_inline bool is_followed(const struct abi_heap_target *heap, __u32 pid)
{
	return heap->view || heap_is_seen(pid);
}

/* `reason`: LOST_LIMIT: it is in use, but nobody will tell of its end. */
static __always_inline int on_free(__u32 pid, __u64 pointer, __u64 time, __u8 reason,
				   struct abi_counters *count)
{
	struct abi_free record = {.size = sizeof(record), .type = ABI_FREE, .reason = reason};

	record.pid = pid;
	record.time = time;
	record.address = pointer & ((1ULL << ABI_ADDRESS_BITS) - 1);
	if (emit(&record, sizeof(record)))
		account_shared(count, ABI_REASON_LOST_RING, 0);
	return 0;
}

/* The code of what a call of the allocator stands for, if it is a sample; else 0. */
static __always_inline __u32 draw_sample(struct heap_cpu *cpu, struct abi_heap_target *target,
					 __u64 size, __u64 now)
{
	__u64 interval = target->interval, band = target->band;
	__u32 code = target->weight;

	if (target->grant) {
		if (now >= target->refill) {
			target->refill = now + ABI_GRANT_NS;
			target->left = target->grant;
		}
		if (target->left <= 0) {
			interval = abi_coarse(interval);
			band = abi_coarse(band);
			code++;
		}
	}
	if (band && size >= band)
		code = ABI_WEIGHT_BAND;
	else if (!is_sampled(cpu, size, interval))
		return 0;
	__sync_fetch_and_add(&target->left, -1);
	return code;
}

struct allocation {
	__u64 time;
	__u64 pointer, size;
	__u64 weight; /* 0: not known here */
	__u32 code; /* 0: the weight's */
	__u64 stack; /* heap_stack()'s */
	__u8 reason;
};

__noinline int heap_small(__u64 value, __u32 mantissa)
{
	/* For the verifier: shifts by it are then below 64. */
	return (int)abi_small(value, mantissa & 15,
			      (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32());
}

static __always_inline int on_alloc(__u32 pid, const struct allocation *what,
				    struct abi_counters *count)
{
	struct abi_alloc record = {.size = sizeof(record), .type = ABI_ALLOC};
	__u32 code = what->code;
	__u8 reason = what->reason;

	if (!code)
		code = (__u32)heap_small(what->weight, ABI_WEIGHT_MANTISSA);
	record.time = what->time;
	record.who = (pid & ((1U << ABI_PID_BITS) - 1)) | code << ABI_PID_BITS;
	record.what = (what->pointer & ((1ULL << ABI_ADDRESS_BITS) - 1)) |
		      (__u64)heap_small(what->size, ABI_SIZE_MANTISSA) << ABI_ADDRESS_BITS;
	record.stack = what->stack;
	record.reason = reason;
	if (emit(&record, sizeof(record)))
		reason = ABI_REASON_LOST_RING;
	account_shared(count, reason, what->weight);
	return 0;
}

/* What a call of an allocator's function asks for; 0: nothing that counts. */
static __always_inline __u64 asked_for(__u64 cookie, __u64 first, __u64 second)
{
	switch (cookie & 0xff) {
	case ABI_PROBE_SIZE:
		return first;
	case ABI_PROBE_PRODUCT:
		/* What overflows, no allocator gives. */
		return first >> 32 || second >> 32 ? 0 : first * second;
	case ABI_PROBE_RESIZE:
		return first ? second : 0; /* without one malloc's probe sees it */
	case ABI_PROBE_PLACE:
		return second;
	default:
		return 0;
	}
}

static __always_inline void charge(struct abi_heap_target *target, __u64 cookie)
{
	__sync_fetch_and_add(&target->hits, cookie & ABI_PROBE_STEPPED ? ABI_STEPPED_HITS : 1);
}

/* A hit that was more than to look and go on, since then. */
static __always_inline void charge_sample(struct abi_heap_target *target, __u64 since)
{
	__sync_fetch_and_add(&target->sampled_ns, bpf_ktime_get_boot_ns() - since);
}
