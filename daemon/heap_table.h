/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The kernel side's table of a process's sampled pointers (source_heap_follow()). A large one is
 * sixteen megabytes that the kernel clears, ten milliseconds: so it is kept from one turn
 * of the probes to the next, in which nothing of the turn before counts any more
 * (bpf/heap_session.bpf.c looks at when a pointer came), until much of it may be old. At most
 * HEAP_FATES_MAX are kept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct source_heap;

struct heap_table {
	bool there;
	uint64_t made_at; /* of the observed time, ns */
};

/* A turn begins, after so much of `observed_ns`: 0, or source_heap_follow()'s error. `count` has
 * the tables of all processes, here and below. */
int heap_table_take(struct heap_table *table, struct source_heap *heap, uint32_t pid,
		    uint32_t objects, uint64_t observed_ns, uint32_t *count);
/* It ends. */
void heap_table_leave(struct heap_table *table, struct source_heap *heap, uint32_t pid,
		      uint32_t objects, uint64_t observed_ns, uint32_t *count);
/* It is needed no more. */
void heap_table_drop(struct heap_table *table, struct source_heap *heap, uint32_t pid,
		     uint32_t *count);
