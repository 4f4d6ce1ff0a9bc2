/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A followed process's windows (heap_windows.h), with what the kernel knows of it: its CPU time,
 * the hits of its probes, and the window as the kernel side has it. For heap_follow.c.
 */
#pragma once

#include "daemon/heap_follow.h"

#define HEAP_FATE_NS (2 * 1000000ULL) /* frees are looked at for so long after a window */

/* Its probes are in; then how long its first part is waited for (heap_windows_wait()). `share`: of
 * its time, what they may cost.
 */
void heap_follow_open(struct heap_follow *follow, struct heap_followed *followed, double share);
uint64_t heap_follow_wait(const struct heap_follow *follow, const struct heap_followed *followed,
			  uint64_t now);
/* The window is to end at `until`, soon, and its fates then. */
void heap_follow_close(struct heap_follow *follow, struct heap_followed *followed, uint64_t now,
		       uint64_t until, uint64_t fates_until);
/* It has another program from now on. */
void heap_follow_restart(struct heap_follow *follow, struct heap_followed *followed, uint64_t now);
/* What its probes have cost since they were charged last, ns. */
uint64_t heap_follow_charge(struct heap_follow *follow, struct heap_followed *followed,
			    const struct abi_heap_target *target);
