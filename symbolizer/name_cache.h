/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The answers that were given for places of one file, as they are to be told
 * again: an open hash table from place to frames of twelve bytes and a flag, whose
 * texts are kept once. For the worker's answers, where a question that was asked
 * before is to cost little more than writing down its answer.
 *
 * Zero-initialised is empty.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"
#include "symbolizer/wire.h"

struct name_cache_frame {
	uint32_t name, file; /* texts */
	uint32_t line;
	bool inlined;
};

struct name_cache_entry {
	uint64_t place;
	uint32_t first; /* of its frames */
	uint32_t frames; /* plus 1; 0: the slot is free */
	uint32_t function; /* plus 1; 0: nothing is known of it */
};

struct name_cache_function { /* as struct symbolizer_name has it */
	uint64_t start;
	uint32_t size;
};

struct name_cache_told { /* of a text: its number in an answer */
	uint32_t answer; /* the cache's count of answers then */
	uint32_t number;
};

struct name_cache {
	struct name_cache_entry *slots;
	size_t capacity; /* 0 or a power of two */
	size_t count;
	VEC(struct name_cache_frame) frames;
	VEC(struct name_cache_function) functions;
	struct strtab texts;
	VEC(struct name_cache_told) told;
	uint32_t answers;
};

void name_cache_deinit(struct name_cache *cache);
/* NULL: it was not asked for yet. Good until the next addition. */
const struct name_cache_entry *name_cache_find(const struct name_cache *cache, uint64_t place);
/* A place that is not there yet, and the function that it is in. -ENOMEM. */
int name_cache_add(struct name_cache *cache, uint64_t place, const struct symbolizer_frame *frames,
		   uint32_t count, const struct name_cache_function *function);
/* To be called before name_cache_tell(), and again when something was added. `anew`: of
 * an answer that has no texts yet. -ENOMEM. */
int name_cache_begin(struct name_cache *cache, bool anew);
/* Puts what is known of a place into an answer. -ENOMEM. */
int name_cache_tell(struct name_cache *cache, const struct name_cache_entry *entry,
		    struct wire_out *out);
/* Bytes held. */
size_t name_cache_memory(const struct name_cache *cache);
