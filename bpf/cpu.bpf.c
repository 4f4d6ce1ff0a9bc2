/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The sampler: one program for the sampling events of every CPU and every session,
 * of CPU time and of page faults. The event's cookie is the session's slot.
 */
#include "bpf/sample.h"

char LICENSE[] SEC("license") = "GPL";

/* A slot's new owner has nothing of the last one's. */
static __always_inline void begin(struct slot_state *state, const struct abi_slot *slot,
				  __u32 index, __u64 now)
{
	__u64 *owing = bpf_map_lookup_elem(&debts, &index);

	if (owing)
		__sync_fetch_and_sub(owing, state->owed);
	*state = (struct slot_state){.due = now, .window = now, .generation = slot->generation};
}

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

/* Twice as many firings to a sample when a window's share of the limit is used up,
 * half as many when a window used less than a quarter of it. */
#define THIN_WINDOW_NS 125000000ULL
#define THIN_WINDOWS 8 /* a second */
#define THIN_SHIFT_MAX 20

static __always_inline void thin(const struct abi_slot *slot, struct slot_state *state, __u64 now)
{
	__u32 share = slot->limit / THIN_WINDOWS;

	if (now - state->window >= THIN_WINDOW_NS) {
		if (state->taken <= share / 4 && state->thin)
			state->thin--;
		state->window = now;
		state->taken = 0;
	}
	if (++state->taken > share && state->thin < THIN_SHIFT_MAX) {
		state->thin++;
		state->taken = 0;
	}
	/* At random around the mean, so that nothing periodic is hit or missed always. */
	state->skip = state->thin ? bpf_get_prandom_u32() & ((2U << state->thin) - 1) : 0;
}

/*
 * What this firing of a counted event (page faults) stands for: all those since the
 * last sample of this slot and CPU, its targets' only. 0: it becomes no sample, and
 * the next one stands for it too. The share of time in which the event is on counts
 * in: what is seen in a quarter of the time is worth four times as much.
 */
static __always_inline __u64 weigh_counted(const struct abi_slot *slot, __u32 index,
					   struct slot_state *state, __u64 period, __u64 now)
{
	__u64 weight;

	if (state->generation != slot->generation)
		begin(state, slot, index, now);
	state->pending += (period << 16) / (slot->share ? slot->share : 1);
	if (state->skip) {
		state->skip--;
		return 0;
	}
	weight = state->pending;
	state->pending = 0;
	thin(slot, state, now);
	return weight;
}

/*
 * What was lost a moment ago for want of room in the ring, later samples stand for: each
 * for as much again as itself at most, so that none is blown up, and for OWED_NS at most,
 * for then it is too long ago. Samples of the same CPU are the likest; where that one has
 * carried nothing for AWAY_NS (what ran there has gone to another), those of any other.
 */
#define OWED_NS 5000000000ULL
#define AWAY_NS 100000000ULL

/* Takes from what `from` owes; its own CPU may be owing or taking just then. */
static __always_inline __u64 take_debt(struct slot_state *from, __u64 *owing, __u64 most, __u64 now)
{
	__u64 owed = from->owed, more = owed < most ? owed : most;
	bool stale = now - from->owed_at > OWED_NS;

	if (stale)
		more = owed;
	if (!more || __sync_val_compare_and_swap(&from->owed, owed, owed - more) != owed)
		return 0;
	__sync_fetch_and_sub(owing, more);
	return stale ? 0 : more;
}

/* From another CPU, the one that gave last first. A few are asked with each sample, for
 * there may be hundreds. */
#define ASKED_MAX 8

static __always_inline __u64 take_from_others(struct slot_state *state, __u32 index, __u64 *owing,
					      __u64 most, __u64 now)
{
	struct slot_state *other;
	__u64 more;

	if (!bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_map_lookup_percpu_elem))
		return 0;
	for (int i = 0; i < ASKED_MAX; i++) {
		other = bpf_map_lookup_percpu_elem(&slot_states, &index, state->asked);
		if (other && other->owed && other->generation == state->generation &&
		    now - other->carried_at >= AWAY_NS) {
			more = take_debt(other, owing, most, now);
			if (more)
				return more;
		}
		state->asked = state->asked + 1 < cpu_count ? state->asked + 1 : 0;
	}
	return 0;
}

static __always_inline __u64 carry(struct slot_state *state, __u32 index,
				   struct abi_counters *count, __u64 weight, __u64 now)
{
	__u64 *owing = bpf_map_lookup_elem(&debts, &index), more;

	if (!owing || !*owing)
		return 0;
	if (state->owed) {
		more = take_debt(state, owing, weight, now);
		state->carried_at = now;
	} else {
		more = take_from_others(state, index, owing, weight, now);
	}
	count->carried += more;
	return more;
}

static __always_inline void owe(struct slot_state *state, __u32 index, struct abi_counters *count,
				__u64 weight, __u64 more, __u64 now)
{
	__u64 *owing = bpf_map_lookup_elem(&debts, &index);

	state->owed_at = state->carried_at = now;
	__sync_fetch_and_add(&state->owed, weight);
	if (owing)
		__sync_fetch_and_add(owing, weight);
	count->carried -= more;
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

static __always_inline void fill(struct abi_sample *sample, const struct abi_slot *slot,
				 __u32 index, __u64 ids)
{
	sample->hdr.size = sizeof(*sample);
	sample->hdr.type = ABI_SAMPLE;
	sample->hdr.cpu = (__u16)bpf_get_smp_processor_id();
	sample->hdr.source = slot->source;
	sample->hdr.slot = (__u8)index;
	sample->pid = (__u32)(ids >> 32);
	sample->tid = (__u32)ids;
	sample->cgroup = bpf_get_current_cgroup_id();
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
	if (counted && !sample->weight) {
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
