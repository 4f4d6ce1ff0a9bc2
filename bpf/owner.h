/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether the owner of a session may see a task, judged where and when the sample is taken:
 * by the time the daemon reads of it the process may have executed a set-user-id program,
 * ended, or left its number to another's. The rule is that of ptrace(2) without
 * capabilities, as daemon/peer.h has it for the daemon's own look:
 *
 *	- its real, effective and saved user ids are the owner's;
 *	- it holds no capabilities (in a user namespace: of one that the owner made);
 *	- it is dumpable.
 */
#pragma once

#include "bpf/maps.h"

#define DUMPABLE_MASK 3UL /* MMF_DUMPABLE_MASK, include/linux/mm_types.h */
#define DUMPABLE_BY_USER 1UL /* SUID_DUMP_USER */

/* True where the kernel does not say: the daemon asks /proc too. */
static __always_inline bool is_dumpable(struct mm_struct *mm)
{
	struct mm_struct___bitmap *bitmap = (struct mm_struct___bitmap *)mm;
	unsigned long flags = DUMPABLE_BY_USER;

	if (bpf_core_field_exists(mm->flags))
		flags = BPF_CORE_READ(mm, flags);
	else if (bpf_core_field_exists(bitmap->flags)) /* since 6.18 */
		BPF_CORE_READ_INTO(&flags, bitmap, flags);
	return (flags & DUMPABLE_MASK) == DUMPABLE_BY_USER;
}

static __always_inline bool may_see(struct task_struct *task, __u32 owner)
{
	struct cred *cred = BPF_CORE_READ(task, real_cred);
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	__u64 capabilities = 1;

	if (BPF_CORE_READ(cred, uid.val) != owner || BPF_CORE_READ(cred, euid.val) != owner ||
	    BPF_CORE_READ(cred, suid.val) != owner)
		return false;
	BPF_CORE_READ_INTO(&capabilities, cred, cap_permitted);
	if (capabilities && (!BPF_CORE_READ(cred, user_ns, level) ||
			     BPF_CORE_READ(cred, user_ns, owner.val) != owner))
		return false;
	return mm && is_dumpable(mm);
}

static __always_inline bool slot_may_see(const struct abi_slot *slot, struct task_struct *task)
{
	return !slot->restricted || may_see(task, slot->owner);
}

/* Of the sessions in `bits` those whose owner may see the task. */
static __always_inline __u32 slots_that_may_see(__u32 bits, struct task_struct *task)
{
	__u32 left = bits;

	for (__u32 index = 1; index < ABI_SESSION_SLOTS; index++) {
		__u32 key = index;
		struct abi_slot *slot;

		if (!(bits >> index & 1))
			continue;
		slot = bpf_map_lookup_elem(&slots, &key);
		if (!slot || !slot_may_see(slot, task))
			left &= ~(1U << index);
	}
	return left;
}
