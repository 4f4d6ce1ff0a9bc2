/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The memory of the unwind tables: words that the BPF side reads, in chunks of
 * 1 MiB that are made when they are needed, up to a hard limit. The daemon maps
 * a chunk while it writes to it, and no longer: the memory is the kernel's, and
 * need not be counted twice. Ranges may cross chunks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/unwind.h"
#include "daemon/base/vec.h"

struct table_memory {
	int outer_fd; /* the array of chunks; borrowed */
	uint32_t chunks_max;
	uint32_t chunk_count;
	int chunks[UNWIND_CHUNKS_MAX]; /* descriptors */
	/* Free ranges, sorted, never touching one another. */
	VEC(struct table_range {
		uint32_t start;
		uint32_t count;
	})
	free;
	size_t in_use; /* ranges given out */
	uint64_t used; /* their words */
	/* Chunks that are looked at, mapped for reading; NULL: not mapped. */
	const uint32_t *views[UNWIND_CHUNKS_MAX];
	uint32_t rests; /* calls of table_memory_rest() since one was looked at */
};

/* limit: bytes; at least one chunk. */
void table_memory_init(struct table_memory *memory, int outer_fd, uint64_t limit);
void table_memory_deinit(struct table_memory *memory);
/* Number of the first of `count` words; -ENOSPC at the limit, or -errno. */
int table_memory_alloc(struct table_memory *memory, uint32_t count, uint32_t *ret_start);
/* A range as it was given out. Never fails. */
void table_memory_free(struct table_memory *memory, uint32_t start, uint32_t count);
/* A chunk's words, for reading, until the next table_memory_rest(); NULL if there is no such
 * chunk, or it cannot be mapped. */
const uint32_t *table_memory_view(struct table_memory *memory, uint32_t chunk);
/* To be called some times a second: lets go of all, when nobody has looked for some seconds. */
void table_memory_rest(struct table_memory *memory);
/* 0, or -errno when a chunk cannot be mapped. */
int table_memory_write(struct table_memory *memory, uint32_t start, const uint32_t *words,
		       uint32_t count);
