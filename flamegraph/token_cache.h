/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a reader has already made of a piece of text: bytes -> id. A profile of
 * millions of lines has thousands of different names; each is looked at once.
 *
 * It is a cache: above TOKEN_CACHE_MAX bytes of keys it forgets all and begins anew.
 * Zero-initialised is empty and ready.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/vec.h"

#define TOKEN_CACHE_MAX (64U << 20)
#define TOKEN_NONE UINT32_MAX

struct token_slot {
	uint64_t hash; /* 0: free */
	uint32_t offset, length; /* of the key, in `bytes` */
	uint32_t id;
};

struct token_cache {
	struct token_slot *slots;
	size_t capacity; /* 0 or a power of two */
	size_t count;
	VEC(char) bytes;
};

void token_cache_deinit(struct token_cache *cache);
/* To be asked once and handed to both functions below; never 0. */
uint64_t token_hash(const char *bytes, size_t n);
/* TOKEN_NONE: not known. */
uint32_t token_cache_get(const struct token_cache *cache, uint64_t hash, const char *bytes,
			 size_t n);
/* Of bytes that are not there. 0 or -ENOMEM (the cache is unchanged then). */
int token_cache_put(struct token_cache *cache, uint64_t hash, const char *bytes, size_t n,
		    uint32_t id);
