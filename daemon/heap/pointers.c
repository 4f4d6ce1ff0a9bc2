/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap/pointers.h"

#include <stddef.h>

#include "daemon/heap/system.h"

/* A suspended entry: addresses have 47 bits, and the last two are 0; the tag tells two
 * threads apart that suspend the same address one after the other. An ending one: its
 * thread is about to tell of its free. */
#define ADDRESS_BITS 47
#define SUSPENDED 1ULL
#define ENDING 2ULL
#define ADDRESS_MASK (((1ULL << ADDRESS_BITS) - 1) & ~(SUSPENDED | ENDING))
/* It takes some instructions; but it may be preempted, for milliseconds on a busy machine,
 * or be this very thread below a signal's handler, which would wait for ever. */
#define ENDING_YIELDS 100000
/* A counter that has reached the top stays there: then the table is asked. */
#define COUNTER_MAX 255u
#define CHOICES 3u /* near, and two behind it */

static uint64_t *bucket(struct heap_pointers *set, uint64_t address, unsigned int choice)
{
	/* Multiplicative hashing; the choices take disjoint bits of the product. */
	uint64_t hash = (address >> 4) * 0x9e3779b97f4a7c15ULL;
	uint64_t index = hash >> 56 & (HEAP_NEAR_BUCKETS - 1);

	if (choice)
		index = HEAP_NEAR_BUCKETS + (hash >> (choice == 1 ? 42 : 22) & (HEAP_BUCKETS - 1));

	return &set->slots[index * HEAP_BUCKET_SLOTS];
}

/* How many choices there are to look at for an address that is in the table: who knows the
 * address knows what was stored before it was put in. */
static unsigned int choices(const struct heap_pointers *set)
{
	return __atomic_load_n(&set->far, __ATOMIC_RELAXED) ? CHOICES : 1;
}

static uint64_t suspended_entry(uint64_t address, uint32_t tag)
{
	return (uint64_t)tag << 48 | address | SUSPENDED;
}

static void count(struct heap_pointers *set, uint64_t address, int step)
{
	uint8_t *counter = &set->counters[heap_counter_of(address)];
	uint8_t old = __atomic_load_n(counter, __ATOMIC_RELAXED);

	while (old != COUNTER_MAX &&
	       !__atomic_compare_exchange_n(counter, &old, (uint8_t)(old + step), false,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static bool swap(uint64_t *slot, uint64_t from, uint64_t to)
{
	return __atomic_compare_exchange_n(slot, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_RELAXED);
}

enum taken { NOBODY, TAKEN, BUSY };

/* Ends the time of the address's former owner, where there is one: it is suspended, or
 * was freed in a way that we did not see. BUSY: somebody else does. */
static enum taken take_over(struct heap_pointers *set, uint64_t address)
{
	for (unsigned int choice = 0; choice < choices(set); choice++) {
		uint64_t *slots = bucket(set, address, choice);

		for (unsigned int i = 0; i < HEAP_BUCKET_SLOTS; i++) {
			uint64_t entry = __atomic_load_n(&slots[i], __ATOMIC_RELAXED);

			if ((entry & ADDRESS_MASK) != address)
				continue;
			if (entry & ENDING)
				return BUSY;
			return swap(&slots[i], entry, address) ? TAKEN : BUSY;
		}
	}
	return NOBODY;
}

static enum taken take_over_in_time(struct heap_pointers *set, uint64_t address)
{
	enum taken taken = take_over(set, address);

	for (int i = 0; taken == BUSY && i < ENDING_YIELDS; i++) {
		system_yield();
		taken = take_over(set, address);
	}
	return taken;
}

bool heap_pointers_insert(struct heap_pointers *set, const void *pointer, bool *ret_ended)
{
	uint64_t address = (uintptr_t)pointer;
	enum taken taken = NOBODY;

	*ret_ended = false;
	if (!address || (address & ~ADDRESS_MASK))
		return false;
	if (heap_pointers_may_have(set, pointer))
		taken = take_over_in_time(set, address);
	*ret_ended = taken == TAKEN;
	if (taken != NOBODY)
		return taken == TAKEN;
	/* Counted first: once it is in the table, nobody may overlook it. */
	count(set, address, 1);
	for (unsigned int choice = 0; choice < CHOICES; choice++) {
		uint64_t *slots = bucket(set, address, choice);

		if (choice && !__atomic_load_n(&set->far, __ATOMIC_RELAXED))
			__atomic_store_n(&set->far, 1, __ATOMIC_RELEASE);
		for (unsigned int i = 0; i < HEAP_BUCKET_SLOTS; i++)
			if (!__atomic_load_n(&slots[i], __ATOMIC_RELAXED) &&
			    swap(&slots[i], 0, address))
				return true;
	}
	count(set, address, -1);
	return false;
}

/* Puts `entry` in the place of the address; NULL: it is not there. */
static uint64_t *replace(struct heap_pointers *set, const void *pointer, uint64_t entry)
{
	uint64_t address = (uintptr_t)pointer;

	for (unsigned int choice = 0; choice < choices(set) && address; choice++) {
		uint64_t *slots = bucket(set, address, choice);

		for (unsigned int i = 0; i < HEAP_BUCKET_SLOTS; i++)
			if (__atomic_load_n(&slots[i], __ATOMIC_RELAXED) == address &&
			    swap(&slots[i], address, entry))
				return &slots[i];
	}
	return NULL;
}

bool heap_pointers_remove(struct heap_pointers *set, const void *pointer)
{
	if (!replace(set, pointer, 0))
		return false;
	count(set, (uintptr_t)pointer, -1);
	return true;
}

heap_suspended heap_pointers_suspend(struct heap_pointers *set, const void *pointer, uint32_t tag)
{
	return replace(set, pointer, suspended_entry((uintptr_t)pointer, tag & 0xffff));
}

bool heap_pointers_finish(const void *pointer, uint32_t tag, heap_suspended where, bool resume)
{
	uint64_t address = (uintptr_t)pointer;

	return swap(where, suspended_entry(address, tag & 0xffff),
		    resume ? address : address | ENDING);
}

void heap_pointers_end(struct heap_pointers *set, const void *pointer, heap_suspended where)
{
	__atomic_store_n(where, 0, __ATOMIC_RELEASE);
	count(set, (uintptr_t)pointer, -1);
}
