/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Of which processes the kernel side may know something: a bit for each number that a process
 * can have. The maps by pid are large and mostly cold, and where programs come and go by the
 * thousand, nearly none of them is in any: to find that out by asking each map takes longer
 * than all else that is done for a start. Numbers are given in order, so the bits of a
 * second's starts are in a few lines of the cache.
 *
 * A bit that is set says nothing for certain; one that is not set says that no map has an entry. So
 * who puts an entry into a map sets the bit afterwards, and who forgets a process clears the
 * bit before the entries go: whatever comes in between, no entry is left behind without its bit.
 */
#pragma once

#include <linux/types.h>

/* PID_MAX_LIMIT of 64-bit kernels (include/linux/threads.h). */
#define PID_MARK_PIDS (4u << 20)
#define PID_MARK_WORDS (PID_MARK_PIDS / 64)

static inline __u32 pid_mark_word(__u32 pid)
{
	return pid % PID_MARK_PIDS / 64;
}

static inline __u64 pid_mark_bit(__u32 pid)
{
	return 1ULL << pid % 64;
}
