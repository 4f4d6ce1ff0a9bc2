/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What becomes of the allocations that probes on an allocator's own functions took: the
 * pointer that such a call returned, and its free.
 *
 * The kernel's session probes (Linux 6.13: BPF_TRACE_UPROBE_SESSION) run a program at a
 * function's beginning and, only if that said so, once more at its return. So only samples
 * pay for a return probe, half a microsecond. Their stack is taken at the beginning, while
 * the return address is still the program's own.
 *
 * All functions of an allocator have this one program, those that free and those whose return
 * cannot be asked for, too: probes of one program and one file are one link, and all of them
 * go at once (daemon/source_heap.c).
 *
 * A pointer is out of the map of what is followed before its memory goes back, so another
 * thread that is given the same address is never taken for the old owner. realloc()'s old one
 * comes back if the call failed.
 *
 * A thread has one call under way: what it calls inside is that call's own business.
 */
#include "bpf/heap.h"

char LICENSE[] SEC("license") = "GPL";

#define NO_RETURN 1 /* what the kernel wants to hear: it is not to tell of the return */
#define RETURN_NS 400 /* what the kernel takes for a return, about */
#define STALE_NS 10000000000ULL /* a call that was left by longjmp() does not return */

extern bool bpf_session_is_return(void) __ksym;

/* A call that is under way. */
struct heap_call {
	__u64 sp; /* where its return address is */
	__u64 time; /* of its beginning */
	__u64 size;
	__u64 stack;
	__u64 old; /* the pointer that was followed until now; 0 */
	__u64 place; /* where the new pointer is put; 0: it is returned */
	__u8 reason;
	__u8 pad[3];
	__u32 code; /* of its weight; 0: it is no sample, and here only for the old pointer */
};

/* By thread. LRU: threads end in the middle of a call, too. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct heap_call);
} heap_calls SEC(".maps");

/* The sampled pointers of a process that are in use. */
struct heap_pointers {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64); /* when it came */
};

/* By process. A new one takes an old one's place when nobody has looked for a while. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__array(values, struct heap_pointers);
} heap_followed SEC(".maps");

/* True: it was followed, and is not any more. What came before the probes went in this time does
 * not count: what became of it meanwhile nobody knows. */
static __always_inline bool take_pointer(const struct abi_heap_target *target, __u32 pid,
					 __u64 pointer)
{
	void *pointers = bpf_map_lookup_elem(&heap_followed, &pid);
	__u64 *came = pointers ? bpf_map_lookup_elem(pointers, &pointer) : NULL, time;

	if (!came)
		return false;
	time = *came;
	return !bpf_map_delete_elem(pointers, &pointer) && time >= target->from;
}

static __always_inline bool follow_pointer(__u32 pid, __u64 pointer, __u64 time)
{
	void *pointers = bpf_map_lookup_elem(&heap_followed, &pid);

	return pointers && !bpf_map_update_elem(pointers, &pointer, &time, BPF_ANY);
}

/* Whether the thread is inside another call that is followed to its end. */
static __always_inline bool is_inside(__u64 thread, __u64 sp, __u64 now)
{
	struct heap_call *call = bpf_map_lookup_elem(&heap_calls, &thread);

	return call && sp < call->sp && now - call->time < STALE_NS;
}

/* A call of free() and its like. */
static __always_inline int on_release(struct pt_regs *ctx, __u64 cookie,
				      struct abi_heap_target *target, struct abi_counters *count)
{
	__u32 pid = (__u32)(bpf_get_current_pid_tgid() >> 32);
	__u64 pointer = argument(ctx, (__u32)(cookie >> 8)), now;

	if (!pointer || !take_pointer(target, pid, pointer))
		return NO_RETURN;
	now = bpf_ktime_get_boot_ns();
	if (now < target->fates_until)
		on_free(pid, pointer, now, 0, count);
	charge_sample(target, now);
	return NO_RETURN;
}

/* Nothing of it is left until its return. */
static __always_inline int on_short_call(__u32 pid, const struct heap_call *call,
					 struct abi_counters *count)
{
	struct allocation what = {.time = call->time,
				  .size = call->size,
				  .stack = call->stack,
				  .reason = call->reason,
				  .code = call->code};

	if (call->old)
		on_free(pid, call->old, call->time, 0, count);
	if (call->code)
		on_alloc(pid, &what, count);
	return NO_RETURN;
}

/* It is a sample, or an old pointer is given back. */
static __always_inline int on_known_call(struct pt_regs *ctx, __u64 cookie, __u64 thread,
					 struct heap_call *call, struct heap_cpu *cpu,
					 struct abi_counters *count)
{
	__u32 pid = (__u32)(thread >> 32);
	bool inside = is_inside(thread, call->sp, call->time);

	/* realloc(pointer, 0) is a free. */
	if (call->old && (inside || !argument(ctx, (__u32)(cookie >> 16)))) {
		on_free(pid, call->old, call->time, 0, count);
		return NO_RETURN;
	}
	if (inside)
		return NO_RETURN;
	if ((cookie & 0xff) == ABI_PROBE_PLACE)
		call->place = argument(ctx, (__u32)(cookie >> 8));
	if (call->code)
		call->stack = heap_stack(ctx, cpu, pid, call->time, &call->reason);
	if (!(cookie & ABI_PROBE_RETURNS))
		return on_short_call(pid, call, count);
	if (!bpf_map_update_elem(&heap_calls, &thread, call, BPF_ANY))
		return 0;
	account_shared(count, ABI_REASON_LOST_LIMIT, 0);
	if (call->old)
		on_free(pid, call->old, call->time, ABI_REASON_LOST_LIMIT, count);
	return NO_RETURN;
}

static __always_inline int on_call(struct pt_regs *ctx, __u64 cookie,
				   struct abi_heap_target *target, struct heap_cpu *cpu,
				   struct abi_counters *count)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 pid = (__u32)(thread >> 32);
	struct heap_call call = {.sp = ctx->rsp, .time = bpf_ktime_get_boot_ns()};
	__u64 first = argument(ctx, (__u32)(cookie >> 8));
	__u64 second = argument(ctx, (__u32)(cookie >> 16));
	int wanted;

	call.size = asked_for(cookie, first, second);
	if (call.size && call.time >= target->from && call.time < target->until)
		call.code = draw_sample(cpu, target, call.size, call.time);
	if (call.code && !is_followed(target, pid))
		call.code = 0;
	if ((cookie & 0xff) == ABI_PROBE_RESIZE && first && call.time < target->fates_until &&
	    take_pointer(target, pid, first))
		call.old = first;
	if (!call.code && !call.old)
		return NO_RETURN;
	wanted = on_known_call(ctx, cookie, thread, &call, cpu, count);
	charge_sample(target, call.time);
	return wanted;
}

static __always_inline __u64 result_of(const struct pt_regs *ctx, const struct heap_call *call)
{
	__u64 pointer = 0;

	if (!call->place)
		return ctx->rax;
	if ((__u32)ctx->rax ||
	    bpf_probe_read_user(&pointer, sizeof(pointer), (const void *)call->place))
		return 0;
	return pointer;
}

static __always_inline int finish_call(struct pt_regs *ctx, __u64 now, struct abi_counters *count)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 pid = (__u32)(thread >> 32);
	struct heap_call *known = bpf_map_lookup_elem(&heap_calls, &thread), call;
	struct allocation what = {.time = now};

	if (!known || known->sp + 8 != ctx->rsp) {
		account_shared(count, ABI_REASON_LOST_LIMIT, 0);
		return 0;
	}
	call = *known;
	bpf_map_delete_elem(&heap_calls, &thread);
	what.pointer = result_of(ctx, &call);
	if (call.old && what.pointer)
		on_free(pid, call.old, call.time, 0, count);
	else if (call.old && !follow_pointer(pid, call.old, call.time))
		on_free(pid, call.old, call.time, ABI_REASON_LOST_LIMIT, count);
	if (!call.code || !what.pointer)
		return 0;
	what.size = call.size;
	what.stack = call.stack;
	what.reason = call.reason;
	what.code = call.code;
	if (!follow_pointer(pid, what.pointer, what.time))
		what.pointer = ABI_ADDRESS_UNFOLLOWED;
	return on_alloc(pid, &what, count);
}

static __always_inline int on_return(struct pt_regs *ctx, struct abi_heap_target *target,
				     struct abi_counters *count)
{
	__u64 now = bpf_ktime_get_boot_ns();

	finish_call(ctx, now, count);
	charge_sample(target, now - RETURN_NS);
	return 0;
}

SEC("uprobe")
int heap_session(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u32 pid = (__u32)(bpf_get_current_pid_tgid() >> 32), zero = 0, index = ABI_SLOT_HEAP;
	struct abi_heap_target *target = bpf_map_lookup_elem(&heap_targets, &pid);
	struct heap_cpu *cpu = bpf_map_lookup_elem(&heap_cpus, &zero);
	struct abi_counters *count = bpf_map_lookup_elem(&counters, &index);

	if (!target || !cpu || !count)
		return NO_RETURN;
	if (bpf_session_is_return())
		return on_return(ctx, target, count);
	charge(target, cookie);
	return (cookie & 0xff) == ABI_PROBE_RELEASE ? on_release(ctx, cookie, target, count)
						    : on_call(ctx, cookie, target, cpu, count);
}
