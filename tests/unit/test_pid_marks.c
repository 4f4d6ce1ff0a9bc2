/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Marks of processes: each has a bit of its own, up to the largest number that a process can
 * have. A memory file stands for the BPF map, so no root is needed.
 */
#include "daemon/pid_marks.h"

#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bpf/pid_mark.h"
#include "tests/unit/suite.h"

static struct pid_marks marks;
static int map;
static uint64_t words[PID_MARK_WORDS];

static void setup(void)
{
	map = memfd_create("pid_marks", MFD_CLOEXEC);
	ck_assert_int_ge(map, 0);
	ck_assert_int_eq(ftruncate(map, sizeof(words)), 0);
	ck_assert_int_eq(pid_marks_init(&marks, map), 0);
}

static void teardown(void)
{
	pid_marks_deinit(&marks);
	ck_assert_ptr_null(marks.words);
	close(map);
}

/* As the kernel side sees it. */
static void read_words(void)
{
	ck_assert_int_eq(pread(map, words, sizeof(words), 0), (ssize_t)sizeof(words));
}

static uint32_t count(void)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < PID_MARK_WORDS; i++)
		found += (uint32_t)__builtin_popcountll(words[i]);
	return found;
}

START_TEST(each_has_its_own)
{
	const uint32_t pids[] = {1, 2, 63, 64, 65, 32767, 32768, PID_MARK_PIDS - 1};
	const uint32_t number = sizeof(pids) / sizeof(pids[0]);

	for (uint32_t i = 0; i < number; i++) {
		pid_marks_set(&marks, pids[i]);
		pid_marks_set(&marks, pids[i]); /* a second time changes nothing */
		read_words();
		ck_assert_uint_eq(count(), i + 1);
		ck_assert_uint_ne(words[pid_mark_word(pids[i])] & pid_mark_bit(pids[i]), 0);
	}
	ck_assert_uint_eq(words[0], 1ULL << 1 | 1ULL << 2 | 1ULL << 63);
	ck_assert_uint_eq(words[1], 1ULL << 0 | 1ULL << 1);
	ck_assert_uint_eq(words[PID_MARK_WORDS - 1], 1ULL << 63);
}
END_TEST

/* No kernel gives such a number; and if one did, nothing else would be written to. */
START_TEST(too_large)
{
	pid_marks_set(&marks, UINT32_MAX);
	read_words();
	ck_assert_uint_eq(count(), 1);
}
END_TEST

START_TEST(no_map)
{
	struct pid_marks none = {0};

	ck_assert_int_eq(pid_marks_init(&none, -1), -EBADF);
	ck_assert_ptr_null(none.words);
	pid_marks_set(&none, 1);
	pid_marks_deinit(&none);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pid_marks");
	TCase *tcase = tcase_create("pid_marks");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, each_has_its_own);
	tcase_add_test(tcase, too_large);
	tcase_add_test(tcase, no_map);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
