/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sampler: one program for the sampling events of every CPU and every session,
 * of CPU time and of page faults. The event's cookie is the session's slot. (The
 * machine's view of page faults is faults.bpf.c's.)
 */
#include "bpf/weight.h"

char LICENSE[] SEC("license") = "GPL";

/* A gap longer than this is a suspended or stopped machine, not late ticks. */
#define LATE_MAX_NS 1000000000ULL

/* Nanoseconds of the timer's grid that ended since the last firing: mostly a period. A
 * firing that is late does not move the grid: the next one is due a period after
 * this one was. One that comes before it is due shows that all firings so far were
 * late, and sets the grid anew. */
static __always_inline __u64 grid_since(struct slot_state *state, __u64 now)
{
	__u64 period = state->period, passed;

	if (now < state->due + period) {
		state->due = now;
		return period;
	}
	passed = (now - state->due) / period * period;
	state->due += passed;
	return passed;
}

/*
 * What a firing stands for by the grid: the time since the last one, up to a period;
 * *late: what passed beyond that. The first firing after a change of the rate ends a
 * stretch of the old grid and one of the new: it stands for both, so that nothing is
 * lost or doubled, however often the rate changes.
 */
static __always_inline __u64 stretch(struct slot_state *state, __u64 period, __u64 now, __u64 *late)
{
	__u64 passed, most = period;

	if (state->period == period) {
		passed = grid_since(state, now);
	} else {
		passed = now > state->due ? now - state->due : 1;
		most = state->period + period;
		state->due = now;
		state->period = period;
	}
	if (passed < most)
		most = passed;
	*late = passed - most;
	return most;
}

/*
 * What this firing stands for. The timer behind cpu-clock skips the periods that
 * pass while interrupts are off or the virtual CPU is not run
 * (perf_swevent_hrtimer() forwards it and forgets the overruns). They are a debt:
 * if the thread has not been switched out since the last firing, and the scheduler
 * says that it really had that much CPU time (time stolen from a virtual CPU is
 * nobody's), a later firing of the same run stands for them too, in whole periods.
 * The scheduler's figure may lag by a tick, so the debt is kept until the run ends;
 * what is left then is only counted.
 */
static __always_inline __u64 weigh(const struct abi_slot *slot, __u32 index,
				   struct slot_state *state, struct abi_counters *count, __u32 tid,
				   __u64 period, __u64 now)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 switches = BPF_CORE_READ(task, nvcsw) + BPF_CORE_READ(task, nivcsw);
	__u64 runtime = BPF_CORE_READ(task, se.sum_exec_runtime), weight, late = 0, paid, had;

	if (state->generation != slot->generation) {
		begin(state, slot, index, now);
		state->period = period;
		weight = period;
	} else if (now - state->due > LATE_MAX_NS + state->period + period) {
		state->due = now;
		state->period = weight = period;
		state->switches = state->debt = 0;
		state->tid = 0;
	} else {
		weight = stretch(state, period, now, &late);
	}
	if (state->tid != tid || state->switches != switches) {
		count->missed += (state->debt + late) / period;
		state->tid = tid;
		state->switches = switches;
		state->runtime = runtime;
		state->weight = state->debt = 0;
		return weight;
	}
	state->debt += late;
	state->weight += weight;
	had = runtime - state->runtime;
	paid = had > state->weight ? had - state->weight : 0;
	if (paid > state->debt)
		paid = state->debt;
	paid = paid / period * period;
	state->debt -= paid;
	state->weight += paid;
	count->late += paid / period;
	return weight + paid;
}

/* The registers with which the thread entered the kernel, or those of the sample
 * itself when it hit user code. False: there is no user side. */
static __always_inline bool user_registers(struct bpf_perf_event_data *ctx, struct scratch *scratch,
					   struct task_struct *task)
{
	if (ctx->regs.rip >> 63 || (ctx->regs.cs & 3) != 3)
		return entry_registers(scratch, task);
	KEEP_REGISTERS(scratch->registers, &ctx->regs);
	scratch->walk.ip = ctx->regs.rip;
	return scratch->walk.ip != 0;
}

/* What a firing of a clock stands for beyond itself, where busy processes are thinned out; 0: it is
 * no sample. Only one slot is: no two of its firings displace one another on a CPU. */
static __always_inline __u32 share_of_busy(const struct abi_slot *slot, struct task_struct *task,
					   __u32 pid, __u64 now)
{
	__u32 zero = 0, most = slot->one_in, who;
	struct busy_table *table;
	char comm[ABI_COMM_MAX];

	if (most < 2)
		return 1;
	table = bpf_map_lookup_elem(&busy_tables, &zero);
	if (!table)
		return 1;
	bpf_get_current_comm(comm, sizeof(comm));
	who = busy_who(pid, now - BPF_CORE_READ(task, group_leader, start_boottime), comm);
	return busy_share(&table->places[busy_place(who)], who, now, most & 0xff,
			  bpf_get_prandom_u32());
}

static __always_inline void sample_one(struct bpf_perf_event_data *ctx, const struct abi_slot *slot,
				       __u32 index, struct slot_state *state,
				       struct abi_counters *count, struct abi_sample *sample)
{
	/* A fault happens to a thread, and a clock's interrupt may hit while it is
	 * walked. */
	bool counted = slot->source == ABI_SOURCE_FAULTS;
	__u32 context = counted ? SCRATCH_PROBE : SCRATCH_SAMPLE;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &context);
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 ids = bpf_get_current_pid_tgid(), *period;
	__u32 pid = (__u32)(ids >> 32);
	__u8 reason = ABI_REASON_NO_USER;
	long kernel, user = 0;
	__u64 more;

	if (!scratch)
		return;
	count->fired++;
	sample->weight = ctx->sample_period;
	if (slot->source == ABI_SOURCE_CPU_CLOCK) {
		period = bpf_map_lookup_elem(&periods, &index);
		if (period && *period)
			sample->weight = weigh(slot, index, state, count, (__u32)ids, *period,
					       sample->hdr.time);
	}
	if (!(__u32)ids) {
		count->idle++;
		return;
	}
	if (!is_target(slot, index, pid, task)) {
		count->filtered++;
		return;
	}
	if (counted)
		sample->weight =
			weigh_counted(slot, index, state, ctx->sample_period, sample->hdr.time);
	else
		sample->weight *= share_of_busy(slot, task, pid, sample->hdr.time);
	if (!sample->weight) {
		count->thinned++;
		return;
	}
	fill(sample, slot, index, ids);
	scratch->stack.hdr = sample->hdr;
	kernel = (ctx->regs.cs & 3) == 3 ? 0 : kernel_stack(ctx, scratch);
	__builtin_memset(&scratch->walk, 0, sizeof(scratch->walk));
	if (user_registers(ctx, scratch, task))
		user = user_stack(scratch, task, pid, context, &reason);
	if (kernel == -1 || user == -1)
		reason = ABI_REASON_LOST_STACK;
	sample->kernel_stack = kernel == -1 ? 0 : (__u64)kernel;
	sample->user_stack = user == -1 ? 0 : (__u64)user;
	sample->hdr.reason = reason;
	more = carry(state, index, count, sample->weight, sample->hdr.time);
	sample->weight += more;
	if (emit(sample, sizeof(*sample))) {
		reason = ABI_REASON_LOST_RING;
		owe(state, index, count, sample->weight, more, sample->hdr.time);
		sample->weight -= more; /* told of before */
	}
	account(count, reason, sample->weight);
}

SEC("perf_event")
int cpu_sample(struct bpf_perf_event_data *ctx)
{
	__u32 index = (__u32)bpf_get_attach_cookie(ctx);
	struct abi_slot *slot = bpf_map_lookup_elem(&slots, &index);
	struct abi_counters *count = bpf_map_lookup_elem(&counters, &index);
	struct slot_state *state = bpf_map_lookup_elem(&slot_states, &index);
	struct abi_sample sample = {};

	if (!slot || !count || !state || !slot->active)
		return 0;
	sample.hdr.time = bpf_ktime_get_boot_ns();
	sample_one(ctx, slot, index, state, count, &sample);
	count->run_ns += bpf_ktime_get_boot_ns() - sample.hdr.time;
	return 0;
}
