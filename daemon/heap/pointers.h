/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The set of sampled pointers: a fixed table, without a lock, for any number of
 * threads. A pointer is put in by whoever got it from the allocator, before anybody
 * else can know it, and taken out by whoever frees it, before the allocator gets it
 * back: so an address is in it for one owner at a time. Of two that free the same
 * address one takes it out.
 *
 * In front of it lies a table of counters, one for many addresses, small enough to stay
 * in the nearest cache: a free whose counter is 0 is of no sampled pointer. Neighbours in
 * memory have neighbouring counters.
 *
 * realloc() is the one call that gives an address back without saying so beforehand: its
 * pointer is suspended first, and afterwards removed or resumed. Whoever is given the
 * address meanwhile and puts it in ends the suspended owner's time on the way, or waits
 * a moment for who is just telling of that end: what is told of the new owner comes after it.
 *
 * An address has three places: one in the first 4 KiB, which is all that most programs ever
 * touch of the table, as each page costs a fault, and two anywhere behind these. When all are full,
 * it is not put in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HEAP_BUCKET_SLOTS 8u /* a line of the cache */
#define HEAP_BUCKETS (1u << 14) /* 131072 pointers, 1 MiB, touched where used */
#define HEAP_NEAR_BUCKETS 64u /* before these, in 4 KiB */
#define HEAP_COUNTERS (1u << 16) /* touched where used, too */

struct heap_pointers {
	uint8_t counters[HEAP_COUNTERS]; /* how many addresses each has in the table */
	uint32_t far; /* something is, or was, beyond the near buckets */
	uint64_t slots[(HEAP_NEAR_BUCKETS + HEAP_BUCKETS) * HEAP_BUCKET_SLOTS]
		__attribute__((aligned(64)));
};

/* (address >> 10) + (address >> 16): one counter for 1 KiB, and arenas that lie at the same place
 * of large powers of two have others. */
static inline uint32_t heap_counter_of(uintptr_t address)
{
	return (uint32_t)((uint64_t)address * 65 >> 16) & (HEAP_COUNTERS - 1);
}

/* False: it is not in the set. True: ask heap_pointers_remove(). */
static inline bool heap_pointers_may_have(const struct heap_pointers *set, const void *pointer)
{
	return __atomic_load_n(&set->counters[heap_counter_of((uintptr_t)pointer)],
			       __ATOMIC_RELAXED) != 0;
}

/* Where a suspended pointer is. */
typedef uint64_t *heap_suspended;

/* False when there is no room, or somebody was too long in telling of a former owner's
 * end. *ret_ended: it took the place of a former owner of the
 * address, whose free is to be told of first. */
bool heap_pointers_insert(struct heap_pointers *set, const void *pointer, bool *ret_ended);
/* True for the one that took it out. */
bool heap_pointers_remove(struct heap_pointers *set, const void *pointer);
/* NULL: it is not in the set. `tag`: the thread's, up to 16 bits count. */
heap_suspended heap_pointers_suspend(struct heap_pointers *set, const void *pointer, uint32_t tag);
/* The suspended pointer is back in the set, or its time ends: then heap_pointers_end() must
 * follow, once that has been told. False: somebody has ended its time already (see
 * heap_pointers_insert()). */
bool heap_pointers_finish(const void *pointer, uint32_t tag, heap_suspended where, bool resume);
void heap_pointers_end(struct heap_pointers *set, const void *pointer, heap_suspended where);
