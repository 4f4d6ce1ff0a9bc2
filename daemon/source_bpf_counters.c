/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the live source's kernel side has counted.
 */
#include <bpf/bpf.h>

#include "daemon/source_bpf_internal.h"

#include "cpu.skel.h"

static void sum_counters(struct source_bpf *s, uint32_t slot, struct abi_counters *sum)
{
	__u64 *into = (__u64 *)sum;

	*sum = (struct abi_counters){0};
	if ((slot < ABI_SESSION_SLOTS && !s->generations[slot]) || /* nobody has had it yet */
	    bpf_map_lookup_elem(bpf_map__fd(s->programs.sampler->maps.counters), &slot, s->per_cpu))
		return;
	for (int cpu = 0; cpu < s->possible_cpus; cpu++) {
		const __u64 *from = (const __u64 *)&s->per_cpu[cpu];

		for (size_t i = 0; i < sizeof(*sum) / sizeof(*into); i++)
			into[i] += from[i];
	}
}

void bpf_get_counters(struct source *source, struct source_counters *ret)
{
	struct source_bpf *s = self(source);

	*ret = (struct source_counters){0};
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		sum_counters(s, slot, &ret->slot[slot]);
	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++)
		bpf_watch_window(s, slot, &ret->slices[slot]);
	ret->sideband_lost = s->sideband_lost;
	ret->mapping_leaves = s->unwind.leaves;
	ret->unwind_bytes = unwind_maps_bytes(&s->unwind);
	ret->cpus = (uint32_t)s->cpus.count;
	ret->cpu_changes = s->cpu_changes;
}

void bpf_get_run_time(struct source *source, uint64_t *ret_ns, uint64_t *ret_runs)
{
	struct source_bpf *s = self(source);

	bpf_programs_run_time(&s->programs, ret_ns, ret_runs);
	source_heap_run_time(&s->heap, ret_ns, ret_runs);
	source_mmap_run_time(&s->mmap, ret_ns, ret_runs);
	source_faults_run_time(&s->faults, ret_ns, ret_runs);
}
