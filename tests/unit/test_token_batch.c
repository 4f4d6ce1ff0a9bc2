/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flamegraph/token_batch.h"
#include "tests/unit/suite.h"

#define LONGEST 200

/* All tests for each of the ways: this processor's, and any one's. */
static const struct token_ways *ways_of(int i)
{
	return i % 2 ? token_ways_portable() : token_ways();
}

static void check_ends(const struct token_ways *ways, const char *text, size_t begin, size_t n)
{
	uint32_t *ends = calloc(n - begin + TOKEN_ENDS_SLACK, sizeof(*ends));
	size_t count = ways->ends(text, begin, n, ';', ends), at = 0;

	for (size_t i = begin; i <= n; i++) {
		if (i < n && text[i] != ';')
			continue;
		ck_assert_uint_lt(at, count);
		ck_assert_uint_eq(ends[at++], i);
	}
	ck_assert_uint_eq(at, count);
	free(ends);
}

/* Of random text, from rare to nothing but the character; behind it are more of them. */
START_TEST(ends_are_where_the_character_is)
{
	char text[300 + TOKEN_PAD];
	unsigned seed = (unsigned)_i, density = 1 + seed % 30;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (unsigned)rand_r(&seed) % density ? 'x' : ';';
	for (size_t n = 0; n <= 300; n++)
		check_ends(ways_of(_i), text, n ? (size_t)rand_r(&seed) % n : 0, n);
}
END_TEST

static struct token hashed(const struct token_ways *ways, const struct token_cache *cache,
			   const char *text, size_t n)
{
	uint32_t end = (uint32_t)n;
	struct token token;

	ways->hash(cache, text, 0, &end, 1, &token);
	ck_assert_ptr_eq(token.text, text);
	ck_assert_uint_eq(token.length, n);
	return token;
}

/* Whatever its length and whatever is behind it: each byte is looked at, and no other. */
START_TEST(each_byte_counts)
{
	const struct token_ways *ways = ways_of(_i);
	char one[LONGEST + 1 + TOKEN_PAD], other[sizeof(one)];
	struct token_cache cache = {0};
	uint32_t id;

	for (size_t i = 0; i < sizeof(one); i++)
		one[i] = (char)(i * 7 + 1);
	memcpy(other, one, sizeof(one));
	for (uint32_t n = 0; n < LONGEST; n++) {
		struct token token = hashed(ways, &cache, one, n), changed;

		ck_assert_int_eq(token_cache_put(&cache, token.hash, one, n, n), 0);
		other[n] ^= 0x40;
		changed = hashed(ways, &cache, other, n);
		ck_assert_uint_eq(changed.hash, token.hash);
		ck_assert_uint_eq(ways->find(&cache, &changed, 1, &id), 1);
		ck_assert_uint_eq(id, n);
		other[n] ^= 0x40;
		for (uint32_t i = 0; i < n; i++) {
			other[i] ^= 0x40;
			changed = hashed(ways, &cache, other, n);
			ck_assert_uint_ne(changed.hash, token.hash);
			changed.hash = token.hash; /* compared it is all the same */
			ck_assert_uint_eq(ways->find(&cache, &changed, 1, &id), 0);
			ck_assert_uint_eq(id, TOKEN_NONE);
			other[i] ^= 0x40;
		}
	}
	token_cache_deinit(&cache);
}
END_TEST

/* A text of elements, of which every other one is known. */
START_TEST(a_batch_finds_what_is_there)
{
	enum { COUNT = 3000 };
	const struct token_ways *ways = ways_of(_i);
	char *text = calloc(1, COUNT * 40 + TOKEN_PAD);
	uint32_t *ends = calloc(COUNT * 40 + TOKEN_ENDS_SLACK, sizeof(*ends));
	uint32_t *ids = calloc(COUNT, sizeof(*ids));
	struct token *tokens = calloc(COUNT, sizeof(*tokens));
	struct token_cache cache = {0};
	size_t n = 0;

	for (unsigned i = 0; i < COUNT; i++)
		n += (size_t)sprintf(text + n, "%sname_%.*u", i ? ";" : "", (int)(i % 20), i);
	ck_assert_uint_eq(ways->ends(text, 0, n, ';', ends), COUNT);
	ways->hash(&cache, text, 0, ends, COUNT, tokens);
	ck_assert_uint_eq(ways->find(&cache, tokens, COUNT, ids), 0);
	for (uint32_t i = 0; i < COUNT; i += 2) {
		ck_assert_uint_eq(ids[i], TOKEN_NONE);
		ck_assert_int_eq(token_cache_put(&cache, tokens[i].hash, tokens[i].text,
						 tokens[i].length, i),
				 0);
	}
	ck_assert_uint_eq(ways->find(&cache, tokens, COUNT, ids), COUNT / 2);
	for (uint32_t i = 0; i < COUNT; i++)
		ck_assert_uint_eq(ids[i], i % 2 ? TOKEN_NONE : i);
	token_cache_deinit(&cache);
	free(text);
	free(ends);
	free(ids);
	free(tokens);
}
END_TEST

/* More of one hash than a bucket holds, and 0 is a hash as any other. */
START_TEST(many_keys_of_one_hash)
{
	const struct token_ways *ways = ways_of(_i);
	char keys[50][TOKEN_PAD + 8] = {{0}};
	struct token_cache cache = {0};
	uint32_t id;

	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 50; i++) {
			struct token token = {keys[i], 0, i % 2 ? UINT32_MAX : 0};

			token.length = (uint32_t)sprintf(keys[i], "key %u", i);
			ck_assert_uint_eq(ways->find(&cache, &token, 1, &id), round);
			ck_assert_uint_eq(id, round ? i : TOKEN_NONE);
			if (!round)
				ck_assert_int_eq(token_cache_put(&cache, token.hash, token.text,
								 token.length, i),
						 0);
		}
	}
	token_cache_deinit(&cache);
}
END_TEST

/* The length of the line there if it is such as token_ways' lines() takes, and where its
 * token begins and ends; 0: it is not, or not whole. */
static size_t usual_line(const char *text, size_t n, size_t *ret_begin, size_t *ret_end)
{
	const char *newline = memchr(text, '\n', n);
	size_t end = newline ? (size_t)(newline - text) : 0, at = 1;

	if (!newline || text[0] != '\t' || text[1] == '\t')
		return 0;
	while (at < end && text[at] == ' ')
		at++;
	while (at < end && text[at] != ' ')
		at++;
	if (at == end)
		return 0;
	*ret_begin = at;
	*ret_end = text[end - 1] == '\r' ? end - 1 : end;
	return end + 1;
}

/* Lines of all lengths, of which some are odd; the text ends anywhere, and behind it there is
 * more of them. */
START_TEST(lines_are_what_they_are_one_by_one)
{
	static const char *const starts[] = {"\t", "\t  ", "\t\t", "", " ", "\t         "};
	const struct token_ways *ways = ways_of(_i);
	char text[6000 + 400 + TOKEN_PAD];
	struct token_cache cache = {0};
	struct token tokens[20];
	unsigned seed = (unsigned)_i;
	uint32_t begins[20];
	size_t all = 0;

	while (all < 6000) {
		unsigned chance = (unsigned)rand_r(&seed) % 40;

		all += (size_t)sprintf(
			text + all, "%s%x%s%.*s%s", starts[chance < 6 ? chance : 0],
			(unsigned)rand_r(&seed), chance == 7 ? "" : " ",
			rand_r(&seed) % (chance < 30 ? 40 : 200),
			"name+0x12 (/usr/bin/program with a longer and longer name so "
			"that no block of the sixty-four bytes holds all of its line, "
			"nor two of them, nor three of them, and not even four)",
			chance == 9 ? "\r\n" : "\n");
	}
	memset(text + all, '\n', sizeof(text) - all);
	for (size_t at = 0, passed, n, count; at < all; at += passed + 1) {
		size_t begin = 0, end = 0, length, there = 0;

		n = (size_t)rand_r(&seed) % 1500;
		n = n > all - at ? all - at : n;
		count = ways->lines(&cache, text + at, n, 20, tokens, begins, &passed);
		for (size_t i = 0; i < count; i++, there += length) {
			struct token same;

			length = usual_line(text + at + there, n - there, &begin, &end);
			ck_assert_uint_gt(length, 0);
			ck_assert_uint_eq(begins[i], begin);
			same = hashed(ways, &cache, text + at + there + begin, end - begin);
			ck_assert_ptr_eq(tokens[i].text, same.text);
			ck_assert_uint_eq(tokens[i].length, same.length);
			ck_assert_uint_eq(tokens[i].hash, same.hash);
		}
		ck_assert_uint_eq(passed, there);
		if (count < 20 && there < n) /* it stopped where it had to */
			ck_assert_uint_eq(usual_line(text + at + there, n - there, &begin, &end),
					  0);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("token_batch");
	TCase *tc = tcase_create("token_batch");

	tcase_add_loop_test(tc, ends_are_where_the_character_is, 0, 60);
	tcase_add_loop_test(tc, each_byte_counts, 0, 2);
	tcase_add_loop_test(tc, a_batch_finds_what_is_there, 0, 2);
	tcase_add_loop_test(tc, many_keys_of_one_hash, 0, 2);
	tcase_add_loop_test(tc, lines_are_what_they_are_one_by_one, 0, 60);
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}
