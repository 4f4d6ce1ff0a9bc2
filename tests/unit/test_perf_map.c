/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lists of just-in-time compilers: how they are read, by a worker too, and which file
 * is a process's.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/log.h"
#include "symbolizer/perf_map.h"
#include "symbolizer/perf_map_file.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/workshop.h"

static const char *at(const struct perf_map *map, uint64_t address)
{
	const char *name = perf_map_find(map, address);

	return name ? name : "-";
}

static void append(int fd, const char *text)
{
	ck_assert_int_eq(pwrite(fd, text, strlen(text), lseek(fd, 0, SEEK_END)), strlen(text));
}

static void update(struct perf_map *map, int fd)
{
	struct error error = {0};

	ck_assert_msg(!perf_map_update(map, fd, &error), "%s", error.text);
}

START_TEST(lines)
{
	struct perf_map map = {0};
	int fd = workshop_text("", 0);

	append(fd, "1000 10 first\n"
		   "0x1010 0X20 LazyCompile:*second function /a b.js:3\r\n"
		   "none\n\n12 zz x\n2000 10\n2000 10 \n2000 0 empty\n"
		   "fffffffffffffff8 10 wraps\n11112222333344445 1 long\n");
	lseek(fd, 0, SEEK_END);
	ck_assert_int_eq(write(fd, "5000 10 \0x\n6000 10 a\0b\n", 24), 24);
	update(&map, fd);
	ck_assert_str_eq(at(&map, 0x5000), "-");
	ck_assert_str_eq(at(&map, 0x6000), "a");
	ck_assert_str_eq(at(&map, 0xfff), "-");
	ck_assert_str_eq(at(&map, 0x1000), "first");
	ck_assert_str_eq(at(&map, 0x100f), "first");
	ck_assert_str_eq(at(&map, 0x1010), "LazyCompile:*second function /a b.js:3");
	ck_assert_str_eq(at(&map, 0x102f), "LazyCompile:*second function /a b.js:3");
	ck_assert_str_eq(at(&map, 0x1030), "-");
	ck_assert_uint_eq(map.functions.items.count, 3);
	close(fd);
	perf_map_deinit(&map);
}
END_TEST

START_TEST(while_it_is_written)
{
	struct perf_map map = {0};
	int fd = workshop_text("", 0);

	update(&map, fd);
	append(fd, "1000 10 one\n1010 10 tw");
	update(&map, fd);
	ck_assert_str_eq(at(&map, 0x1000), "one");
	ck_assert_str_eq(at(&map, 0x1010), "-"); /* and not "tw" */
	ck_assert_uint_eq(map.offset, 12);
	append(fd, "o\n");
	update(&map, fd);
	ck_assert_str_eq(at(&map, 0x1010), "two");
	ck_assert_str_eq(at(&map, 0x1000), "one");
	/* Written anew. */
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	append(fd, "3000 1 x\n");
	update(&map, fd);
	ck_assert_str_eq(at(&map, 0x3000), "x");
	ck_assert_str_eq(at(&map, 0x1000), "-");
	close(fd);
	perf_map_deinit(&map);
}
END_TEST

/* Held against the plain way to do it: each line takes all its addresses. */
START_TEST(the_later_wins)
{
	enum { PLACES = 200, LINES = 400 };
	char truth[PLACES + 40][16] = {0}, line[64];
	struct perf_map map = {0};
	int fd = workshop_text("", 0);
	unsigned seed = 1;

	for (unsigned i = 0; i < LINES; i++) {
		unsigned start, size;

		seed = seed * 1103515245 + 12345;
		start = seed >> 16 & 0x7f;
		size = (seed >> 24) % 40 + 1;
		snprintf(line, sizeof(line), "%x %x f%u\n", 0x1000 + start, size, i);
		append(fd, line);
		for (unsigned place = start; place < start + size; place++)
			snprintf(truth[place], sizeof(truth[place]), "f%u", i);
		if (i % 7)
			continue;
		update(&map, fd);
		for (unsigned place = 0; place < PLACES; place++)
			ck_assert_str_eq(at(&map, 0x1000 + place),
					 truth[place][0] ? truth[place] : "-");
	}
	/* What is covered is forgotten. */
	ck_assert_uint_le(map.functions.items.count, PLACES);
	close(fd);
	perf_map_deinit(&map);
}
END_TEST

START_TEST(lines_without_end)
{
	size_t size = 3 * (size_t)PERF_MAP_LINE_MAX;
	char *long_line = malloc(size + 1);
	struct perf_map map = {0};
	int fd = workshop_text("", 0);

	ck_assert_ptr_nonnull(long_line);
	memset(long_line, 'x', size);
	memcpy(long_line, "1000 10 ", 8);
	long_line[size] = '\0';
	append(fd, long_line);
	update(&map, fd);
	append(fd, "xx\n2000 10 behind\n");
	update(&map, fd);
	ck_assert_str_eq(at(&map, 0x1000), "-");
	ck_assert_str_eq(at(&map, 0x2000), "behind");
	long_line[PERF_MAP_LINE_MAX / 2] = '\0'; /* short enough for a line, not for a name */
	append(fd, long_line);
	append(fd, "\n");
	update(&map, fd);
	ck_assert_uint_eq(strlen(at(&map, 0x1000)), JIT_NAME_MAX);
	free(long_line);
	close(fd);
	perf_map_deinit(&map);
}
END_TEST

START_TEST(more_than_the_limit)
{
	struct perf_map map = {0};
	char line[64];

	/* All in one place: only the last is left, however many they were. */
	for (unsigned i = 0; i < JIT_FUNCTIONS_MAX + 10; i++) {
		int n = snprintf(line, sizeof(line), "1000 10 f%u\n", i & 7);

		ck_assert_int_eq(perf_map_add(&map, line, (size_t)n), 0);
	}
	ck_assert_int_eq(jit_functions_settle(&map.functions), 0);
	ck_assert_uint_eq(map.functions.forgotten, 0);
	ck_assert_uint_eq(map.functions.items.count, 1);
	ck_assert_str_eq(at(&map, 0x1000), "f1");
	perf_map_deinit(&map);
}
END_TEST

/* All of it distinct: what came first is forgotten, and no wrong name is left. */
START_TEST(more_at_one_time)
{
	struct perf_map map = {0};
	char line[64];
	unsigned last = JIT_FUNCTIONS_MAX + 1000;

	for (unsigned i = 0; i <= last; i++) {
		int n = snprintf(line, sizeof(line), "%x 10 f%u\n", 0x1000 + i * 16, i & 7);

		ck_assert_int_eq(perf_map_add(&map, line, (size_t)n), 0);
	}
	ck_assert_int_eq(jit_functions_settle(&map.functions), 0);
	ck_assert_uint_gt(map.functions.forgotten, 0);
	ck_assert_uint_eq(map.functions.forgotten + map.functions.items.count, last + 1);
	snprintf(line, sizeof(line), "f%u", last & 7);
	ck_assert_str_eq(at(&map, 0x1000 + last * 16), line);
	ck_assert_str_eq(at(&map, 0x1000), "-");
	perf_map_deinit(&map);
}
END_TEST

static const char *ask(struct symbolizer *symbolizer, uint32_t map, int fd, uint64_t address,
		       struct answers *answers)
{
	*answers = (struct answers){0};
	ck_assert_int_eq(
		symbolizer_jit_names(symbolizer, map, dup(fd), &address, 1, on_names, answers), 0);
	wait_for(symbolizer, answers, 1);
	return answers->name;
}

START_TEST(by_a_worker)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers;
	int fds[12];

	for (int i = 0; i < 12; i++) {
		char line[32];

		snprintf(line, sizeof(line), "1000 10 f%d\n", i);
		fds[i] = workshop_text(line, strlen(line));
	}
	/* More than it keeps, and each its own. */
	for (int i = 0; i < 36; i++) {
		char want[16];

		snprintf(want, sizeof(want), "f%d", i % 12);
		ck_assert_str_eq(
			ask(symbolizer, 1 + (uint32_t)i % 12, fds[i % 12], 0x1005, &answers), want);
	}
	ck_assert_str_eq(ask(symbolizer, 1, fds[0], 0x1010, &answers), "");
	append(fds[0], "1010 1 more\n");
	ck_assert_str_eq(ask(symbolizer, 1, fds[0], 0x1010, &answers), "more");
	ck_assert_int_eq(kill(stats_of(symbolizer).pid, SIGKILL), 0);
	ck_assert_str_eq(ask(symbolizer, 1, fds[0], 0x1010, &answers), "more");
	ck_assert_int_eq(symbolizer_jit_names(symbolizer, 1, -1, NULL, 0, on_names, NULL), -EINVAL);
	symbolizer_destroy(symbolizer);
	for (int i = 0; i < 12; i++)
		close(fds[i]);
}
END_TEST

/* Longer than is read at a time: the answer comes when all of it is read, and others do
 * not wait for it. */
START_TEST(by_a_worker_in_pieces)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers = {0}, other = {0};
	char *empty = malloc(PERF_MAP_READ_MAX);
	uint64_t address = 0x2004;
	int small = workshop_text("2000 10 small\n", 14), fd;

	ck_assert_ptr_nonnull(empty);
	memset(empty, '\n', PERF_MAP_READ_MAX);
	fd = workshop_text(empty, PERF_MAP_READ_MAX);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(write(fd, empty, PERF_MAP_READ_MAX), PERF_MAP_READ_MAX);
	append(fd, "2000 10 at the end\n");
	ck_assert_int_eq(symbolizer_jit_names(symbolizer, 1, fd, &address, 1, on_names, &answers),
			 0);
	ck_assert_int_eq(symbolizer_jit_names(symbolizer, 2, small, &address, 1, on_names, &other),
			 0);
	wait_for(symbolizer, &other, 1);
	ck_assert_str_eq(other.name, "small");
	ck_assert_uint_eq(answers.total, 0);
	wait_for(symbolizer, &answers, 1);
	ck_assert_str_eq(answers.name, "at the end");
	symbolizer_destroy(symbolizer);
	free(empty);
}
END_TEST

START_TEST(what_a_status_says)
{
	pid_t pid;
	uid_t uid;

	ck_assert_int_eq(
		perf_map_file_status("Name:\tx\nUid:\t1\t2\t3\t4\nNSpid:\t900\t17\t5\nA:\n", &pid,
				     &uid),
		0);
	ck_assert_int_eq(pid, 5);
	ck_assert_uint_eq(uid, 2);
	ck_assert_int_eq(perf_map_file_status("Name:\tx\nUid:\t1\t2\t3\t4\n", &pid, &uid), -EINVAL);
	ck_assert_int_eq(perf_map_file_status("Uid:\nNSpid:\t\n", &pid, &uid), -EINVAL);
	ck_assert_int_eq(perf_map_file_status("", &pid, &uid), -EINVAL);
}
END_TEST

START_TEST(which_file)
{
	char path[64], other[80];
	int fd = -1;

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	snprintf(other, sizeof(other), "%s.other", path);
	ck_assert_int_eq(perf_map_file_open(getpid(), NULL, &fd), -ENOENT);
	workshop_write(path, "1000 10 mine\n", 13);
	ck_assert_int_eq(perf_map_file_open(getpid(), NULL, &fd), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	ck_assert_int_eq(rename(path, other), 0);
	ck_assert_int_eq(symlink(other, path), 0);
	ck_assert_int_eq(perf_map_file_open(getpid(), NULL, &fd), -ELOOP);
	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(perf_map_file_open(getpid(), NULL, &fd),
			 -ENOEXEC); /* and it does not block */
	unlink(path);
	ck_assert_int_eq(rename(other, path), 0);
	if (!geteuid()) { /* another user's */
		ck_assert_int_eq(chown(path, 65534, 65534), 0);
		ck_assert_int_eq(perf_map_file_open(getpid(), NULL, &fd), -EPERM);
	}
	unlink(path);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("perf_map");
	TCase *tcase = tcase_create("perf_map");
	SRunner *runner;
	int failed;

	symbolizer_be_worker(argc, argv);
	log_init("test_perf_map", LOG_LEVEL_ERROR);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, lines);
	tcase_add_test(tcase, while_it_is_written);
	tcase_add_test(tcase, the_later_wins);
	tcase_add_test(tcase, lines_without_end);
	tcase_add_test(tcase, more_than_the_limit);
	tcase_add_test(tcase, more_at_one_time);
	tcase_add_test(tcase, by_a_worker);
	tcase_add_test(tcase, by_a_worker_in_pieces);
	tcase_add_test(tcase, what_a_status_says);
	tcase_add_test(tcase, which_file);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
