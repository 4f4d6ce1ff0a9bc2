/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Allocations: probes in the program itself. Those of libperfd-heap.so fire for a sample
 * and for its free, and say what it stands for. Those on an allocator's own functions
 * fire for each call; here samples are taken of them (bpf/heap.h). What becomes of these,
 * heap_session.bpf.c can tell, where the kernel has what it needs.
 */
#include "bpf/heap.h"

char LICENSE[] SEC("license") = "GPL";

/* One that libperfd-heap.so took. */
static __always_inline int on_note(struct pt_regs *ctx, __u64 cookie,
				   const struct abi_heap_target *target, __u32 pid,
				   struct heap_cpu *cpu, struct abi_counters *count)
{
	struct allocation what = {.time = bpf_ktime_get_boot_ns()};

	if (!is_followed(target, pid))
		return 0;
	what.pointer = argument(ctx, (__u32)(cookie >> 8));
	what.size = argument(ctx, (__u32)(cookie >> 16));
	what.weight = argument(ctx, (__u32)(cookie >> 24));
	if (what.weight == what.size)
		what.code = ABI_WEIGHT_ITSELF;
	what.stack = heap_stack(ctx, cpu, pid, what.time, &what.reason);
	return on_alloc(pid, &what, count);
}

SEC("uprobe")
int heap_probe(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);
	__u32 pid = (__u32)(bpf_get_current_pid_tgid() >> 32), zero = 0, index = ABI_SLOT_HEAP;
	struct abi_heap_target *target = bpf_map_lookup_elem(&heap_targets, &pid);
	struct heap_cpu *cpu = bpf_map_lookup_elem(&heap_cpus, &zero);
	struct abi_counters *count = bpf_map_lookup_elem(&counters, &index);
	struct allocation what = {};
	__u64 first, second;

	if (!target || !cpu || !count)
		return 0;
	first = argument(ctx, (__u32)(cookie >> 8));
	second = argument(ctx, (__u32)(cookie >> 16));
	if ((cookie & 0xff) == ABI_PROBE_FREE)
		return on_free(pid, first, bpf_ktime_get_boot_ns(), 0, count);
	if ((cookie & 0xff) == ABI_PROBE_ALLOC)
		return on_note(ctx, cookie, target, pid, cpu, count);
	what.size = asked_for(cookie, first, second);
	charge(target, cookie);
	what.time = bpf_ktime_get_boot_ns();
	if (what.time < target->from || what.time >= target->until || !what.size)
		return 0;
	what.code = draw_sample(cpu, target, what.size, what.time);
	if (!what.code || !is_followed(target, pid))
		return 0;
	what.stack = heap_stack(ctx, cpu, pid, what.time, &what.reason);
	on_alloc(pid, &what, count);
	charge_sample(target, what.time);
	return 0;
}
