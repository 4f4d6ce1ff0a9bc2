/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sending records to the daemon. Whatever does not fit into the ring is
 * counted by the caller: the kernel counts nothing.
 */
#pragma once

#include "bpf/maps.h"

/* 0, or negative when the ring is full. The daemon looks in by the clock; only where more than
 * `wake` bytes are unread it is woken early. */
static __always_inline long emit_into(void *ring, void *record, __u64 size, __u64 wake)
{
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) > wake)
		flags = BPF_RB_FORCE_WAKEUP;
	return bpf_ringbuf_output(ring, record, size, flags);
}

/* Likewise; negative where the ring is missing, too. */
static __always_inline long emit(void *record, __u64 size)
{
	__u32 at = bpf_get_smp_processor_id() % ring_count;
	void *ring = bpf_map_lookup_elem(&rings, &at);

	return ring ? emit_into(ring, record, size, ring_wake_bytes) : -1;
}

/* Likewise, of what is large and may be left out: half of the ring stays for others. A few such
 * records fill the other half, so the daemon is woken long before. */
static __always_inline long emit_if_room(void *record, __u64 size)
{
	__u32 at = bpf_get_smp_processor_id() % ring_count;
	void *ring = bpf_map_lookup_elem(&rings, &at);

	if (!ring || bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) + size >
			     bpf_ringbuf_query(ring, BPF_RB_RING_SIZE) / 2)
		return -1;
	return emit_into(ring, record, size, ring_wake_bytes / 4);
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
