/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Tokens of some lines of text, looked up together in a cache (token_cache.h): while one is
 * hashed or compared, what the others will look at comes nearer, so that none of them waits
 * for memory. Hundreds of tokens are a good batch.
 *
 * Where the processor has AVX2 and AES, 64 bytes are hashed or compared at once; it is asked
 * when the program runs. The hashes are not token_hash(): a cache takes one or the other.
 *
 * Behind a token's text TOKEN_PAD bytes can be read, whatever they are.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "flamegraph/token_cache.h"

#define TOKEN_ENDS_SLACK 72 /* more than there is room for: token_ends() */

struct token {
	const char *text;
	uint32_t length;
	uint32_t hash;
};

struct token_ways {
	/* Where the parts of text[begin..n) end that `c` divides: n is the last one's end. `ends`
	 * has room for n - begin + TOKEN_ENDS_SLACK. How many there are, one at least. */
	size_t (*ends)(const char *text, size_t begin, size_t n, char c, uint32_t *ends);
	/* Tokens of these parts, hashed. */
	void (*hash)(const struct token_cache *cache, const char *text, size_t begin,
		     const uint32_t *ends, size_t count, struct token *tokens);
	/* Tokens of lines as a stack is printed: a tab, blanks, an address, a blank, and from this
	 * on the token, without "\n" or "\r\n". Of text[0..n) the lines at the beginning that
	 * are such and whole, `room` at most; `starts` has where in its line each token begins,
	 * *ret_passed the bytes that they take. How many there are. */
	size_t (*lines)(const struct token_cache *cache, const char *text, size_t n, size_t room,
			struct token *tokens, uint32_t *starts, size_t *ret_passed);
	/* Their ids, TOKEN_NONE for those that are not known; how many are. */
	size_t (*find)(const struct token_cache *cache, const struct token *tokens, size_t count,
		       uint32_t *ids);
};

/* Of this processor. */
const struct token_ways *token_ways(void);
/* Of any. */
const struct token_ways *token_ways_portable(void);
