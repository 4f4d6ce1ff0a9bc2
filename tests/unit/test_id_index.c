/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/id_index.h"
#include "flamegraph/scan.h"
#include "tests/unit/suite.h"

#define MANY 5000

/* How many ids a hash has; each of them is counted in `seen`. */
static unsigned count(const struct id_index *index, uint32_t hash, unsigned *seen)
{
	size_t at = id_index_begin(index, hash);
	unsigned found = 0;
	uint32_t id;

	while ((id = id_index_next(index, hash, &at)) != ID_INDEX_NONE) {
		ck_assert_uint_lt(id, MANY);
		seen[id]++;
		found++;
	}
	return found;
}

START_TEST(nothing_is_found_in_an_empty_one)
{
	struct id_index index = {0};
	unsigned seen[MANY] = {0};

	ck_assert_uint_eq(count(&index, 0, seen), 0);
	ck_assert_uint_eq(count(&index, UINT32_MAX, seen), 0);
	id_index_deinit(&index);
}
END_TEST

/* Hashes at both ends, so that runs go on at the beginning; and two ids a hash. */
START_TEST(all_ids_of_a_hash_are_found)
{
	struct id_index index = {0};
	unsigned seen[MANY] = {0};

	for (uint32_t i = 0; i < MANY; i++) {
		uint32_t hash = i / 2 % 2 ? UINT32_MAX - i / 2 : i / 2 * 0x9e3779b9U;

		ck_assert_int_eq(id_index_put(&index, hash, i), 0);
	}
	ck_assert_uint_eq(index.count, MANY);
	for (uint32_t i = 0; i < MANY; i += 2) {
		uint32_t hash = i / 2 % 2 ? UINT32_MAX - i / 2 : i / 2 * 0x9e3779b9U;

		ck_assert_uint_eq(count(&index, hash, seen), 2);
	}
	for (uint32_t i = 0; i < MANY; i++)
		ck_assert_uint_eq(seen[i], 1);
	ck_assert_uint_eq(count(&index, 12345, seen), 0);
	id_index_deinit(&index);
}
END_TEST

START_TEST(a_block_has_a_bit_a_byte)
{
	char block[SCAN_BLOCK];

	for (unsigned i = 0; i < SCAN_BLOCK; i++)
		block[i] = (char)(i * 37);
	for (unsigned c = 0; c < 256; c++) {
		uint64_t want = 0;

		for (unsigned i = 0; i < SCAN_BLOCK; i++)
			want |= (uint64_t)(block[i] == (char)c) << i;
		ck_assert_uint_eq(scan_block(block, (char)c), want);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("id_index");
	TCase *tc = tcase_create("core");

	tcase_add_test(tc, nothing_is_found_in_an_empty_one);
	tcase_add_test(tc, all_ids_of_a_hash_are_found);
	tcase_add_test(tc, a_block_has_a_bit_a_byte);
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}
