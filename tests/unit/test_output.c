/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/output.h"

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64], path[128];
static struct error error;

static void setup(void)
{
	snprintf(directory, sizeof(directory), "/tmp/perfd-test-output-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/out.svg", directory);
	error = (struct error){0};
}

static void teardown(void)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	rmdir(directory);
}

static void expect_content(const char *file, const char *want)
{
	char text[256] = "";
	int fd = open(file, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_ge(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	ck_assert_str_eq(text, want);
}

static void put(const char *file, const char *text, mode_t mode)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, mode);

	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	fchmod(fd, mode);
	close(fd);
}

static unsigned int files_there(void)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	unsigned int count = 0;

	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
	closedir(dir);
	return count;
}

START_TEST(new_file)
{
	struct stat st;

	umask(027);
	ck_assert_int_eq(output_check(path, &error), 0);
	ck_assert_msg(!output_write(path, "hello", 5, &error), "%s", error.text);
	expect_content(path, "hello");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0640);
	ck_assert_uint_eq(files_there(), 1);
}
END_TEST

START_TEST(replaces_and_keeps_the_mode)
{
	struct stat st;

	put(path, "old and longer", 0604);
	ck_assert_msg(!output_write(path, "new", 3, &error), "%s", error.text);
	expect_content(path, "new");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 0777, 0604);
	ck_assert_uint_eq(files_there(), 1);
}
END_TEST

START_TEST(link_stays_a_link)
{
	char link[160];
	struct stat st;

	snprintf(link, sizeof(link), "%s/link", directory);
	put(path, "old", 0644);
	ck_assert_int_eq(symlink("out.svg", link), 0);
	ck_assert_msg(!output_write(link, "new", 3, &error), "%s", error.text);
	expect_content(path, "new");
	ck_assert_int_eq(lstat(link, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
}
END_TEST

/* The whole write fails: what was there stays, and nothing is left beside it. */
START_TEST(no_room)
{
	static char bytes[100000];
	struct rlimit limit = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
	char want[64];

	put(path, "old", 0644);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(output_write(path, bytes, sizeof(bytes), &error), -EFBIG);
	snprintf(want, sizeof(want), "(%zu bytes needed)", sizeof(bytes));
	ck_assert_ptr_nonnull(strstr(error.text, path));
	ck_assert_ptr_nonnull(strstr(error.text, want));
	expect_content(path, "old");
	ck_assert_uint_eq(files_there(), 1);
}
END_TEST

START_TEST(device_is_full)
{
	struct stat st;

	ck_assert_int_eq(output_check("/dev/full", &error), 0);
	ck_assert_int_eq(output_write("/dev/full", "hello", 5, &error), -ENOSPC);
	ck_assert_ptr_nonnull(strstr(error.text, "/dev/full (5 bytes needed): No space left"));
	ck_assert_int_eq(stat("/dev/full", &st), 0);
	ck_assert(S_ISCHR(st.st_mode));
}
END_TEST

START_TEST(fifo_is_written_through)
{
	char text[8] = "";
	struct stat st;
	int fd;

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	fd = open(path, O_RDONLY | O_NONBLOCK);
	ck_assert_msg(!output_write(path, "hello", 5, &error), "%s", error.text);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 5);
	close(fd);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert(S_ISFIFO(st.st_mode));
}
END_TEST

/* /dev/stdout is the open file, wherever that lies; the name must not be
 * renamed over, nor the file replaced by another. */
START_TEST(dev_stdout)
{
	struct stat before, after;
	int fd = open(path, O_WRONLY | O_CREAT, 0600), saved = dup(STDOUT_FILENO);
	int r;

	fstat(fd, &before);
	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	r = output_write("/dev/stdout", "one,", 4, &error);
	if (!r)
		r = output_write("-", "two", 3, &error);
	dup2(saved, STDOUT_FILENO);
	ck_assert_msg(!r, "%s", error.text);
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	close(fd);
}
END_TEST

START_TEST(broken_pipe)
{
	int fds[2], saved = dup(STDOUT_FILENO), r;

	signal(SIGPIPE, SIG_IGN);
	ck_assert_int_eq(pipe(fds), 0);
	close(fds[0]);
	fflush(stdout);
	dup2(fds[1], STDOUT_FILENO);
	r = output_write("-", "x", 1, &error);
	dup2(saved, STDOUT_FILENO);
	ck_assert_int_eq(r, -EPIPE);
}
END_TEST

START_TEST(check_says_what_is_wrong)
{
	char deep[200];

	ck_assert_int_eq(output_check(directory, &error), -EISDIR);
	snprintf(deep, sizeof(deep), "%s/none/x.svg", directory);
	ck_assert_int_eq(output_check(deep, &error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.text, "/none"));
	put(path, "", 0644);
	snprintf(deep, sizeof(deep), "%s/x.svg", path);
	ck_assert_int_eq(output_check(deep, &error), -ENOTDIR);
	ck_assert_int_eq(output_check("", &error), -EINVAL);
	ck_assert_int_eq(output_check("-", &error), 0);
	if (geteuid()) {
		ck_assert_int_eq(output_check("/x.svg", &error), -EACCES);
		ck_assert_ptr_nonnull(strstr(error.text, "directory /"));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("output");
	TCase *tcase = tcase_create("output");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, new_file);
	tcase_add_test(tcase, replaces_and_keeps_the_mode);
	tcase_add_test(tcase, link_stays_a_link);
	tcase_add_test(tcase, no_room);
	tcase_add_test(tcase, device_is_full);
	tcase_add_test(tcase, fifo_is_written_through);
	tcase_add_test(tcase, dev_stdout);
	tcase_add_test(tcase, broken_pipe);
	tcase_add_test(tcase, check_says_what_is_wrong);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
