/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The memory of unwind tables: ranges are given out and put back, up to the
 * limit, and what is written is found in the chunks. Memory files stand for the
 * BPF maps (the functions below come before libbpf's), so no root is needed.
 */
#include <check.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "daemon/table_memory.h"
#include "tests/unit/suite.h"

#define CHUNK_BYTES (UNWIND_CHUNK_WORDS * sizeof(uint32_t))
#define OUTER 77

static int maps_made;
static bool no_more_maps;

int bpf_map_create(enum bpf_map_type type, const char *name, __u32 key_size, __u32 value_size,
		   __u32 max_entries, const struct bpf_map_create_opts *opts)
{
	int fd = no_more_maps ? -1 : memfd_create(name, MFD_CLOEXEC);

	ck_assert_int_eq(type, BPF_MAP_TYPE_ARRAY);
	ck_assert_uint_eq(key_size, sizeof(uint32_t));
	ck_assert_uint_eq(max_entries, 1);
	ck_assert(opts->map_flags & BPF_F_MMAPABLE);
	if (fd < 0) {
		errno = EPERM;
		return -1;
	}
	ck_assert_int_eq(ftruncate(fd, value_size), 0);
	maps_made++;
	return fd;
}

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	ck_assert_int_eq(fd, OUTER);
	ck_assert_int_eq(*(const int *)key, maps_made - 1);
	ck_assert_int_ge(*(const int *)value, 0);
	ck_assert_uint_eq(flags, BPF_ANY);
	return 0;
}

static struct table_memory memory;

static void setup(void)
{
	maps_made = 0;
	no_more_maps = false;
	table_memory_init(&memory, OUTER, 4 * CHUNK_BYTES);
}

static void teardown(void)
{
	table_memory_deinit(&memory);
}

static uint32_t alloc(uint32_t count)
{
	uint32_t start = UINT32_MAX;

	ck_assert_int_eq(table_memory_alloc(&memory, count, &start), 0);
	ck_assert_uint_le((uint64_t)start + count, 4ULL * UNWIND_CHUNK_WORDS);
	return start;
}

/* Free ranges are sorted, none is empty, and no two touch. */
static uint64_t check_free(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < memory.free.count; i++) {
		ck_assert_uint_gt(memory.free.items[i].count, 0);
		if (i)
			ck_assert_uint_gt(memory.free.items[i].start,
					  memory.free.items[i - 1].start +
						  memory.free.items[i - 1].count);
		sum += memory.free.items[i].count;
	}
	ck_assert_uint_eq(sum + memory.used, (uint64_t)memory.chunk_count * UNWIND_CHUNK_WORDS);
	return sum;
}

START_TEST(chunks_are_made_when_they_are_needed)
{
	ck_assert_int_eq(maps_made, 0);
	alloc(10);
	alloc(UNWIND_CHUNK_WORDS - 10);
	ck_assert_int_eq(maps_made, 1);
	ck_assert_uint_eq(check_free(), 0);
	alloc(UNWIND_CHUNK_WORDS + 1); /* over two of them */
	ck_assert_int_eq(maps_made, 3);
	ck_assert_uint_eq(memory.used, 2ULL * UNWIND_CHUNK_WORDS + 1);
}
END_TEST

START_TEST(the_limit_is_hard)
{
	uint32_t start = 5;
	uint32_t all = alloc(4 * UNWIND_CHUNK_WORDS);

	ck_assert_int_eq(table_memory_alloc(&memory, 1, &start), -ENOSPC);
	ck_assert_uint_eq(start, 5);
	table_memory_free(&memory, all, 4 * UNWIND_CHUNK_WORDS);
	ck_assert_int_eq(table_memory_alloc(&memory, 4 * UNWIND_CHUNK_WORDS + 1, &start), -ENOSPC);
	ck_assert_int_eq(table_memory_alloc(&memory, 0, &start), -ENOSPC);
	ck_assert_uint_eq(alloc(4 * UNWIND_CHUNK_WORDS), 0);
	ck_assert_int_eq(maps_made, 4);
}
END_TEST

START_TEST(a_limit_below_one_chunk_is_one_chunk)
{
	uint32_t start;

	table_memory_init(&memory, OUTER, 1);
	alloc(UNWIND_CHUNK_WORDS);
	ck_assert_int_eq(table_memory_alloc(&memory, 1, &start), -ENOSPC);
}
END_TEST

/* The kernel gives no map: said as it is, and what is there goes on. */
START_TEST(no_map_to_be_had)
{
	uint32_t first = alloc(UNWIND_CHUNK_WORDS), start;

	no_more_maps = true;
	ck_assert_int_eq(table_memory_alloc(&memory, 1, &start), -EPERM);
	table_memory_free(&memory, first, UNWIND_CHUNK_WORDS);
	ck_assert_uint_eq(alloc(100), 0);
}
END_TEST

START_TEST(holes_are_filled_and_join)
{
	uint32_t a = alloc(100), b = alloc(50), c = alloc(100), d = alloc(10);

	table_memory_free(&memory, a, 100);
	table_memory_free(&memory, c, 100);
	ck_assert_uint_eq(memory.free.count, 3);
	ck_assert_uint_eq(alloc(60), a);
	table_memory_free(&memory, a, 60);
	table_memory_free(&memory, b, 50); /* joins both */
	ck_assert_uint_eq(memory.free.count, 2);
	ck_assert_uint_eq(alloc(250), a);
	table_memory_free(&memory, a, 250);
	table_memory_free(&memory, d, 10);
	ck_assert_uint_eq(memory.free.count, 1);
	check_free();
}
END_TEST

/* Every other range comes back: the list has its room from when they were taken. */
START_TEST(there_is_room_to_put_all_back)
{
	enum { RANGES = 1000 };
	uint32_t starts[RANGES];

	for (int i = 0; i < RANGES; i++)
		starts[i] = alloc(3);
	ck_assert_uint_ge(memory.free.capacity, RANGES / 2 + 1);
	for (int i = 0; i < RANGES; i += 2)
		table_memory_free(&memory, starts[i], 3);
	ck_assert_uint_eq(memory.free.count, RANGES / 2 + 1);
	ck_assert_uint_le(memory.free.count, memory.free.capacity);
	check_free();
}
END_TEST

/* Any order of taking and giving back: ranges never overlap, and giving back
 * needs no memory of its own (the list does not move). */
START_TEST(in_any_order)
{
	enum { RANGES = 200, ROUNDS = 20000 };
	struct table_range ranges[RANGES] = {0};
	uint32_t seed = 1;

	for (int i = 0; i < ROUNDS; i++) {
		struct table_range *range = &ranges[(seed = seed * 1103515245 + 12345) % RANGES];

		if (range->count) {
			const struct table_range *list = memory.free.items;

			table_memory_free(&memory, range->start, range->count);
			ck_assert_ptr_eq(memory.free.items, list);
			range->count = 0;
		} else {
			uint32_t count = 1 + (seed = seed * 1103515245 + 12345) % 9000;

			if (!table_memory_alloc(&memory, count, &range->start))
				range->count = count;
		}
		if (i % 2000)
			continue;
		check_free();
		for (int j = 0; j < RANGES; j++)
			for (int k = 0; k < j; k++)
				ck_assert(!ranges[j].count || !ranges[k].count ||
					  ranges[j].start + ranges[j].count <= ranges[k].start ||
					  ranges[k].start + ranges[k].count <= ranges[j].start);
	}
	for (int j = 0; j < RANGES; j++)
		if (ranges[j].count)
			table_memory_free(&memory, ranges[j].start, ranges[j].count);
	ck_assert_uint_eq(memory.used, 0);
	ck_assert_uint_eq(memory.free.count, 1);
}
END_TEST

START_TEST(words_across_chunks)
{
	enum { COUNT = UNWIND_CHUNK_WORDS + 1000 };
	uint32_t *words = malloc(COUNT * sizeof(*words)), start;

	ck_assert_ptr_nonnull(words);
	for (uint32_t i = 0; i < COUNT; i++)
		words[i] = i * 7 + 1;
	alloc(UNWIND_CHUNK_WORDS - 300);
	start = alloc(COUNT);
	ck_assert_int_eq(table_memory_write(&memory, start, words, COUNT), 0);
	for (uint32_t i = 0; i < COUNT; i++) {
		uint32_t place = start + i, word = 0;
		off_t at = (off_t)((place & (UNWIND_CHUNK_WORDS - 1)) * sizeof(word));

		ck_assert_int_eq(
			pread(memory.chunks[place >> UNWIND_CHUNK_SHIFT], &word, sizeof(word), at),
			sizeof(word));
		ck_assert_uint_eq(word, words[i]);
	}
	free(words);
}
END_TEST

/* Not at once: who looks four times a second shall not map each time. */
START_TEST(views_go_when_nobody_looks)
{
	const uint32_t *view;
	uint32_t start, rests = 0;

	ck_assert_int_eq(table_memory_alloc(&memory, 10, &start), 0);
	view = table_memory_view(&memory, 0);
	ck_assert_ptr_nonnull(view);
	for (int i = 0; i < 100; i++) {
		table_memory_rest(&memory);
		ck_assert_ptr_eq(table_memory_view(&memory, 0), view);
	}
	while (memory.views[0] && rests < 100) {
		table_memory_rest(&memory);
		rests++;
	}
	ck_assert_uint_gt(rests, 4);
	ck_assert_uint_lt(rests, 100);
	ck_assert_ptr_nonnull(table_memory_view(&memory, 0));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table_memory");
	TCase *tcase = tcase_create("ranges");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, chunks_are_made_when_they_are_needed);
	tcase_add_test(tcase, the_limit_is_hard);
	tcase_add_test(tcase, a_limit_below_one_chunk_is_one_chunk);
	tcase_add_test(tcase, no_map_to_be_had);
	tcase_add_test(tcase, holes_are_filled_and_join);
	tcase_add_test(tcase, there_is_room_to_put_all_back);
	tcase_add_test(tcase, in_any_order);
	tcase_add_test(tcase, words_across_chunks);
	tcase_add_test(tcase, views_go_when_nobody_looks);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
