/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How much memory a process has, by kind. Since 6.2 the kernel counts it per CPU, in
 * batches (percpu_counter): a small process may have more in the batches than in the sum.
 * So they are added up here, as far as they can matter.
 *
 * Where a CPU's copy of a per-CPU variable lies, a program can learn of its own map: the
 * kernel's per-CPU address of a value, and what it gives for one CPU. The difference is
 * the same for all per-CPU variables. (The kernel's own table of them is no symbol that
 * every kernel shows.)
 */
#pragma once

#include "bpf/maps.h"

#define PAGE_SHIFT 12
/* Above, many CPUs' batches are only added where they are more than a hundredth. */
#define RSS_CPUS_ALWAYS 16u
#define RSS_CPUS_MAX 4096u

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} rss_places SEC(".maps");

struct rss_sum {
	__u64 base; /* per-CPU address of the value in rss_places */
	__s32 *counters; /* per-CPU address */
	__s64 sum;
};

static long add_cpu(__u32 cpu, void *context)
{
	struct rss_sum *sum = context;
	__u32 zero = 0;
	__s32 part = 0;
	void *there = bpf_map_lookup_percpu_elem(&rss_places, &zero, cpu);

	if (!there)
		return 1;
	/* As numbers: the verifier has no opinion on a difference of two addresses. */
	*(volatile __u64 *)there = (__u64)there;
	if (!bpf_probe_read_kernel(
		    &part, sizeof(part),
		    (void *)((__u64)sum->counters + *(volatile __u64 *)there - sum->base)))
		sum->sum += part;
	return 0;
}

/* The map's own per-CPU address, 0 if it cannot be had. */
static __always_inline __u64 rss_base(void)
{
	__u32 zero = 0;
	__u64 *place = bpf_map_lookup_elem(&rss_places, &zero), base = 0;
	struct bpf_array *array;

	if (!place)
		return 0;
	*(volatile __u64 *)place = (__u64)&rss_places;
	array = (struct bpf_array *)*(volatile __u64 *)place;
	bpf_core_read(&base, sizeof(base), &array->pptrs[0]);
	return base;
}

static __always_inline __s64 rss_count(struct mm_struct *mm, __u32 kind, __u64 base, __u32 *exact)
{
	struct percpu_counter *counter = &mm->rss_stat[0];
	struct rss_sum sum = {.base = base};
	__s64 reach = 100LL * cpu_count * (cpu_count > 16 ? 2 * cpu_count : 32);

	/* The kinds follow one another. */
	counter = (struct percpu_counter *)((__u64)counter +
					    kind * bpf_core_type_size(struct percpu_counter));
	sum.sum = BPF_CORE_READ(counter, count);
	if (cpu_count > RSS_CPUS_ALWAYS && sum.sum > reach)
		return sum.sum;
	sum.counters = BPF_CORE_READ(counter, counters);
	if (!base || !sum.counters) {
		*exact = 0;
		return sum.sum;
	}
	bpf_loop(cpu_count < RSS_CPUS_MAX ? cpu_count : RSS_CPUS_MAX, add_cpu, &sum, 0);
	return sum.sum;
}

/* False: the task has no memory of its own (any more). */
static __always_inline bool read_rss(struct task_struct *task, struct abi_rss *record)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	bool counts = bpf_core_type_exists(struct mm_rss_stat);
	__u64 base = counts ? 0 : rss_base();

	record->hdr.size = sizeof(*record);
	record->hdr.time = bpf_ktime_get_boot_ns();
	record->pid = (__u32)BPF_CORE_READ(task, tgid);
	record->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	if (!mm)
		return false;
	record->exact = !counts;
	UNROLL
	for (__u32 kind = 0; kind < ABI_MEMORY_COUNT; kind++) {
		struct mm_struct___counts *old = (void *)mm;
		__s64 pages;

		if (counts)
			pages = BPF_CORE_READ(old, rss_stat.count[kind].counter);
		else
			pages = rss_count(mm, kind, base, &record->exact);
		record->bytes[kind] = pages > 0 ? (__u64)pages << PAGE_SHIFT : 0;
	}
	return true;
}
