/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdbool.h>

#include "daemon/reorder.h"

#include "tests/unit/suite.h"

struct seen {
	uint64_t times[4096];
	uint32_t tids[4096];
	size_t count;
};

static void see(void *context, const struct abi_header *record)
{
	struct seen *seen = context;

	seen->tids[seen->count] = ((const struct abi_exit *)record)->tid;
	seen->times[seen->count++] = record->time;
}

static void add(struct reorder *reorder, uint64_t time, uint32_t tid)
{
	struct abi_exit record = {.hdr = {.size = sizeof(record), .type = ABI_EXIT, .time = time},
				  .tid = tid};

	ck_assert_int_eq(reorder_add(reorder, &record, sizeof(record)), 0);
}

START_TEST(sorts_by_time_and_keeps_order_of_arrival)
{
	struct reorder reorder = {0};
	struct seen seen = {0};

	add(&reorder, 30, 1);
	add(&reorder, 10, 2);
	add(&reorder, 30, 3);
	add(&reorder, 20, 4);
	reorder_release(&reorder, UINT64_MAX, see, &seen);
	ck_assert_uint_eq(seen.count, 4);
	ck_assert_uint_eq(seen.tids[0], 2);
	ck_assert_uint_eq(seen.tids[1], 4);
	ck_assert_uint_eq(seen.tids[2], 1);
	ck_assert_uint_eq(seen.tids[3], 3);
	reorder_deinit(&reorder);
}
END_TEST

START_TEST(holds_back_what_is_young)
{
	struct reorder reorder = {0};
	struct seen seen = {0};

	add(&reorder, 50, 1);
	add(&reorder, 10, 2);
	reorder_release(&reorder, 20, see, &seen);
	ck_assert_uint_eq(seen.count, 1);
	add(&reorder, 40, 3);
	reorder_release(&reorder, 60, see, &seen);
	ck_assert_uint_eq(seen.count, 3);
	ck_assert_uint_eq(seen.tids[1], 3);
	ck_assert_uint_eq(seen.tids[2], 1);
	reorder_deinit(&reorder);
}
END_TEST

/* What a burst took is given back; the rest is there for the next round. */
START_TEST(keeps_some_room_and_no_more)
{
	struct reorder reorder = {0};
	struct seen seen = {0};
	uint64_t large[4096] = {0};
	const uint64_t *words;

	add(&reorder, 10, 1);
	add(&reorder, 30, 2);
	reorder_release(&reorder, 20, see, &seen);
	words = reorder.words.items;
	add(&reorder, 40, 3);
	reorder_release(&reorder, 35, see, &seen);
	ck_assert_ptr_eq(reorder.spare.items, words);
	ck_assert_ptr_ne(reorder.words.items, words);
	*(struct abi_header *)large = (struct abi_header){.size = sizeof(large), .time = 41};
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(reorder_add(&reorder, large, sizeof(large)), 0);
	ck_assert_uint_gt(reorder.words.capacity * sizeof(*words), 100 * sizeof(large) - 1);
	add(&reorder, 42, 4);
	seen.count = 0;
	reorder_release(&reorder, 41, see, &seen);
	ck_assert_uint_eq(seen.count, 101);
	ck_assert_uint_le((reorder.words.capacity + reorder.spare.capacity) * sizeof(*words),
			  2 << 20);
	reorder_release(&reorder, 42, see, &seen);
	ck_assert_uint_eq(seen.tids[101], 4);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(reorder_add(&reorder, large, sizeof(large)), 0);
	reorder_release(&reorder, UINT64_MAX, see, &seen);
	ck_assert_uint_eq(seen.count, 202);
	ck_assert_uint_le((reorder.words.capacity + reorder.spare.capacity) * sizeof(*words),
			  2 << 20);
	reorder_deinit(&reorder);
}
END_TEST

START_TEST(many_rounds_lose_nothing)
{
	struct reorder reorder = {0};
	struct seen seen = {0};
	uint64_t random = 88172645463325252ULL, last = 0;

	for (uint32_t round = 0; round < 40; round++) {
		for (uint32_t i = 0; i < 100; i++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			/* Up to two rounds late, never older than what was let go. */
			add(&reorder, (uint64_t)round * 1000 + 1000 + random % 2000, i);
		}
		reorder_release(&reorder, (uint64_t)round * 1000 + 1000, see, &seen);
	}
	reorder_release(&reorder, UINT64_MAX, see, &seen);
	ck_assert_uint_eq(seen.count, 4000);
	for (size_t i = 0; i < seen.count; i++) {
		ck_assert_uint_ge(seen.times[i], last);
		last = seen.times[i];
	}
	reorder_deinit(&reorder);
}
END_TEST

START_TEST(refuses_a_size_that_does_not_fit)
{
	struct reorder reorder = {0};
	struct abi_exit record = {.hdr = {.size = 64, .type = ABI_EXIT}};

	ck_assert_int_eq(reorder_add(&reorder, &record, sizeof(record)), -EINVAL);
	ck_assert_int_eq(reorder_add(&reorder, &record, 4), -EINVAL);
	reorder_deinit(&reorder);
}
END_TEST

/* Rings one after another, each in order but for some records that an interrupt wrote
 * meanwhile, and rounds of which a part is held back. */
START_TEST(many_rings)
{
	struct reorder reorder = {0};
	struct seen seen = {0};
	uint32_t random = 1, tid = 0;
	uint64_t last[7] = {0}, end = 0;

	for (int round = 0; round < 20; round++) {
		for (int ring = 0; ring < 7; ring++) {
			for (int i = 0; i < 25; i++) {
				random = random * 1664525u + 1013904223u;
				last[ring] += (random >> 20) % 64;
				/* Few, and no older than what was let go. */
				add(&reorder,
				    (random >> 10) % 40 || last[ring] <= end + 100
					    ? last[ring]
					    : last[ring] - 50,
				    tid++);
			}
		}
		end = last[0];
		for (int ring = 1; ring < 7; ring++)
			end = last[ring] < end ? last[ring] : end;
		end = end > 200 ? end - 200 : 0;
		for (int ring = 0; ring < 7; ring++)
			last[ring] = last[ring] < end + 100 ? end + 100 : last[ring];
		reorder_release(&reorder, end, see, &seen);
	}
	reorder_release(&reorder, UINT64_MAX, see, &seen);
	ck_assert_uint_eq(seen.count, tid);
	for (size_t i = 1; i < seen.count; i++) {
		bool in_order =
			seen.times[i - 1] < seen.times[i] ||
			(seen.times[i - 1] == seen.times[i] && seen.tids[i - 1] < seen.tids[i]);

		if (!in_order)
			ck_abort_msg("record %zu is out of order", i);
	}
	reorder_deinit(&reorder);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("reorder");

	SUITE_CASE(suite, "order", sorts_by_time_and_keeps_order_of_arrival,
		   holds_back_what_is_young, keeps_some_room_and_no_more, many_rounds_lose_nothing,
		   refuses_a_size_that_does_not_fit, many_rings);
	return suite_main(suite);
}
