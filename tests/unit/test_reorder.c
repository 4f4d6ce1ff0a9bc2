/* SPDX-License-Identifier: GPL-2.0-or-later */
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

int main(void)
{
	Suite *suite = suite_create("reorder");

	SUITE_CASE(suite, "order", sorts_by_time_and_keeps_order_of_arrival,
		   holds_back_what_is_young, many_rounds_lose_nothing,
		   refuses_a_size_that_does_not_fit);
	return suite_main(suite);
}
