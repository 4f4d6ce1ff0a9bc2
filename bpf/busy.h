/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which firings of the machine's clock become samples. One that does costs its CPU several
 * times what the interrupt alone does (a walk, a record, the daemon's work), and one
 * process on a busy CPU has nearly all of them: there most say what others have said. A
 * process that is hit seldom has each of its firings made a sample, so that what is rare is
 * seen as well as the clock's rate allows; of one that is hit often a sample is one of a
 * block of firings, and stands for the block.
 *
 * Which one of a block it is is drawn when the block begins, and how long a block is follows
 * from firings before it. So each firing has the same chance, 1 / block, whatever comes after
 * it, and a sample's weight times `block` is unbiased: for a process that ends within a block,
 * too. One in each block, that sums of a second are off by a block at most.
 *
 * By process and CPU. Processes that have just begun count together with others of their name that
 * have, until they are BUSY_YOUNG_NS old: each run of a compiler is hit some eight times, but all
 * of them are one busy program. A process that has rested, or whose place another takes, begins
 * anew, with blocks of one; that its last block has no end changes nothing, for nobody asked what
 * was drawn.
 *
 * Sources: D. G. Horvitz, D. J. Thompson, "A Generalization of Sampling Without Replacement
 * From a Finite Universe", 1952; stratified sampling, one unit a stratum.
 */
#pragma once

#include "bpf/abi.h"

#define BUSY_EPOCH_SHIFT 30 /* of nanoseconds: 1.07 s */
/* Firings in an epoch from which on a process has blocks of two, and of the most. */
#define BUSY_SOME 3u
#define BUSY_MANY 7u
#define BUSY_YOUNG_NS 2000000000ULL
#define BUSY_NAME 0x80000000u /* in `who`: no pid is so large */
#define BUSY_PLACES 256u /* a CPU; a power of two */

struct busy {
	__u32 who;
	__u32 epoch;
	__u16 fired; /* in the epoch */
	__u16 before; /* in the one before it */
	__u8 block; /* its length */
	__u8 left; /* firings of it that are still to come */
	__u8 drawn; /* which one of them is the sample: as many are left behind it */
	__u8 pad;
};

struct busy_table {
	struct busy places[BUSY_PLACES];
};

/* Who was hit: a process of that age, of a thread with that name. */
static inline __attribute__((always_inline)) __u32 busy_who(__u32 pid, __u64 age,
							    const char comm[ABI_COMM_MAX])
{
	__u64 hash = 0;

	if (age >= BUSY_YOUNG_NS)
		return pid;
	for (int i = 0; i < ABI_COMM_MAX && comm[i]; i++)
		hash = (hash ^ (__u8)comm[i]) * 0x100000001b3ULL; /* FNV-1a */
	return (__u32)(hash >> 16) | BUSY_NAME;
}

static inline __attribute__((always_inline)) __u32 busy_place(__u32 who)
{
	return (who ^ who >> 8) & (BUSY_PLACES - 1);
}

/* What this firing stands for: so many, or 0: it is no sample. `most`: the longest block, 255 at
 * most; `random`: of 32 bits. */
static inline __attribute__((always_inline)) __u32 busy_share(struct busy *busy, __u32 who,
							      __u64 now, __u32 most, __u32 random)
{
	__u32 epoch = (__u32)(now >> BUSY_EPOCH_SHIFT), hits;

	if (busy->who != who || epoch - busy->epoch > 1) {
		*busy = (struct busy){.who = who, .epoch = epoch};
	} else if (busy->epoch != epoch) {
		busy->before = busy->fired;
		busy->fired = 0;
		busy->epoch = epoch;
	}
	if (!busy->left) {
		hits = busy->fired > busy->before ? busy->fired : busy->before;
		busy->block = (__u8)(hits < BUSY_SOME               ? 1
				     : hits < BUSY_MANY && most > 2 ? 2
								    : most);
		busy->left = busy->block;
		busy->drawn = (__u8)(random % busy->block);
	}
	if (busy->fired < 0xffff)
		busy->fired++;
	busy->left--;
	return busy->left == busy->drawn ? busy->block : 0;
}
