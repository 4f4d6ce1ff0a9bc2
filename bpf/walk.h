/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The walk of a user stack: from the registers at the sample to the entry of
 * the thread, one step a frame, at most ABI_FRAMES_MAX. A step knows the
 * frame-pointer rule: [rbp] holds the caller's rbp, [rbp + 8] the return
 * address (System V ABI, AMD64 supplement, 3.2.2). Rules from unwind tables
 * have their place in walk_step(), before it.
 *
 * How it ends is a reason (bpf/abi.h):
 *	COMPLETE	the chain ends as the ABI says it must, with rbp = 0
 *	BROKEN_CHAIN	rbp points below the stack, or nowhere sensible
 *	UNREADABLE	the memory at rbp is not there
 *	TRUNCATED	more than ABI_FRAMES_MAX frames
 */
#pragma once

#include "bpf/maps.h"

struct walk {
	__u64 ip; /* process addresses */
	__u64 sp;
	__u64 bp;
	__u64 hash;
	__u32 count;
	__u32 scratch; /* enum scratch_context */
	__u32 reason;
	__u32 pad;
};

static __always_inline __u64 hash_step(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
	return hash ^ (hash >> 32);
}

static __always_inline bool walk_by_frame_pointer(struct walk *walk)
{
	__u64 link[2];

	if (!walk->bp) {
		walk->reason = ABI_REASON_COMPLETE;
		return false;
	}
	/* The stack grows down: a caller's frame lies above. A register used for
	 * something else mostly fails this test or the alignment's. */
	if (walk->bp < walk->sp || walk->bp & 7) {
		walk->reason = ABI_REASON_BROKEN_CHAIN;
		return false;
	}
	if (bpf_probe_read_user(link, sizeof(link), (const void *)walk->bp)) {
		walk->reason = ABI_REASON_UNREADABLE;
		return false;
	}
	if (!link[1]) {
		walk->reason = ABI_REASON_COMPLETE;
		return false;
	}
	walk->sp = walk->bp + 16;
	walk->bp = link[0];
	walk->ip = link[1];
	return true;
}

/* Records the present frame and goes on to its caller; 1 ends the loop. */
static long walk_step(__u32 index, void *context)
{
	struct walk *walk = context;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &walk->scratch);

	if (!scratch || index >= ABI_FRAMES_MAX)
		return 1;
	scratch->frames[index] = walk->ip;
	walk->hash = hash_step(walk->hash, walk->ip);
	walk->count = index + 1;
	return walk_by_frame_pointer(walk) ? 0 : 1;
}

static __always_inline void walk_user(struct walk *walk)
{
	walk->reason = ABI_REASON_TRUNCATED;
	bpf_loop(ABI_FRAMES_MAX, walk_step, walk, 0);
}
