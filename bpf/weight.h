/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a sample stands for beyond its own event: counted events that were thinned out, the
 * time in which nobody looked, and what the ring had no room for.
 */
#pragma once

#include "bpf/sample.h"

/* A slot's new owner has nothing of the last one's. */
static __always_inline void begin(struct slot_state *state, const struct abi_slot *slot,
				  __u32 index, __u64 now)
{
	__u64 *owing = bpf_map_lookup_elem(&debts, &index);

	if (owing)
		__sync_fetch_and_sub(owing, state->owed);
	*state = (struct slot_state){.due = now, .window = now, .generation = slot->generation};
}

/* What something at that time stands for, in 1/65536; 0: it is nobody's (abi_slot.from). */
static __always_inline __u32 slot_scale(const struct abi_slot *slot, __u64 now)
{
	if (now < slot->from || now >= slot->end)
		return 0;
	return now < slot->until ? slot->scale : 1U << 16;
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
 * the next one stands for it too.
 */
static __always_inline __u64 weigh_counted(const struct abi_slot *slot, __u32 index,
					   struct slot_state *state, __u64 period, __u64 now)
{
	__u64 weight;

	if (state->generation != slot->generation)
		begin(state, slot, index, now);
	state->pending += period;
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
