/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The executable mappings of an address space: sorted by start, never
 * overlapping. Shared by reference: a forked child has its parent's set until
 * one of them changes it (then mapping_set_own() copies it first).
 *
 * They lie in leaves of some dozens, which copies of a set share as long as nobody
 * changes them: a change costs one leaf and the list of leaves, and only that leaf
 * is new to the kernel side, however many mappings there are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/unwind.h"
#include "daemon/base/vec.h"

struct mapping {
	uint64_t start; /* process address */
	uint64_t end; /* first address behind */
	uint64_t offset; /* in the file, bytes */
	uint32_t image; /* id in the image table; 0: none */
	bool memory; /* without a file: code that its own process wrote */
};

struct mapping_leaf {
	uint32_t references; /* sets that have it */
	uint32_t number; /* under which the kernel side has it; 0: it has not */
	uint32_t uses; /* published sets that have it */
	uint32_t count; /* at least 1 */
	struct mapping items[UNWIND_LEAF_MAPPINGS];
};

struct mapping_set {
	uint32_t references;
	uint32_t number; /* under which the kernel side knows it; 0: it does not */
	VEC(struct mapping_leaf *) leaves; /* a reference each */
	VEC(uint32_t) nodes; /* of the kernel side's tree, while it is published */
	size_t count; /* mappings */
};

/* One reference, the caller's; NULL without memory. */
struct mapping_set *mapping_set_create(void);
struct mapping_set *mapping_set_ref(struct mapping_set *set);
void mapping_set_unref(struct mapping_set *set);
/* Makes *set the caller's alone. 0 or -ENOMEM (unchanged). */
int mapping_set_own(struct mapping_set **set);
/* A new mapping over whatever was in its place: the parts of older ones that it
 * does not cover stay. The set must be the caller's alone. */
int mapping_set_insert(struct mapping_set *set, const struct mapping *mapping);
/* Puts in only the parts that no mapping covers yet: for news that may be older
 * than what is known. */
int mapping_set_fill(struct mapping_set *set, const struct mapping *mapping);
/* NULL if the address is in none. */
const struct mapping *mapping_set_find(const struct mapping_set *set, uint64_t address);

/* Of what is mapped where; 0: nothing. The set may be NULL. */
uint64_t mapping_set_hash(const struct mapping_set *set);

/* All of them, by address: from a zeroed place on, until NULL. The set may be NULL. */
struct mapping_place {
	size_t leaf;
	uint32_t item;
};
const struct mapping *mapping_set_next(const struct mapping_set *set, struct mapping_place *place);
/* Sets used[image - 1] of each image up to `count` that it names. The set may be NULL. */
void mapping_set_mark(const struct mapping_set *set, bool *used, size_t count);
