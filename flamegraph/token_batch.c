/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/token_batch.h"

#include "flamegraph/scan.h"

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define HAVE_WIDE
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* Ends by the bits of a block that begins at `at`. Four are written whether there are so
 * many or not: a block has two or three, and how many cannot be foretold. */
INLINE uint32_t *put_ends(uint32_t *to, uint64_t found, size_t at)
{
	uint32_t *end = to + __builtin_popcountll(found);

	do {
		for (unsigned i = 0; i < 4; i++) {
			to[i] = (uint32_t)at + (uint32_t)__builtin_ctzll(found | 1ULL << 63);
			found &= found - 1;
		}
		to += 4;
	} while (to < end);
	return end;
}

typedef uint64_t scan_way(const char *block, char c);
typedef uint32_t hash_way(const char *bytes, size_t n);
typedef unsigned match_way(const struct token_bucket *bucket, uint32_t hash);
typedef bool equal_way(const char *a, const char *b, size_t n);

INLINE size_t find_ends(const char *text, size_t begin, size_t n, char c, uint32_t *ends,
			scan_way *scan)
{
	_Static_assert(TOKEN_PAD >= SCAN_BLOCK, "the last block ends behind the text");
	_Static_assert(TOKEN_ENDS_SLACK >= SCAN_BLOCK + 4, "put_ends() writes some in vain");
	uint32_t *to = ends;

	for (size_t at = begin; at < n; at += SCAN_BLOCK) {
		uint64_t found = scan(text + at, c);

		if (n - at < SCAN_BLOCK)
			found &= (1ULL << (n - at)) - 1;
		to = put_ends(to, found, at);
	}
	*to++ = (uint32_t)n;
	return (size_t)(to - ends);
}

/* Tokens of the parts, hashed; the buckets where they may be come nearer. */
INLINE void hash_all(const struct token_cache *all, const char *text, size_t begin,
		     const uint32_t *ends, size_t count, struct token *tokens, hash_way *hash)
{
	const struct token_cache here = *all, *cache = &here;

	for (size_t i = 0; i < count; i++) {
		uint32_t length = ends[i] - (uint32_t)begin;
		struct token token = {text + begin, length, hash(text + begin, length)};

		tokens[i] = token;
		begin = (size_t)ends[i] + 1;
		if (cache->buckets)
			__builtin_prefetch(&cache->buckets[token_home(token.hash, cache->bits)]);
	}
}

INLINE size_t find_lines(const struct token_cache *all, const char *text, size_t n, size_t room,
			 struct token *tokens, uint32_t *starts, size_t *ret_passed, scan_way *scan,
			 hash_way *hash)
{
	const struct token_cache here = *all, *cache = &here;
	size_t begin = 0, count = 0;

	while (count < room && begin < n && text[begin] == '\t') {
		size_t at = begin + 1, end = at;
		uint64_t newlines = scan(text + at, '\n'), blanks = scan(text + at, ' ');
		uint64_t word = ~blanks & (blanks + 1), behind = word ? blanks & ~(word - 1) : 0;
		struct token token;

		while (!newlines && end + SCAN_BLOCK < n) {
			end += SCAN_BLOCK;
			newlines = scan(text + end, '\n');
		}
		if (!newlines || !behind || text[at] == '\t')
			break;
		end += (size_t)__builtin_ctzll(newlines);
		at += (size_t)__builtin_ctzll(behind);
		if (end >= n || at >= end)
			break;
		token.text = text + at;
		token.length = (uint32_t)(end - at - (text[end - 1] == '\r'));
		token.hash = hash(token.text, token.length);
		if (cache->buckets)
			__builtin_prefetch(&cache->buckets[token_home(token.hash, cache->bits)]);
		starts[count] = (uint32_t)(at - begin);
		tokens[count++] = token;
		begin = end + 1;
	}
	*ret_passed = begin;
	return count;
}

#define KEYS_AHEAD 24
#define KEY_LINE 48

/* Not in its first bucket, or the first with its hash is another. */
static __attribute__((noinline)) uint32_t find_elsewhere(const struct token_cache *cache,
							 const struct token *token)
{
	return token_cache_get(cache, token->hash, token->text, token->length);
}

/* The bucket has come: now the key that is probably the token's. Gives its record. */
INLINE uint32_t find_record(const struct token_cache *cache, const struct token *token,
			    match_way *match)
{
	const struct token_bucket *bucket = &cache->buckets[token_home(token->hash, cache->bits)];
	unsigned matches = match(bucket, token->hash);
	uint32_t record = matches ? bucket->records[__builtin_ctz(matches)] : 0;

	__builtin_prefetch(cache->bytes.items + record);
	__builtin_prefetch(cache->bytes.items + record + KEY_LINE);
	return record;
}

INLINE uint32_t find_id(const struct token_cache *cache, const struct token *token, uint32_t found,
			equal_way *equal)
{
	struct token_record record;

	if (found) {
		const char *at = cache->bytes.items + found - 1;

		memcpy(&record, at, sizeof(record));
		if (record.length == token->length &&
		    equal(at + sizeof(record), token->text, token->length))
			return record.id;
	}
	return find_elsewhere(cache, token);
}

/* Until a token's turn its place in `ids` has its record. */
INLINE size_t find_all(const struct token_cache *all, const struct token *tokens, size_t count,
		       uint32_t *ids, match_way *match, equal_way *equal)
{
	const struct token_cache here = *all, *cache = &here; /* not to be read again and again */
	size_t ahead = count < KEYS_AHEAD ? count : KEYS_AHEAD, missing = 0;

	if (!cache->buckets) {
		memset(ids, 0xff, count * sizeof(*ids));
		return 0;
	}
	for (size_t i = 0; i < ahead; i++)
		ids[i] = find_record(cache, &tokens[i], match);
	for (size_t i = 0; i < count; i++) {
		if (i + ahead < count)
			ids[i + ahead] = find_record(cache, &tokens[i + ahead], match);
		ids[i] = find_id(cache, &tokens[i], ids[i], equal);
		missing += ids[i] == TOKEN_NONE;
	}
	return count - missing;
}

static unsigned match_portable(const struct token_bucket *bucket, uint32_t hash)
{
	unsigned matches = 0;

	for (unsigned i = 0; i < TOKEN_BUCKET; i++)
		matches |= (unsigned)(bucket->hashes[i] == hash) << i;
	return matches;
}

static size_t ends_portable(const char *text, size_t begin, size_t n, char c, uint32_t *ends)
{
	return find_ends(text, begin, n, c, ends, scan_block);
}

static void hash_portable(const struct token_cache *cache, const char *text, size_t begin,
			  const uint32_t *ends, size_t count, struct token *tokens)
{
	hash_all(cache, text, begin, ends, count, tokens, token_hash);
}

static size_t lines_portable(const struct token_cache *cache, const char *text, size_t n,
			     size_t room, struct token *tokens, uint32_t *starts,
			     size_t *ret_passed)
{
	return find_lines(cache, text, n, room, tokens, starts, ret_passed, scan_block, token_hash);
}

static size_t find_portable(const struct token_cache *cache, const struct token *tokens,
			    size_t count, uint32_t *ids)
{
	return find_all(cache, tokens, count, ids, match_portable, token_equal);
}

static const struct token_ways portable = {ends_portable, hash_portable, lines_portable,
					   find_portable};

const struct token_ways *token_ways_portable(void)
{
	return &portable;
}

#ifdef HAVE_WIDE
#define WIDE __attribute__((target("avx2,bmi,bmi2,popcnt,aes")))
#define WIDTH 64 /* bytes */

WIDE static inline __m256i load(const void *bytes)
{
	return _mm256_loadu_si256(bytes);
}

WIDE static inline uint64_t equal_bits(const char *a, const char *b)
{
	__m256i low = _mm256_cmpeq_epi8(load(a), load(b));
	__m256i high = _mm256_cmpeq_epi8(load(a + 32), load(b + 32));

	return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high)
							     << 32;
}

WIDE static inline uint64_t scan_wide(const char *block, char c)
{
	__m256i all = _mm256_set1_epi8(c);
	__m256i low = _mm256_cmpeq_epi8(load(block), all);
	__m256i high = _mm256_cmpeq_epi8(load(block + 32), all);

	return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high)
							     << 32;
}

/* Free ones have a hash of 0 and a record of 0: no record, whoever asks. */
WIDE static inline unsigned match_wide(const struct token_bucket *bucket, uint32_t hash)
{
	__m256i equal = _mm256_cmpeq_epi32(load(bucket->hashes), _mm256_set1_epi32((int)hash));

	return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(equal));
}

WIDE static inline bool equal_wide(const char *a, const char *b, size_t n)
{
	uint64_t differ = ~equal_bits(a, b);

	if (n <= WIDTH)
		return !_bzhi_u64(differ, (uint32_t)n);
	return !differ && !memcmp(a + WIDTH, b + WIDTH, n - WIDTH);
}

/* Of 64 bytes into the state: each byte goes through two of AES's rounds at least. */
WIDE static inline __m128i absorb(__m128i state, __m256i low, __m256i high)
{
	__m128i a = _mm_aesenc_si128(_mm_xor_si128(state, _mm256_castsi256_si128(low)),
				     _mm256_extracti128_si256(low, 1));
	__m128i b =
		_mm_aesenc_si128(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));

	return _mm_aesenc_si128(_mm_aesenc_si128(b, a), state);
}

WIDE static inline uint32_t hash_wide(const char *bytes, size_t n)
{
	/* From 64 - n on: n times 0xff, then zeros. */
	static const uint64_t window[16] = {-1ULL, -1ULL, -1ULL, -1ULL, -1ULL, -1ULL, -1ULL, -1ULL};
	__m128i state = _mm_set_epi64x((long long)TOKEN_MIX_1, (long long)(TOKEN_MIX_2 ^ n));
	const char *mask;

	for (; n > WIDTH; n -= WIDTH, bytes += WIDTH)
		state = absorb(state, load(bytes), load(bytes + 32));
	mask = (const char *)window + WIDTH - n;
	state = absorb(state, _mm256_and_si256(load(bytes), load(mask)),
		       _mm256_and_si256(load(bytes + 32), load(mask + 32)));
	state = _mm_aesenc_si128(state, _mm_set1_epi64x((long long)TOKEN_MIX_3));
	return (uint32_t)_mm_cvtsi128_si32(state);
}

WIDE static size_t ends_wide(const char *text, size_t begin, size_t n, char c, uint32_t *ends)
{
	return find_ends(text, begin, n, c, ends, scan_wide);
}

WIDE static void hash_all_wide(const struct token_cache *cache, const char *text, size_t begin,
			       const uint32_t *ends, size_t count, struct token *tokens)
{
	hash_all(cache, text, begin, ends, count, tokens, hash_wide);
}

WIDE static size_t lines_wide(const struct token_cache *cache, const char *text, size_t n,
			      size_t room, struct token *tokens, uint32_t *starts,
			      size_t *ret_passed)
{
	return find_lines(cache, text, n, room, tokens, starts, ret_passed, scan_wide, hash_wide);
}

WIDE static size_t find_all_wide(const struct token_cache *cache, const struct token *tokens,
				 size_t count, uint32_t *ids)
{
	return find_all(cache, tokens, count, ids, match_wide, equal_wide);
}

static const struct token_ways wide = {ends_wide, hash_all_wide, lines_wide, find_all_wide};

const struct token_ways *token_ways(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
			       __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt") &&
			       __builtin_cpu_supports("aes")
		       ? &wide
		       : &portable;
}
#else
const struct token_ways *token_ways(void)
{
	return &portable;
}
#endif
