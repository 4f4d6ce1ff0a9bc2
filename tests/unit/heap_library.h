/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libperfd-heap.so's core as a part of the test program: its probes are functions of
 * the test, and the real allocator is one that the test chooses.
 */
#pragma once

#include "daemon/heap/allocator.h"
#include "daemon/heap/probe.h"

volatile uint16_t heap_alloc_semaphore, heap_free_semaphore;

struct heap_control perfd_heap_control = {
	.magic = HEAP_CONTROL_MAGIC,
	.version = HEAP_CONTROL_VERSION,
	.mode = HEAP_ALWAYS,
	.state = HEAP_PRELOADED,
	.interval = HEAP_INTERVAL_DEFAULT,
};

static inline void heap_set_interval(uint64_t interval)
{
	perfd_heap_control.interval = interval;
	perfd_heap_control.changes++;
}
