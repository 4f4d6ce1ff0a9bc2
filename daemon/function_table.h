/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Functions that are known already, by file: what the symbolizer said of one place in such a
 * function it would say of all others, its name or that it has none. Programs as distributions
 * ship them are like that, without lines and inlined functions, and a compiler runs through
 * thousands of places in each second: they are asked for once a function, not once a place.
 *
 * It outlives the stacks and frames that it was learned by; whoever lets go of an image, or has
 * its names asked for anew, has its functions forgotten. Bounded: beyond FUNCTION_TABLE_MAX all are
 * forgotten, to be learned anew.
 *
 * Zero-initialised is empty.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"

#define FUNCTION_TABLE_MAX 32768u

struct known_function {
	uint64_t start; /* offset in the image's file */
	uint32_t size; /* bytes; 0: forgotten */
	uint32_t image;
	uint64_t name; /* the owner's number for it, plus 1; 0: it has none */
	uint32_t next; /* met in the same page of the file; UINT32_MAX: the last */
};

struct function_table {
	VEC(struct known_function) items;
	struct hashmap pages; /* (image, page of its file) -> index */
	uint64_t hits; /* places that were not asked for */
	uint64_t resets; /* times that it was full */
};

void function_table_deinit(struct function_table *table);
/* `offset` is a place in it (nothing happens if it is not): it is found at places of that page from
 * then on. Without memory it is not learned. */
void function_table_add(struct function_table *table, const struct known_function *function,
			uint64_t offset);
/* The function that covers the place; NULL: not known. Good until the next addition. */
const struct known_function *function_table_find(struct function_table *table, uint32_t image,
						 uint64_t offset);
/* Nothing is known of the image any more. */
void function_table_forget(struct function_table *table, uint32_t image);
