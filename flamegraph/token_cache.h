/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a reader has already made of a piece of text: bytes -> id. A profile of
 * millions of lines has thousands of different names; each is looked at once.
 *
 * It is a cache: above TOKEN_CACHE_MAX bytes of keys it forgets all and begins anew.
 * Zero-initialised is empty and ready. Which hash it is given is the caller's choice, the
 * same for all its keys: token_hash(), or token_batch.h's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "daemon/base/vec.h"

#define TOKEN_CACHE_MAX (64U << 20)
#define TOKEN_NONE UINT32_MAX

#define TOKEN_PAD 64 /* bytes behind a key that may be looked at, whatever they are */

/* A line of the processor's cache, filled from the beginning. What does not fit is in the
 * next bucket; buckets are in the order of the hashes, so that growing needs no key. */
#define TOKEN_BUCKET 8
struct token_bucket {
	uint32_t hashes[TOKEN_BUCKET];
	uint32_t records[TOKEN_BUCKET]; /* their offsets + 1; 0: free */
} __attribute__((aligned(64)));

/* In `bytes`, the key right behind it. */
struct token_record {
	uint32_t length;
	uint32_t id;
};

struct token_cache {
	struct token_bucket *buckets;
	unsigned bits; /* 1 << bits buckets, if there are any */
	size_t count;
	VEC(char) bytes;
};

void token_cache_deinit(struct token_cache *cache);
/* Names are short, and of all lengths: a branch a length would be foretold wrongly half
 * the time. So 8 to 32 bytes are four words that overlap where they must, without a
 * branch, for the hash and for comparing. What has up to 64 bytes has four more; only of
 * what is longer is the middle a loop. */
struct token_words {
	uint64_t at[4];
};

static inline uint64_t token_load(const char *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return word;
}

/* n >= 8 */
static inline struct token_words token_words(const char *bytes, size_t n)
{
	size_t second = n < 16 ? n - 8 : 8, third = n < 16 ? 0 : n - 16;

	return (struct token_words){{token_load(bytes), token_load(bytes + second),
				     token_load(bytes + third), token_load(bytes + n - 8)}};
}

/* n < 8: all of them in one word. */
static inline uint64_t token_short(const char *bytes, size_t n)
{
	uint32_t low, high;

	if (n >= sizeof(low)) {
		memcpy(&low, bytes, sizeof(low));
		memcpy(&high, bytes + n - sizeof(high), sizeof(high));
		return (uint64_t)high << 32 | low;
	}
	return n ? (uint64_t)(uint8_t)bytes[n - 1] << 16 | (uint64_t)(uint8_t)bytes[n / 2] << 8 |
			       (uint8_t)bytes[0]
		 : 0;
}

static inline uint64_t token_fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#define TOKEN_MIX_1 0x9e3779b97f4a7c15ULL /* of splitmix64: odd, with bits at random */
#define TOKEN_MIX_2 0xbf58476d1ce4e5b9ULL
#define TOKEN_MIX_3 0x94d049bb133111ebULL

static inline uint64_t token_hash_wide(const char *bytes, size_t n)
{
	uint64_t state = n * TOKEN_MIX_3;
	struct token_words words;

	if (n < 8)
		return token_fold(token_short(bytes, n) ^ TOKEN_MIX_1, state ^ TOKEN_MIX_2);
	if (n > 32) {
		state += token_fold(token_load(bytes + 16) ^ TOKEN_MIX_1,
				    token_load(bytes + 24) ^ TOKEN_MIX_2);
		state ^= token_fold(token_load(bytes + n - 32) ^ TOKEN_MIX_2,
				    token_load(bytes + n - 24) ^ TOKEN_MIX_3);
		for (size_t at = 32; at + 32 < n; at += 16)
			state = token_fold(token_load(bytes + at) ^ TOKEN_MIX_1 ^ state,
					   token_load(bytes + at + 8) ^ TOKEN_MIX_2);
	}
	words = token_words(bytes, n);
	state += token_fold(words.at[0] ^ TOKEN_MIX_1, words.at[1] ^ TOKEN_MIX_2);
	return token_fold(state ^ words.at[2] ^ TOKEN_MIX_3, words.at[3] ^ TOKEN_MIX_1);
}

/* To be asked once and handed to the functions below. */
static inline uint32_t token_hash(const char *bytes, size_t n)
{
	return (uint32_t)(token_hash_wide(bytes, n) >> 32);
}

static inline size_t token_home(uint32_t hash, unsigned bits)
{
	return (size_t)((uint64_t)hash << bits >> 32);
}

static inline bool token_equal(const char *a, const char *b, size_t n)
{
	struct token_words left, right;
	uint64_t differ = 0;

	if (n < 8)
		return token_short(a, n) == token_short(b, n);
	left = token_words(a, n);
	right = token_words(b, n);
	for (unsigned i = 0; i < 4; i++)
		differ |= left.at[i] ^ right.at[i];
	if (n <= 32 || differ)
		return !differ;
	for (unsigned i = 16; i < 32; i += 8) {
		differ |= token_load(a + i) ^ token_load(b + i);
		differ |= token_load(a + n - 48 + i) ^ token_load(b + n - 48 + i);
	}
	return !differ && (n <= 64 || !memcmp(a + 32, b + 32, n - 64));
}

/* TOKEN_NONE: not known. */
static inline uint32_t token_cache_get(const struct token_cache *cache, uint32_t hash,
				       const char *bytes, size_t n)
{
	size_t mask = ((size_t)1 << cache->bits) - 1;

	if (!cache->buckets)
		return TOKEN_NONE;
	for (size_t i = token_home(hash, cache->bits);; i = (i + 1) & mask) {
		const struct token_bucket *bucket = &cache->buckets[i];

		for (unsigned k = 0; k < TOKEN_BUCKET; k++) {
			const char *at = cache->bytes.items + bucket->records[k] - 1;
			struct token_record record;

			if (!bucket->records[k])
				return TOKEN_NONE;
			if (bucket->hashes[k] != hash)
				continue;
			memcpy(&record, at, sizeof(record));
			if (record.length == n && token_equal(at + sizeof(record), bytes, n))
				return record.id;
		}
	}
}

/* Of bytes that are not there. 0 or -ENOMEM (the cache is unchanged then). */
int token_cache_put(struct token_cache *cache, uint32_t hash, const char *bytes, size_t n,
		    uint32_t id);
