/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The executable mappings of an address space: sorted by start, never
 * overlapping. Shared by reference: a forked child has its parent's set until
 * one of them changes it (then mapping_set_own() copies it first).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/vec.h"

struct mapping {
	uint64_t start; /* process address */
	uint64_t end; /* first address behind */
	uint64_t offset; /* in the file, bytes */
	uint32_t image; /* id in the image table; 0: none */
	bool memory; /* without a file: code that its own process wrote */
};

struct mapping_set {
	uint32_t references;
	uint32_t number; /* under which the kernel side knows it; 0: it does not */
	VEC(struct mapping) items;
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
