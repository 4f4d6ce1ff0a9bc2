/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sending records to the daemon. Whatever does not fit into the ring is
 * counted by the caller: the kernel counts nothing.
 */
#pragma once

#include "bpf/maps.h"

/* 0, or negative when the ring is full (or missing). */
static __always_inline long emit(void *record, __u64 size)
{
	__u32 at = bpf_get_smp_processor_id() % ring_count;
	void *ring = bpf_map_lookup_elem(&rings, &at);
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (!ring)
		return -1;
	/* The daemon looks in by the clock; only a filling ring wakes it early. */
	if (bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) > ring_wake_bytes)
		flags = BPF_RB_FORCE_WAKEUP;
	return bpf_ringbuf_output(ring, record, size, flags);
}

/* Likewise, but leaves three quarters of the ring to others. */
static __always_inline long emit_if_room(void *record, __u64 size)
{
	__u32 at = bpf_get_smp_processor_id() % ring_count;
	void *ring = bpf_map_lookup_elem(&rings, &at);

	if (!ring || bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) + size >
			     bpf_ringbuf_query(ring, BPF_RB_RING_SIZE) / 4)
		return -1;
	return emit(record, size);
}

/* Sends the stack in `scratch` if the daemon does not have it. 0 if it has it
 * now; else it was lost and `id` must not be named. */
static __always_inline long emit_stack(struct scratch *scratch, enum abi_frame_form form, __u64 id,
				       __u32 count)
{
	__u64 now = scratch->stack.hdr.time;
	__u64 size;
	long r;

	if (bpf_map_lookup_elem(&stacks_sent, &id))
		return 0;
	if (count > ABI_FRAMES_MAX)
		return -1;
	size = sizeof(scratch->stack) + count * sizeof(__u64);
	scratch->stack.id = id;
	scratch->stack.count = (__u16)count;
	scratch->stack.form = (__u8)form;
	scratch->stack.hdr.type = ABI_STACK;
	scratch->stack.hdr.size = (__u16)size;
	r = emit(scratch, size);
	if (r)
		return r;
	bpf_map_update_elem(&stacks_sent, &id, &now, BPF_ANY);
	return 0;
}
