/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file's identity: the same while nobody changes the file, another one after
 * every change, and of no use to somebody who wants to pass for another file.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/base/clock.h"
#include "symbolizer/file_identity.h"
#include "tests/unit/suite.h"
#include "tests/unit/workshop.h"

static struct workshop shop;

static int make(const char *name, const char *text)
{
	char path[256];
	int fd;

	workshop_path(&shop, name, path);
	workshop_write(path, text, strlen(text));
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* When the last change is old enough to be the last with its time. */
static bool take_later(int fd, struct file_identity *ret)
{
	return file_identity_take_at(fd, clock_real_ns() + 2 * FILE_IDENTITY_YOUNG_NS, ret);
}

/* The clock that files are stamped by. */
static void wait_a_tick(void)
{
	uint64_t now = clock_ns(CLOCK_REALTIME_COARSE);

	while (clock_ns(CLOCK_REALTIME_COARSE) == now)
		usleep(1000);
}

START_TEST(the_same_file_is_the_same)
{
	int once = open("/bin/sh", O_RDONLY | O_CLOEXEC);
	int again = open("/bin/sh", O_RDONLY | O_CLOEXEC);
	int other = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	struct file_identity a, b, c;

	ck_assert(file_identity_take(once, &a));
	ck_assert(file_identity_take(again, &b));
	ck_assert(!memcmp(&a, &b, sizeof(a)));
	ck_assert(file_identity_take(other, &c));
	ck_assert(memcmp(&a, &c, sizeof(a)));
	close(once);
	close(again);
	close(other);
}
END_TEST

/* A forger has the content, the size and the modification time of another file,
 * and even its place; the time of change is the kernel's. */
START_TEST(a_change_cannot_be_hidden)
{
	struct file_identity before, after;
	struct timespec times[2];
	struct stat st;
	int fd = make("victim", "good");

	ck_assert(take_later(fd, &before));
	ck_assert_uint_eq(before.size, 4);
	ck_assert_int_eq(fstat(fd, &st), 0);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	wait_a_tick();
	ck_assert_int_eq(pwrite(fd, "evil", 4, 0), 4);
	ck_assert_int_eq(futimens(fd, times), 0);
	ck_assert(take_later(fd, &after));
	ck_assert_uint_eq(after.size, before.size);
	ck_assert_uint_eq(after.mtime_ns, before.mtime_ns);
	ck_assert_uint_eq(after.inode, before.inode);
	ck_assert(memcmp(&before, &after, sizeof(before)));
	close(fd);
}
END_TEST

START_TEST(a_young_file_has_none)
{
	struct file_identity identity = {.inode = 7};
	int fd = make("young", "x");

	ck_assert(!file_identity_take(fd, &identity));
	ck_assert_uint_eq(identity.inode, 7);
	close(fd);
}
END_TEST

START_TEST(what_is_no_file_has_none)
{
	struct file_identity identity;
	int folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), pipes[2];

	ck_assert(!file_identity_take(folder, &identity));
	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert(!file_identity_take(pipes[0], &identity));
	ck_assert(!file_identity_take(-1, &identity));
	close(folder);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("file_identity");
	int r;

	workshop_open(&shop);
	SUITE_CASE(suite, "identity", the_same_file_is_the_same, a_change_cannot_be_hidden,
		   a_young_file_has_none, what_is_no_file_has_none);
	r = suite_main(suite);
	workshop_close(&shop);
	return r;
}
