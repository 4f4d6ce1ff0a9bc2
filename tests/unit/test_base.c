/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/error.h"
#include "daemon/base/hashmap.h"
#include "daemon/base/huge.h"
#include "daemon/base/log.h"
#include "daemon/base/radix.h"
#include "daemon/base/reader.h"
#include "daemon/base/strbuf.h"
#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"

/* The same numbers in each run: xorshift64 of a fixed seed. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* --- hashmap --- */

START_TEST(hashmap_empty)
{
	struct hashmap map = {0};
	size_t at = 0;
	uint64_t key, value;

	ck_assert_ptr_null(hashmap_get(&map, 0));
	ck_assert(!hashmap_remove(&map, 0));
	ck_assert(!hashmap_next(&map, &at, &key, &value));
	hashmap_clear(&map);
	hashmap_deinit(&map);
}
END_TEST

START_TEST(hashmap_overwrites)
{
	struct hashmap map = {0};

	ck_assert_int_eq(hashmap_put(&map, 0, 1), 0);
	ck_assert_int_eq(hashmap_put(&map, 0, 2), 0);
	ck_assert_int_eq(hashmap_put(&map, UINT64_MAX, 3), 0);
	ck_assert_uint_eq(map.count, 2);
	ck_assert_uint_eq(*hashmap_get(&map, 0), 2);
	ck_assert_uint_eq(*hashmap_get(&map, UINT64_MAX), 3);
	hashmap_clear(&map);
	ck_assert_uint_eq(map.count, 0);
	ck_assert_ptr_null(hashmap_get(&map, 0));
	hashmap_deinit(&map);
}
END_TEST

/* Against an array that cannot be wrong: 512 keys, so that they meet often, put
 * and removed in no order. Backward-shift deletion must lose none. */
START_TEST(hashmap_against_a_model)
{
	struct hashmap map = {0};
	uint64_t model[512];
	bool in[512] = {false};
	uint64_t seed = 42;
	size_t count = 0;

	for (int i = 0; i < 200000; i++) {
		uint64_t random = next_random(&seed);
		uint64_t key = (random >> 20) % 512, value = random >> 32;

		if (random % 5 < 3) {
			ck_assert_int_eq(hashmap_put(&map, key << 12, value), 0);
			count += !in[key];
			in[key] = true;
			model[key] = value;
		} else {
			ck_assert(hashmap_remove(&map, key << 12) == in[key]);
			count -= in[key];
			in[key] = false;
		}
		ck_assert_uint_eq(map.count, count);
	}
	for (size_t key = 0; key < 512; key++) {
		uint64_t *found = hashmap_get(&map, key << 12);

		ck_assert(!!found == in[key]);
		if (found)
			ck_assert_uint_eq(*found, model[key]);
	}
	hashmap_deinit(&map);
}
END_TEST

START_TEST(hashmap_walk_sees_each_once)
{
	struct hashmap map = {0};
	bool seen[1000] = {false};
	size_t at = 0, count = 0;
	uint64_t key, value;

	for (uint64_t i = 0; i < 1000; i++)
		ck_assert_int_eq(hashmap_put(&map, i, i * 3), 0);
	while (hashmap_next(&map, &at, &key, &value)) {
		ck_assert_uint_lt(key, 1000);
		ck_assert(!seen[key]);
		ck_assert_uint_eq(value, key * 3);
		seen[key] = true;
		count++;
	}
	ck_assert_uint_eq(count, 1000);
	hashmap_deinit(&map);
}
END_TEST

/* --- strtab --- */

START_TEST(strtab_interns)
{
	struct strtab tab = {0};
	uint32_t a, b;

	ck_assert_uint_eq(strtab_count(&tab), 1);
	ck_assert_str_eq(strtab_get(&tab, 0), "");
	a = strtab_add(&tab, "main", 4);
	b = strtab_add(&tab, "mainly", 6);
	ck_assert_uint_ne(a, b);
	ck_assert_uint_ne(a, 0);
	ck_assert_uint_eq(strtab_add(&tab, "mainly", 4), a);
	ck_assert_uint_eq(strtab_add(&tab, "", 0), 0);
	ck_assert_uint_eq(strtab_count(&tab), 3);
	ck_assert_str_eq(strtab_get(&tab, b), "mainly");
	ck_assert_uint_eq(strtab_length(&tab, b), 6);
	ck_assert_str_eq(strtab_get(&tab, 3), "");
	ck_assert_uint_eq(strtab_length(&tab, UINT32_MAX), 0);
	strtab_deinit(&tab);
}
END_TEST

START_TEST(strtab_keeps_foreign_bytes)
{
	struct strtab tab = {0};
	uint32_t a = strtab_add(&tab, "a\0b", 3), b = strtab_add(&tab, "a\0c", 3);

	ck_assert_uint_ne(a, b);
	ck_assert_uint_eq(strtab_length(&tab, a), 3);
	ck_assert_mem_eq(strtab_get(&tab, b), "a\0c", 4);
	strtab_deinit(&tab);
}
END_TEST

START_TEST(strtab_many)
{
	struct strtab tab = {0};
	char text[32];

	for (uint32_t i = 1; i <= 20000; i++) {
		int n = snprintf(text, sizeof(text), "symbol_%u", i);

		ck_assert_uint_eq(strtab_add(&tab, text, (size_t)n), i);
	}
	for (uint32_t i = 1; i <= 20000; i++) {
		int n = snprintf(text, sizeof(text), "symbol_%u", i);

		ck_assert_str_eq(strtab_get(&tab, i), text);
		ck_assert_uint_eq(strtab_add(&tab, text, (size_t)n), i);
	}
	strtab_deinit(&tab);
}
END_TEST

/* --- strbuf and reader --- */

START_TEST(strbuf_text_grows)
{
	struct strbuf buf = {0};

	ck_assert_str_eq(strbuf_text(&buf), "");
	for (int i = 0; i < 1000; i++)
		strbuf_printf(&buf, "%03d;", i);
	ck_assert_uint_eq(buf.length, 4000);
	ck_assert_uint_eq(strlen(strbuf_text(&buf)), 4000);
	ck_assert(!strncmp(buf.data + 4 * 537, "537;", 4));
	strbuf_clear(&buf);
	ck_assert_str_eq(strbuf_text(&buf), "");
	strbuf_put_u64(&buf, 0);
	strbuf_putc(&buf, ' ');
	strbuf_put_u64(&buf, UINT64_MAX);
	ck_assert_str_eq(strbuf_text(&buf), "0 18446744073709551615");
	ck_assert_int_eq(strbuf_error(&buf), 0);
	strbuf_deinit(&buf);
}
END_TEST

START_TEST(strbuf_failure_sticks)
{
	struct strbuf buf = {0};

	strbuf_puts(&buf, "kept");
	strbuf_append(&buf, "x", SIZE_MAX);
	ck_assert_int_eq(strbuf_error(&buf), -ENOMEM);
	strbuf_puts(&buf, "dropped");
	ck_assert_str_eq(strbuf_text(&buf), "kept");
	strbuf_deinit(&buf);
}
END_TEST

START_TEST(reader_gives_back_what_strbuf_wrote)
{
	struct strbuf buf = {0};
	struct reader reader;
	const char *bytes;
	size_t n;

	strbuf_u8(&buf, 0xab);
	strbuf_u16(&buf, 0xabcd);
	strbuf_u32(&buf, 0xabcdef01);
	strbuf_u64(&buf, 0xabcdef0123456789);
	strbuf_bytes(&buf, "hello", 5);
	strbuf_bytes(&buf, "", 0);
	ck_assert_uint_eq(buf.length, 1 + 2 + 4 + 8 + 4 + 5 + 4);
	ck_assert_uint_eq((uint8_t)buf.data[1], 0xcd); /* little-endian */

	reader_init(&reader, buf.data, buf.length);
	ck_assert_uint_eq(reader_u8(&reader), 0xab);
	ck_assert_uint_eq(reader_u16(&reader), 0xabcd);
	ck_assert_uint_eq(reader_u32(&reader), 0xabcdef01);
	ck_assert_uint_eq(reader_u64(&reader), 0xabcdef0123456789);
	bytes = reader_bytes(&reader, 5, &n);
	ck_assert_ptr_nonnull(bytes);
	ck_assert_uint_eq(n, 5);
	ck_assert_mem_eq(bytes, "hello", 5);
	ck_assert_ptr_nonnull(reader_bytes(&reader, 0, &n));
	ck_assert_uint_eq(n, 0);
	ck_assert_uint_eq(reader_left(&reader), 0);
	ck_assert(reader_ok(&reader));
	strbuf_deinit(&buf);
}
END_TEST

START_TEST(reader_stops_at_the_end)
{
	static const uint8_t data[] = {1, 2, 3, 4, 5, 6};
	struct reader reader;

	reader_init(&reader, data, sizeof(data));
	ck_assert_uint_eq(reader_u32(&reader), 0x04030201);
	ck_assert_uint_eq(reader_u32(&reader), 0);
	ck_assert(!reader_ok(&reader));
	ck_assert_uint_eq(reader.bad_at, 4);
	/* It sticks: the two bytes that are there are not given out any more. */
	ck_assert_uint_eq(reader_u8(&reader), 0);
	ck_assert_ptr_null(reader_take(&reader, 0));
	ck_assert_uint_eq(reader_left(&reader), 0);
	ck_assert(!reader_fail(&reader, "later"));
	ck_assert_str_eq(reader.bad, "end of data");
}
END_TEST

START_TEST(reader_bounds_lengths)
{
	static const uint8_t long_one[] = {0xff, 0xff, 0xff, 0xff, 'x'};
	static const uint8_t short_one[] = {2, 0, 0, 0, 'x'};
	struct reader reader;
	size_t n = 77;

	reader_init(&reader, long_one, sizeof(long_one));
	ck_assert_ptr_null(reader_bytes(&reader, 1 << 20, &n));
	ck_assert_str_eq(reader.bad, "length above its limit");
	reader_init(&reader, long_one, sizeof(long_one));
	ck_assert_ptr_null(reader_bytes(&reader, SIZE_MAX, &n));
	ck_assert_str_eq(reader.bad, "end of data");
	reader_init(&reader, short_one, sizeof(short_one));
	ck_assert_ptr_null(reader_bytes(&reader, 2, &n));
	ck_assert_uint_eq(n, 77);
}
END_TEST

/* --- vec, error, clock, cleanup, log --- */

/* From small to several huge pages: what was there stays, and only that need be moved. */
START_TEST(a_huge_vec_keeps_what_it_has)
{
	VEC(uint64_t) vec = {0};
	size_t wrong = 0;

	for (uint64_t i = 0; i < 1000000; i++) {
		wrong += vec_reserve_huge(&vec, i + 1) != 0;
		vec.items[vec.count++] = i * i;
	}
	for (uint64_t i = 0; i < 1000000; i++)
		wrong += vec.items[i] != i * i;
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq((uintptr_t)vec.items % HUGE_PAGE, 0);
	ck_assert_int_eq(vec_reserve_huge(&vec, SIZE_MAX / 4), -ENOMEM);
	ck_assert_uint_eq(vec.items[999999], 999999ULL * 999999);
	vec_free(&vec);
}
END_TEST

START_TEST(huge_areas)
{
	static const size_t sizes[] = {0, 1, 4096, HUGE_PAGE - 1, HUGE_PAGE, HUGE_PAGE * 3 + 5};
	unsigned char *area = NULL;
	size_t used = 0, wrong = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		unsigned char *zero = huge_alloc_zero(sizes[i]);

		for (size_t at = 0; at < sizes[i]; at++)
			wrong += zero[at] != 0;
		free(zero);
		if (!sizes[i])
			continue;
		area = huge_realloc(area, used, sizes[i]);
		ck_assert_ptr_nonnull(area);
		for (size_t at = 0; at < used; at++)
			wrong += area[at] != (unsigned char)(at * 31);
		for (used = 0; used < sizes[i]; used++)
			area[used] = (unsigned char)(used * 31);
	}
	ck_assert_uint_eq(wrong, 0);
	ck_assert_ptr_null(huge_alloc(SIZE_MAX - 5));
	free(area);
}
END_TEST

START_TEST(vec_grows_and_is_freed)
{
	VEC(uint64_t) vec = {0};

	for (uint64_t i = 0; i < 10000; i++)
		ck_assert_int_eq(vec_push(&vec, i * i), 0);
	ck_assert_uint_eq(vec.count, 10000);
	for (uint64_t i = 0; i < 10000; i++)
		ck_assert_uint_eq(vec.items[i], i * i);
	ck_assert_int_eq(vec_reserve(&vec, SIZE_MAX / 4), -ENOMEM);
	ck_assert_uint_eq(vec.count, 10000);
	vec_clear(&vec);
	ck_assert_uint_eq(vec.count, 0);
	vec_free(&vec);
	ck_assert_ptr_null(vec.items);
}
END_TEST

START_TEST(error_texts)
{
	struct error error = {0};
	char filler[600];

	ck_assert_int_eq(error_set(&error, -EINVAL, "bad %s", "thing"), -EINVAL);
	ck_assert_str_eq(error.text, "bad thing");
	ck_assert_int_eq(error_prefix(&error, "%s:%d", "file", 7), -EINVAL);
	ck_assert_str_eq(error.text, "file:7: bad thing");
	ck_assert_int_eq(error_set(NULL, -EIO, "nobody hears"), -EIO);
	ck_assert_int_eq(error_prefix(NULL, "nobody"), 0);

	/* Too long: cut off, and terminated. */
	memset(filler, 'x', sizeof(filler) - 1);
	filler[sizeof(filler) - 1] = '\0';
	error_set(&error, -EIO, "%s", filler);
	ck_assert_uint_eq(strlen(error.text), sizeof(error.text) - 1);
	error_prefix(&error, "who");
	ck_assert_uint_eq(strlen(error.text), sizeof(error.text) - 1);
	ck_assert(!strncmp(error.text, "who: xxx", 8));
	error_prefix(&error, "%s", filler);
	ck_assert_uint_eq(strlen(error.text), sizeof(error.text) - 1);
}
END_TEST

START_TEST(clocks_go_forward)
{
	uint64_t first = clock_boot_ns();

	ck_assert_uint_ge(clock_boot_ns(), first);
	ck_assert_uint_gt(clock_real_ns(), 1600000000 * NSEC_PER_SEC);
}
END_TEST

static void scoped(int fd, int *ret_kept)
{
	_cleanup_close_ int gone = fd;
	_cleanup_close_ int kept = dup(fd);
	_cleanup_free_ char *text = strdup("freed at the end of this scope");
	_cleanup_free_ char *moved = TAKE_PTR(text);

	ck_assert_int_eq(gone, fd);
	ck_assert_ptr_null(text);
	ck_assert_ptr_nonnull(moved);
	*ret_kept = TAKE_FD(kept);
	ck_assert_int_eq(kept, -1);
}

START_TEST(scopes_close_what_was_not_taken)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), kept;

	ck_assert_int_ge(fd, 0);
	scoped(fd, &kept);
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
	ck_assert_int_ne(fcntl(kept, F_GETFD), -1);
	close(kept);
}
END_TEST

START_TEST(log_levels)
{
	enum log_level level;

	ck_assert_int_eq(log_level_parse("warning", &level), 0);
	ck_assert_int_eq(level, LOG_LEVEL_WARNING);
	ck_assert_int_eq(log_level_parse("loud", &level), -EINVAL);
	ck_assert_int_eq(level, LOG_LEVEL_WARNING);
	ck_assert_str_eq(log_level_name(LOG_LEVEL_DEBUG), "debug");
}
END_TEST

/* Runs in a child of its own (Check forks), so stderr may be taken away. */
START_TEST(log_lines)
{
	static const char want[] = "perfd: up\n"
				   "perfd: error: cannot open x: No such file or directory\n"
				   "perfd: warning: another stderr\n"
				   "<4>to the journal\n"
				   "<3>two lines\n"
				   "<6>xxx";
	char text[4096];
	char filler[2000];
	struct stat st;
	int fds[2];
	ssize_t n;

	unsetenv("JOURNAL_STREAM");
	ck_assert_int_eq(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	log_init("perfd", LOG_LEVEL_INFO);
	log_info("up");
	log_debug("not shown");
	ck_assert_int_eq(log_error_errno(-ENOENT, "cannot open %s", "x"), -ENOENT);
	setenv("JOURNAL_STREAM", "8:1", 1);
	log_init("perfd", LOG_LEVEL_INFO);
	log_warning("another stderr");
	ck_assert_int_eq(fstat(fds[1], &st), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", text, 1);
	log_init("perfd", LOG_LEVEL_INFO);
	log_warning("to the journal");
	log_error("two\nlines");
	memset(filler, 'x', sizeof(filler) - 1);
	filler[sizeof(filler) - 1] = '\0';
	log_info("%s", filler);
	n = read(fds[0], text, sizeof(text) - 1);
	ck_assert_int_gt(n, 0);
	text[n] = '\0';
	ck_assert_msg(!strncmp(text, want, strlen(want)), "%.120s", text);
	ck_assert_int_eq(text[n - 1], '\n');
	close(fds[0]);
	close(fds[1]);
}
END_TEST

static int compare_radix(const void *left, const void *right)
{
	const struct radix_item *a = left, *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->id < b->id ? -1 : 1;
}

/* As a sort by key, then by the place that each had before; of keys of all widths. */
START_TEST(radix_sorts_and_keeps_order)
{
	enum { MOST = 5000 };
	struct radix_item *items = calloc(MOST, sizeof(*items)), *spare, *want;
	uint64_t state = 1 + (uint64_t)_i;
	size_t count = _i < 5 ? (size_t)_i : next_random(&state) % (_i % 2 ? MOST : 100);

	spare = calloc(MOST, sizeof(*spare));
	want = calloc(MOST, sizeof(*want));
	for (uint32_t i = 0; i < count; i++)
		items[i] = (struct radix_item){next_random(&state) >> (_i * 3 % 64) << (_i % 9), i,
					       ~i};
	memcpy(want, items, count * sizeof(*items));
	qsort(want, count, sizeof(*want), compare_radix);
	radix_sort(items, spare, count);
	for (size_t i = 0; i < count; i++) {
		ck_assert_uint_eq(items[i].key, want[i].key);
		ck_assert_uint_eq(items[i].id, want[i].id);
		ck_assert_uint_eq(items[i].note, ~items[i].id);
	}
	free(items);
	free(spare);
	free(want);
}
END_TEST

static Suite *base_suite(void)
{
	Suite *suite = suite_create("base");
	TCase *maps = tcase_create("maps"), *bytes = tcase_create("bytes"),
	      *small = tcase_create("small");

	tcase_add_test(maps, hashmap_empty);
	tcase_add_test(maps, hashmap_overwrites);
	tcase_add_test(maps, hashmap_against_a_model);
	tcase_add_test(maps, hashmap_walk_sees_each_once);
	tcase_add_test(maps, strtab_interns);
	tcase_add_test(maps, strtab_keeps_foreign_bytes);
	tcase_add_test(maps, strtab_many);
	suite_add_tcase(suite, maps);
	tcase_add_test(bytes, strbuf_text_grows);
	tcase_add_test(bytes, strbuf_failure_sticks);
	tcase_add_test(bytes, reader_gives_back_what_strbuf_wrote);
	tcase_add_test(bytes, reader_stops_at_the_end);
	tcase_add_test(bytes, reader_bounds_lengths);
	suite_add_tcase(suite, bytes);
	tcase_add_test(small, vec_grows_and_is_freed);
	tcase_add_test(small, a_huge_vec_keeps_what_it_has);
	tcase_add_test(small, huge_areas);
	tcase_add_loop_test(small, radix_sorts_and_keeps_order, 0, 60);
	tcase_add_test(small, error_texts);
	tcase_add_test(small, clocks_go_forward);
	tcase_add_test(small, scopes_close_what_was_not_taken);
	tcase_add_test(small, log_levels);
	tcase_add_test(small, log_lines);
	suite_add_tcase(suite, small);
	return suite;
}

int main(void)
{
	SRunner *runner = srunner_create(base_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
