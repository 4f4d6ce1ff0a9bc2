/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/mapping_set.h"

#include <string.h>

#include "tests/unit/suite.h"

#define SPACE 4096

static struct mapping map(uint64_t start, uint64_t end, uint64_t offset, uint32_t image)
{
	return (struct mapping){start, end, offset, image, false};
}

/* One assertion for all: each costs a write to Check's pipe. */
static void check_invariants(const struct mapping_set *set)
{
	struct mapping_place place = {0};
	const struct mapping *mapping;
	uint64_t end = 0;
	size_t count = 0;
	bool good = true;

	while ((mapping = mapping_set_next(set, &place))) {
		good &= mapping->start < mapping->end && mapping->start >= end;
		end = mapping->end;
		count++;
	}
	for (size_t i = 0; i < set->leaves.count; i++)
		good &= set->leaves.items[i]->count >= 1 &&
			set->leaves.items[i]->count <= UNWIND_LEAF_MAPPINGS;
	ck_assert(good);
	ck_assert_uint_eq(count, set->count);
}

START_TEST(new_mapping_cuts_the_old_one)
{
	struct mapping_set *set = mapping_set_create();
	struct mapping whole = map(100, 200, 0, 1), middle = map(140, 160, 7, 2);

	ck_assert_int_eq(mapping_set_insert(set, &whole), 0);
	ck_assert_int_eq(mapping_set_insert(set, &middle), 0);
	ck_assert_uint_eq(set->count, 3);
	ck_assert_uint_eq(mapping_set_find(set, 139)->image, 1);
	ck_assert_uint_eq(mapping_set_find(set, 140)->image, 2);
	ck_assert_uint_eq(mapping_set_find(set, 160)->image, 1);
	/* The rest still names the right place in its file. */
	ck_assert_uint_eq(mapping_set_find(set, 160)->offset, 60);
	ck_assert_ptr_null(mapping_set_find(set, 200));
	ck_assert_ptr_null(mapping_set_find(set, 99));
	mapping_set_unref(set);
}
END_TEST

START_TEST(fill_never_covers)
{
	struct mapping_set *set = mapping_set_create();
	struct mapping known = map(120, 140, 5, 2), older = map(100, 200, 0, 1);

	ck_assert_int_eq(mapping_set_insert(set, &known), 0);
	ck_assert_int_eq(mapping_set_fill(set, &older), 0);
	ck_assert_uint_eq(set->count, 3);
	ck_assert_uint_eq(mapping_set_find(set, 130)->image, 2);
	ck_assert_uint_eq(mapping_set_find(set, 119)->image, 1);
	ck_assert_uint_eq(mapping_set_find(set, 140)->offset, 40);
	mapping_set_unref(set);
}
END_TEST

START_TEST(child_keeps_what_it_inherited)
{
	struct mapping_set *parent = mapping_set_create(), *child;
	struct mapping one = map(0x1000, 0x2000, 0, 1), two = map(0x3000, 0x4000, 0, 2);

	mapping_set_insert(parent, &one);
	child = mapping_set_ref(parent);
	ck_assert_int_eq(mapping_set_own(&parent), 0);
	mapping_set_insert(parent, &two);
	ck_assert_ptr_null(mapping_set_find(child, 0x3000));
	ck_assert_ptr_nonnull(mapping_set_find(parent, 0x3000));
	ck_assert_ptr_nonnull(mapping_set_find(child, 0x1000));
	mapping_set_unref(parent);
	mapping_set_unref(child);
}
END_TEST

/* Against a plain array, one entry an address. */
START_TEST(agrees_with_an_array)
{
	static struct {
		uint32_t image;
		uint64_t offset;
	} truth[SPACE];
	struct mapping_set *set = mapping_set_create();
	uint64_t random = 0x9e3779b97f4a7c15ULL;

	memset(truth, 0, sizeof(truth));
	for (uint32_t step = 1; step < 2000; step++) {
		struct mapping m;
		int fill;

		random ^= random << 13;
		random ^= random >> 7;
		random ^= random << 17;
		m.start = random % (SPACE - 64);
		m.end = m.start + 1 + (random >> 20) % 63;
		m.offset = (random >> 32) % 1000;
		m.image = step;
		fill = (random >> 50) % 3 == 0;
		ck_assert_int_eq(fill ? mapping_set_fill(set, &m) : mapping_set_insert(set, &m), 0);
		for (uint64_t a = m.start; a < m.end; a++) {
			if (fill && truth[a].image)
				continue;
			truth[a].image = step;
			truth[a].offset = m.offset + (a - m.start);
		}
		check_invariants(set);
	}
	for (uint64_t a = 0; a < SPACE; a++) {
		const struct mapping *found = mapping_set_find(set, a);

		ck_assert_uint_eq(found ? found->image : 0, truth[a].image);
		if (found)
			ck_assert_uint_eq(found->offset + (a - found->start), truth[a].offset);
	}
	mapping_set_unref(set);
}
END_TEST

/* However many there are, a change touches a leaf or two; the others stay shared. */
START_TEST(a_change_costs_what_changed)
{
	struct mapping_set *set = mapping_set_create(), *before;
	struct mapping m;
	size_t fresh = 0, leaves;

	for (uint64_t i = 0; i < 100000; i++) {
		m = map(i * 0x2000, i * 0x2000 + 0x1000, i, (uint32_t)i + 1);
		ck_assert_int_eq(mapping_set_insert(set, &m), 0);
	}
	ck_assert_uint_eq(set->count, 100000);
	/* In order they are full. */
	ck_assert_uint_eq(set->leaves.count, 100000 / UNWIND_LEAF_MAPPINGS);
	before = mapping_set_ref(set);
	ck_assert_int_eq(mapping_set_own(&set), 0);
	m = map(50000 * 0x2000ULL + 0x1000, 50000 * 0x2000ULL + 0x1800, 7, 7);
	ck_assert_int_eq(mapping_set_insert(set, &m), 0);
	leaves = set->leaves.count;
	for (size_t i = 0; i < leaves; i++)
		fresh += set->leaves.items[i]->references == 1;
	ck_assert_uint_le(fresh, 2);
	ck_assert_uint_eq(before->count, 100000);
	ck_assert_ptr_null(mapping_set_find(before, m.start));
	ck_assert_uint_eq(mapping_set_find(set, m.start)->image, 7);
	/* One over most of them. */
	m = map(0x1800, 99000 * 0x2000ULL, 0, 9);
	ck_assert_int_eq(mapping_set_insert(set, &m), 0);
	ck_assert_uint_eq(set->count, 1 + 1 + 1000);
	check_invariants(set);
	mapping_set_unref(before);
	mapping_set_unref(set);
}
END_TEST

START_TEST(the_hash_is_of_what_is_mapped)
{
	struct mapping_set *set = mapping_set_create();
	struct mapping m = map(0x1000, 0x3000, 0, 1);
	uint64_t one, two;

	ck_assert_uint_eq(mapping_set_hash(NULL), 0);
	ck_assert_uint_eq(mapping_set_hash(set), 0);
	ck_assert_int_eq(mapping_set_insert(set, &m), 0);
	one = mapping_set_hash(set);
	ck_assert_int_eq(mapping_set_insert(set, &m), 0);
	ck_assert_uint_eq(mapping_set_hash(set), one);
	m = map(0x4000, 0x5000, 0, 1);
	ck_assert_int_eq(mapping_set_insert(set, &m), 0);
	two = mapping_set_hash(set);
	ck_assert_uint_ne(two, one);
	m.image = 2;
	ck_assert_int_eq(mapping_set_insert(set, &m), 0);
	ck_assert_uint_ne(mapping_set_hash(set), two);
	mapping_set_unref(set);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("mapping_set");

	SUITE_CASE(suite, "set", new_mapping_cuts_the_old_one, fill_never_covers,
		   child_keeps_what_it_inherited, agrees_with_an_array, a_change_costs_what_changed,
		   the_hash_is_of_what_is_mapped);
	return suite_main(suite);
}
