/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The cache of tables in its own thread: what was asked for is answered once and
 * from dispatch only, what is to be kept is there after a restart, and an end is
 * an end at any moment.
 */
#include <check.h>
#include <errno.h>
#include <poll.h>

#include "daemon/base/clock.h"
#include "daemon/table_cache.h"
#include "tests/unit/suite.h"
#include "tests/unit/table_fixture.h"

#define LIMIT (16u << 20)
#define PATIENCE_NS (20 * NSEC_PER_SEC)

struct answers {
	unsigned count, found;
	uint32_t tag, rows;
	int error;
	char text[64];
};

static void on_answer(void *context, uint32_t tag, const struct table_record *record)
{
	struct answers *answers = context;

	answers->count++;
	answers->found += record != NULL;
	answers->tag = tag;
	answers->rows = record ? record->table.row_count : 0;
	answers->error = record ? record->error : 0;
	snprintf(answers->text, sizeof(answers->text), "%.60s", record ? record->text : "");
}

static struct table_cache *create(const char *program)
{
	struct table_cache *cache = NULL;
	struct error error = {0};

	ck_assert_msg(!table_cache_create(table_folder, LIMIT, program, &error, &cache), "%s",
		      error.text);
	return cache;
}

static struct file_identity file(uint64_t number)
{
	return table_key(number).file;
}

static void keep(struct table_cache *cache, uint64_t number, uint32_t rows)
{
	struct strbuf bytes = table_bytes(rows);
	struct file_identity identity = file(number);
	struct table_record record = {0};

	table_cache_keep(cache, &identity, &record, bytes.data, bytes.length);
	strbuf_deinit(&bytes);
}

static void wait_for(struct table_cache *cache, const struct answers *answers, unsigned count)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS;

	while (answers->count < count) {
		struct pollfd ready = {.fd = table_cache_fd(cache), .events = POLLIN};

		ck_assert(clock_boot_ns() < until);
		poll(&ready, 1, 250);
		table_cache_dispatch(cache);
	}
	ck_assert_uint_eq(answers->count, count);
}

static struct answers ask(struct table_cache *cache, uint64_t number)
{
	struct file_identity identity = file(number);
	struct answers answers = {0};

	ck_assert_int_eq(table_cache_ask(cache, &identity, (uint32_t)number, on_answer, &answers),
			 0);
	ck_assert_uint_eq(answers.count, 0); /* never inside the call */
	wait_for(cache, &answers, 1);
	ck_assert_uint_eq(answers.tag, number);
	return answers;
}

/* Until what was handed in is on disk. */
static struct table_cache_stats wait_stored(struct table_cache *cache, uint64_t count)
{
	uint64_t until = clock_boot_ns() + PATIENCE_NS;
	struct table_cache_stats stats;

	do {
		ck_assert(clock_boot_ns() < until);
		usleep(1000);
		table_cache_dispatch(cache);
		table_cache_get_stats(cache, &stats);
	} while (stats.store.stored + stats.store.failed < count);
	return stats;
}

START_TEST(over_a_restart)
{
	struct table_record none = {.error = -EINVAL, .text = "damaged at byte 5"};
	struct table_cache *cache = create("/bin/sh");
	struct file_identity identity = file(3);
	struct table_cache_stats stats;
	struct answers answers;

	ck_assert_uint_eq(ask(cache, 1).found, 0);
	keep(cache, 1, 700);
	keep(cache, 2, 50);
	table_cache_keep(cache, &identity, &none, NULL, 0);
	table_cache_destroy(cache); /* writes what waits */

	cache = create("/bin/sh");
	ck_assert_uint_eq(ask(cache, 1).rows, 700);
	ck_assert_uint_eq(ask(cache, 2).rows, 50);
	answers = ask(cache, 3);
	ck_assert_uint_eq(answers.found, 1);
	ck_assert_int_eq(answers.error, -EINVAL);
	ck_assert_str_eq(answers.text, none.text);
	ck_assert_uint_eq(ask(cache, 4).found, 0);
	table_cache_get_stats(cache, &stats);
	ck_assert_uint_eq(stats.hits, 3);
	ck_assert_uint_eq(stats.misses, 1);
	ck_assert_uint_eq(stats.store.bytes, 3 * 4096);
	table_cache_destroy(cache);
}
END_TEST

START_TEST(another_program_makes_them_anew)
{
	struct table_cache *cache = create("/bin/sh");

	keep(cache, 1, 10);
	table_cache_destroy(cache);
	cache = create("/bin/ls");
	ck_assert_uint_eq(ask(cache, 1).found, 0);
	table_cache_destroy(cache);
	cache = create("/bin/sh");
	ck_assert_uint_eq(ask(cache, 1).found, 1);
	table_cache_destroy(cache);
}
END_TEST

START_TEST(many_at_once)
{
	struct table_cache *cache = create("/bin/sh");
	struct answers answers = {0};
	struct file_identity identity;

	for (uint64_t i = 1; i <= 200; i++)
		keep(cache, i, (uint32_t)i);
	ck_assert_uint_eq(wait_stored(cache, 200).store.stored, 200);
	for (uint64_t i = 1; i <= 400; i++) {
		identity = file(i);
		ck_assert_int_eq(table_cache_ask(cache, &identity, 0, on_answer, &answers), 0);
	}
	wait_for(cache, &answers, 400);
	ck_assert_uint_eq(answers.found, 200);
	table_cache_destroy(cache);
}
END_TEST

/* Nobody is called any more, and nothing leaks (make asan). */
START_TEST(an_end_with_all_hands_full)
{
	struct table_cache *cache = create("/bin/sh");
	struct answers answers = {0};
	struct file_identity identity = file(1);

	keep(cache, 1, 1000);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(table_cache_ask(cache, &identity, 0, on_answer, &answers), 0);
	table_cache_destroy(cache);
	ck_assert_uint_eq(answers.count, 0);
}
END_TEST

/* More than may wait is not kept, and counted; the caller is never kept waiting. */
START_TEST(more_than_may_wait)
{
	struct table_cache *cache = create("/bin/sh");
	struct file_identity identity = file(1);
	struct table_record record = {0};
	char *bytes = calloc(1, TABLE_CACHE_WAITING_MAX + 1ul);
	struct table_cache_stats stats;

	table_cache_keep(cache, &identity, &record, bytes, TABLE_CACHE_WAITING_MAX + 1ul);
	table_cache_get_stats(cache, &stats);
	ck_assert_uint_eq(stats.store.failed, 1);
	ck_assert_uint_eq(ask(cache, 1).found, 0);
	free(bytes);
	table_cache_destroy(cache);
}
END_TEST

START_TEST(a_damaged_file_is_a_miss)
{
	struct table_cache *cache = create("/bin/sh");
	struct table_cache_stats stats;
	char command[256];

	keep(cache, 1, 10);
	wait_stored(cache, 1);
	snprintf(command, sizeof(command), "for f in %s/*.table; do echo torn >$f; done",
		 table_folder);
	ck_assert_int_eq(system(command), 0);
	ck_assert_uint_eq(ask(cache, 1).found, 0);
	table_cache_get_stats(cache, &stats);
	ck_assert_uint_eq(stats.misses, 1);
	ck_assert_uint_eq(stats.store.damaged, 1);
	keep(cache, 1, 20);
	wait_stored(cache, 2);
	ck_assert_uint_eq(ask(cache, 1).rows, 20);
	table_cache_destroy(cache);
}
END_TEST

/* The folder goes away under its feet. */
START_TEST(a_folder_that_vanishes)
{
	struct table_cache *cache = create("/bin/sh");
	char command[256];

	keep(cache, 1, 10);
	wait_stored(cache, 1);
	snprintf(command, sizeof(command), "rm -r %s", table_folder);
	ck_assert_int_eq(system(command), 0);
	keep(cache, 2, 10);
	ck_assert_uint_eq(wait_stored(cache, 2).store.failed, 1);
	ck_assert_uint_eq(ask(cache, 1).found, 0);
	table_cache_destroy(cache);
}
END_TEST

START_TEST(what_cannot_be_used)
{
	struct table_cache *cache = NULL;
	struct error error = {0};

	ck_assert_int_eq(
		table_cache_create(table_folder, LIMIT, "/no/such/program", &error, &cache),
		-ENOENT);
	ck_assert_ptr_nonnull(strstr(error.text, "/no/such/program"));
	ck_assert_int_eq(table_cache_create("/proc/perfd", LIMIT, "/bin/sh", &error, &cache),
			 -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.text, "/proc/perfd"));
	ck_assert_ptr_null(cache);
	table_cache_destroy(NULL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table_cache");
	TCase *tcase = tcase_create("cache");

	tcase_set_timeout(tcase, 60);
	tcase_add_checked_fixture(tcase, table_folder_setup, table_folder_teardown);
	tcase_add_test(tcase, over_a_restart);
	tcase_add_test(tcase, another_program_makes_them_anew);
	tcase_add_test(tcase, many_at_once);
	tcase_add_test(tcase, an_end_with_all_hands_full);
	tcase_add_test(tcase, more_than_may_wait);
	tcase_add_test(tcase, a_damaged_file_is_a_miss);
	tcase_add_test(tcase, a_folder_that_vanishes);
	tcase_add_test(tcase, what_cannot_be_used);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
