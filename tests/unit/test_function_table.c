/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Functions that are known: each is found at the places it was learned at and around, in its own
 * file, until it is forgotten.
 */
#include "daemon/function_table.h"

#include "tests/unit/suite.h"

static void learn(struct function_table *table, uint32_t image, uint64_t start, uint32_t size,
		  uint64_t at)
{
	const struct known_function function = {
		.start = start, .size = size, .image = image, .name = start + 1};

	function_table_add(table, &function, at);
}

/* Its beginning; 0: not known. */
static uint64_t find(struct function_table *table, uint32_t image, uint64_t offset)
{
	const struct known_function *known = function_table_find(table, image, offset);

	if (!known)
		return 0;
	ck_assert_uint_eq(known->image, image);
	ck_assert_uint_eq(known->name, known->start + 1);
	return known->start;
}

START_TEST(from_its_beginning_to_its_end)
{
	struct function_table table = {0};

	learn(&table, 1, 0x1010, 0x20, 0x1018);
	learn(&table, 1, 0x1030, 0x10, 0x1030);
	learn(&table, 2, 0x1000, 0x30, 0x1020);
	ck_assert_uint_eq(find(&table, 1, 0x100f), 0);
	ck_assert_uint_eq(find(&table, 1, 0x1010), 0x1010);
	ck_assert_uint_eq(find(&table, 1, 0x102f), 0x1010);
	ck_assert_uint_eq(find(&table, 1, 0x1030), 0x1030);
	ck_assert_uint_eq(find(&table, 1, 0x1040), 0);
	ck_assert_uint_eq(find(&table, 2, 0x1010), 0x1000);
	ck_assert_uint_eq(find(&table, 3, 0x1010), 0);
	ck_assert_uint_eq(table.hits, 4);
	function_table_deinit(&table);
}
END_TEST

/* What a worker that was taken over could say. */
START_TEST(a_place_outside_of_it)
{
	struct function_table table = {0};

	learn(&table, 1, 0x1010, 0x20, 0x1030);
	learn(&table, 1, 0x1010, 0x20, 0x100f);
	learn(&table, 1, UINT64_MAX - 4, UINT32_MAX, 4);
	learn(&table, 1, 0, 0x20, 0x10);
	learn(&table, 1, 0x1010, 0, 0x1010);
	ck_assert_uint_eq(find(&table, 1, 0x1018), 0);
	ck_assert_uint_eq(find(&table, 1, 0x10), 0);
	function_table_deinit(&table);
}
END_TEST

/* A large one is learned once in each page that somebody runs in. */
START_TEST(over_many_pages)
{
	struct function_table table = {0};

	learn(&table, 1, 0x1800, 0x10000, 0x1900);
	ck_assert_uint_eq(find(&table, 1, 0x1fff), 0x1800);
	ck_assert_uint_eq(find(&table, 1, 0x5000), 0);
	learn(&table, 1, 0x1800, 0x10000, 0x5100);
	learn(&table, 1, 0x1800, 0x10000, 0x5200);
	ck_assert_uint_eq(find(&table, 1, 0x5000), 0x1800);
	ck_assert_uint_eq(table.items.count, 2);
	function_table_deinit(&table);
}
END_TEST

START_TEST(an_image_is_forgotten)
{
	struct function_table table = {0};

	for (uint64_t at = 0x1000; at < 0x9000; at += 0x40) {
		learn(&table, 1, at, 0x40, at);
		learn(&table, 2, at, 0x40, at);
	}
	function_table_forget(&table, 1);
	for (uint64_t at = 0x1000; at < 0x9000; at += 0x40) {
		ck_assert_uint_eq(find(&table, 1, at + 1), 0);
		ck_assert_uint_eq(find(&table, 2, at + 1), at);
	}
	learn(&table, 1, 0x1000, 0x50, 0x1001); /* another file has the number */
	ck_assert_uint_eq(find(&table, 1, 0x104f), 0x1000);
	function_table_deinit(&table);
}
END_TEST

START_TEST(it_is_bounded)
{
	struct function_table table = {0};

	for (uint64_t i = 0; i <= FUNCTION_TABLE_MAX; i++) {
		ck_assert_uint_eq(table.resets, 0);
		learn(&table, 1, 0x1000 + i * 16, 16, 0x1000 + i * 16);
	}
	ck_assert_uint_eq(table.resets, 1);
	ck_assert_uint_eq(table.items.count, 1);
	ck_assert_uint_eq(find(&table, 1, 0x1000), 0);
	ck_assert_uint_ne(find(&table, 1, 0x1000 + FUNCTION_TABLE_MAX * 16), 0);
	function_table_deinit(&table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("function_table");

	SUITE_CASE(suite, "functions", from_its_beginning_to_its_end, a_place_outside_of_it,
		   over_many_pages, an_image_is_forgotten, it_is_bounded);
	return suite_main(suite);
}
