/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Unwind tables on disk: kept, found again, forgotten in the right order, and
 * never believed when something happened to them. A folder that cannot be used
 * is refused with a text that says what to do.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "daemon/base/clock.h"
#include "daemon/table_store.h"
#include "tests/unit/suite.h"
#include "tests/unit/table_fixture.h"
#include "tests/unit/workshop.h"

#define LIMIT (1u << 20)

static struct table_store store;
static struct error error;

static void open_store(uint64_t limit)
{
	ck_assert_msg(!table_store_open(&store, table_folder, limit, &error), "%s", error.text);
	table_store_recover(&store);
}

static int put(uint64_t number, uint32_t rows)
{
	struct table_record record = {0};
	struct table_key key = table_key(number);
	struct strbuf bytes = table_bytes(rows);
	int r = table_store_put(&store, &key, &record, bytes.data, bytes.length);

	strbuf_deinit(&bytes);
	return r;
}

/* Rows of the table that is kept, or -errno. */
static int get(uint64_t number)
{
	struct table_key key = table_key(number);
	struct table_record record;
	int r = table_store_get(&store, &key, &record);

	if (r < 0)
		return r;
	r = (int)record.table.row_count;
	unwind_table_deinit(&record.table);
	return r;
}

/* How many files there are, and the path of the last. */
static int files(char path[256])
{
	DIR *folder = opendir(table_folder);
	const struct dirent *entry;
	int count = 0;

	ck_assert_ptr_nonnull(folder);
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		if (path)
			snprintf(path, 256, "%s/%.100s", table_folder, entry->d_name);
		count++;
	}
	closedir(folder);
	return count;
}

static void set_used(const char *path, uint64_t ago_ns)
{
	uint64_t then = clock_real_ns() - ago_ns;
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = (time_t)(then / NSEC_PER_SEC), .tv_nsec = (long)(then % NSEC_PER_SEC)}};

	ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

static uint64_t used_ago(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return clock_real_ns() / NSEC_PER_SEC - (uint64_t)st.st_mtim.tv_sec;
}

START_TEST(kept_and_found)
{
	struct table_record none = {.error = -ENODATA, .text = "nothing there"}, record;
	struct table_key key = table_key(9);
	struct stat st;
	char path[256];

	open_store(LIMIT);
	ck_assert_int_eq(stat(table_folder, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0700);
	ck_assert_int_eq(get(1), -ENOENT);
	ck_assert_int_eq(put(1, 500), 0);
	ck_assert_int_eq(get(1), 500);
	ck_assert_int_eq(get(2), -ENOENT);
	ck_assert_int_eq(files(path), 1);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	ck_assert_int_eq(table_store_put(&store, &key, &none, NULL, 0), 0);
	table_store_close(&store);

	open_store(LIMIT); /* after a restart */
	ck_assert_uint_eq(store.stats.bytes, 8192);
	ck_assert_int_eq(get(1), 500);
	ck_assert_int_eq(table_store_get(&store, &key, &record), 0);
	ck_assert_int_eq(record.error, -ENODATA);
	ck_assert_str_eq(record.text, "nothing there");
	ck_assert_int_eq(put(1, 600), 0); /* replaced */
	ck_assert_int_eq(get(1), 600);
	ck_assert_int_eq(files(NULL), 2);
	ck_assert_uint_eq(store.stats.bytes, 8192);
}
END_TEST

/* A file that another program's version, or another file, left under the name. */
START_TEST(other_builders_and_files_are_others)
{
	struct table_key key = table_key(1);
	struct table_record record;

	open_store(LIMIT);
	ck_assert_int_eq(put(1, 10), 0);
	key.builder++;
	ck_assert_int_eq(table_store_get(&store, &key, &record), -ENOENT);
	key = table_key(1);
	key.file.uid = 1000;
	ck_assert_int_eq(table_store_get(&store, &key, &record), -ENOENT);
	key = table_key(1);
	key.file.ctime_ns = 1;
	ck_assert_int_eq(table_store_get(&store, &key, &record), -ENOENT);
	ck_assert_uint_eq(store.stats.damaged, 0);
	ck_assert_int_eq(get(1), 10);
}
END_TEST

/* Each is removed and counted, and the next table takes its place. */
START_TEST(what_is_not_whole_goes)
{
	char path[256], other[256];
	uint8_t *bytes;
	size_t size;

	open_store(LIMIT);
	ck_assert_int_eq(put(2, 100), 0);
	ck_assert_int_eq(files(other), 1);
	bytes = workshop_read(other, &size);
	unlink(other);
	ck_assert_int_eq(put(1, 100), 0);
	ck_assert_int_eq(files(path), 1);
	for (int how = 0; how < 6; how++) {
		ck_assert_int_eq(put(1, 100), 0);
		switch (how) {
		case 0:
			workshop_write(path, bytes, size); /* whole, but another's */
			break;
		case 1:
			ck_assert_int_eq(truncate(path, (off_t)size - 1), 0);
			break;
		case 2:
			ck_assert_int_eq(truncate(path, 0), 0);
			break;
		case 3:
			ck_assert_int_eq(truncate(path, TABLE_RECORD_MAX + 1L), 0);
			break;
		case 4:
			workshop_write(path, "\177ELF", 4);
			break;
		default:
			unlink(path);
			ck_assert_int_eq(symlink("/etc/passwd", path), 0);
		}
		ck_assert_int_eq(get(1), -EBADMSG);
		ck_assert_uint_eq(store.stats.damaged, (unsigned)how + 1);
		ck_assert_int_eq(get(1), -ENOENT);
		ck_assert_int_eq(files(NULL), 0);
	}
	free(bytes);
}
END_TEST

START_TEST(the_longest_unused_goes_first)
{
	char path[256];

	open_store(16 * 4096);
	for (uint64_t i = 1; i <= 16; i++) {
		ck_assert_int_eq(put(i, 100), 0);
		if (i == 3) {
			/* Used an hour ago; 1 and 2 likewise, but 2 is used again. */
			DIR *folder = opendir(table_folder);
			const struct dirent *entry;

			while ((entry = readdir(folder)))
				if (entry->d_name[0] != '.') {
					snprintf(path, sizeof(path), "%s/%.100s", table_folder,
						 entry->d_name);
					set_used(path, 3600 * NSEC_PER_SEC);
				}
			closedir(folder);
			ck_assert_int_eq(get(2), 100);
		}
	}
	ck_assert_uint_eq(store.stats.evicted, 0);
	ck_assert_int_eq(put(17, 100), 0);
	ck_assert_uint_ge(store.stats.evicted, 2);
	ck_assert_uint_le(store.stats.bytes, 16 * 4096);
	ck_assert_int_eq(get(1), -ENOENT);
	ck_assert_int_eq(get(3), -ENOENT);
	ck_assert_int_eq(get(2), 100);
	ck_assert_int_eq(get(17), 100);
	ck_assert_uint_eq((unsigned)files(NULL) * 4096, store.stats.bytes);
}
END_TEST

START_TEST(a_use_is_noted_once_a_minute)
{
	char path[256];

	open_store(LIMIT);
	ck_assert_int_eq(put(1, 10), 0);
	files(path);
	set_used(path, 30 * NSEC_PER_SEC);
	ck_assert_int_eq(get(1), 10);
	ck_assert_uint_ge(used_ago(path), 29);
	set_used(path, 90 * NSEC_PER_SEC);
	ck_assert_int_eq(get(1), 10);
	ck_assert_uint_le(used_ago(path), 10);
}
END_TEST

START_TEST(larger_than_the_limit)
{
	open_store(8192);
	ck_assert_int_eq(put(1, 100), 0);
	ck_assert_int_eq(put(2, 10000), -EDQUOT);
	ck_assert_uint_eq(store.stats.failed, 1);
	ck_assert_int_eq(get(2), -ENOENT);
	ck_assert_int_eq(put(3, 100), 0);
	ck_assert_int_eq(get(3), 100);
}
END_TEST

/* A limit that was lowered holds from the next start on. */
START_TEST(a_lower_limit)
{
	open_store(LIMIT);
	for (uint64_t i = 1; i <= 20; i++)
		ck_assert_int_eq(put(i, 100), 0);
	table_store_close(&store);
	open_store(8 * 4096);
	ck_assert_uint_le(store.stats.bytes, 8 * 4096);
	ck_assert_int_le(files(NULL), 8);
	ck_assert_int_gt(files(NULL), 0);
}
END_TEST

/* What a writer that was killed left behind goes at the next start; what another
 * one is writing just now does not, nor what is none of ours. */
START_TEST(leftovers_of_a_crash)
{
	char path[256], busy[256];
	int fd;

	open_store(LIMIT);
	snprintf(path, sizeof(path), "%s/new-123-0", table_folder);
	workshop_write(path, "half", 4);
	snprintf(busy, sizeof(busy), "%s/new-124-0", table_folder);
	fd = open(busy, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(flock(fd, LOCK_EX), 0);
	snprintf(path, sizeof(path), "%s/README", table_folder);
	workshop_write(path, "mine", 4);
	table_store_close(&store);
	open_store(LIMIT);
	ck_assert_int_eq(files(NULL), 2);
	ck_assert_int_eq(access(busy, F_OK), 0);
	ck_assert_int_eq(access(path, F_OK), 0);
	ck_assert_uint_eq(store.stats.bytes, 0);
	close(fd);
}
END_TEST

/* Two daemons: each finds what the other made, and survives what it removes. */
START_TEST(two_at_one_folder)
{
	struct table_store other;

	open_store(16 * 4096);
	ck_assert_int_eq(table_store_open(&other, table_folder, 16 * 4096, &error), 0);
	for (uint64_t i = 0; i < 60; i++) {
		struct table_store mine;

		ck_assert_int_eq(put(i, 100), 0);
		mine = store;
		store = other;
		ck_assert_int_eq(get(i), 100);
		ck_assert_int_eq(put(1000 + i, 100), 0);
		other = store;
		store = mine;
		ck_assert_int_eq(get(1000 + i), 100);
	}
	/* Each looks through the folder as often as it writes a limit's worth. */
	ck_assert_int_le(files(NULL), 2 * 16);
	table_store_close(&other);
}
END_TEST

/* A disk that is full in the midst of a file: nothing is left of it. */
START_TEST(a_write_that_is_cut_short)
{
	struct rlimit before, limit;

	open_store(LIMIT);
	ck_assert_int_eq(put(1, 100), 0);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 2000;
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(put(2, 10000), -EFBIG);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
	ck_assert_int_eq(files(NULL), 1);
	ck_assert_uint_eq(store.stats.failed, 1);
	ck_assert_uint_eq(store.stats.stored, 1);
	ck_assert_int_eq(get(1), 100);
	ck_assert_int_eq(put(2, 10000), 0);
}
END_TEST

START_TEST(a_full_disk)
{
	/* Whatever happens, the mount ends with this process. */
	ck_assert_int_eq(unshare(CLONE_NEWNS), 0);
	ck_assert_int_eq(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	ck_assert_int_eq(mkdir(table_folder, 0700), 0);
	ck_assert_int_eq(mount("perfd-test", table_folder, "tmpfs", MS_NOSUID | MS_NODEV,
			       "size=64k,mode=0700"),
			 0);
	open_store(LIMIT);
	ck_assert_int_eq(put(1, 100), 0);
	ck_assert_int_eq(put(2, 50000), -ENOSPC);
	ck_assert_int_eq(files(NULL), 1);
	ck_assert_int_eq(get(1), 100);
	ck_assert_int_eq(put(3, 100), 0);
	ck_assert_uint_eq(store.stats.failed, 1);
	table_store_close(&store);
	ck_assert_int_eq(umount2(table_folder, MNT_DETACH), 0);
	open_store(LIMIT);
}
END_TEST

static void refused(int code, const char *part)
{
	ck_assert_int_eq(table_store_open(&store, table_folder, LIMIT, &error), code);
	ck_assert_msg(strstr(error.text, part), "%s", error.text);
	store.folder = -1;
}

START_TEST(folders_that_are_not_used)
{
	char target[80];

	ck_assert_int_eq(mkdir(table_folder, 0700), 0);
	ck_assert_int_eq(chmod(table_folder, 0777), 0);
	refused(-EPERM, "chmod 700");
	ck_assert_int_eq(chmod(table_folder, 0720), 0);
	refused(-EPERM, "chmod 700");
	ck_assert_int_eq(chmod(table_folder, 0755), 0); /* nobody else writes */
	open_store(LIMIT);
	table_store_close(&store);
	snprintf(target, sizeof(target), "%s.real", table_folder);
	ck_assert_int_eq(rename(table_folder, target), 0);
	ck_assert_int_eq(symlink(target, table_folder), 0);
	refused(-ENOTDIR, "symbolic link");
	ck_assert_int_eq(unlink(table_folder), 0);
	workshop_write(table_folder, "", 0);
	refused(-ENOTDIR, "no folder");
	ck_assert_int_eq(unlink(table_folder), 0);
	ck_assert_int_eq(table_store_open(&store, "/proc/perfd", LIMIT, &error), -ENOENT);
	ck_assert_ptr_nonnull(strstr(error.text, "unwind.cache_dir"));
	store.folder = -1;
}
END_TEST

START_TEST(a_folder_of_somebody_else)
{
	ck_assert_int_eq(mkdir(table_folder, 0700), 0);
	ck_assert_int_eq(chown(table_folder, 65534, 65534), 0);
	refused(-EPERM, "belongs to user 65534");
}
END_TEST

START_TEST(a_folder_without_rights)
{
	ck_assert_int_eq(mkdir(table_folder, 0700), 0);
	ck_assert_int_eq(chown(table_folder, 65534, 65534), 0);
	ck_assert_int_eq(chmod(table_folder, 0500), 0);
	ck_assert_int_eq(chmod(table_place, 0755), 0);
	ck_assert_int_eq(seteuid(65534), 0);
	refused(-EACCES, "cannot be written to");
	ck_assert_int_eq(seteuid(0), 0);
}
END_TEST

static void teardown(void)
{
	if (store.folder >= 0)
		table_store_close(&store);
	table_folder_teardown();
}

static void setup(void)
{
	store = (struct table_store){.folder = -1};
	table_folder_setup();
}

/* Asked of a child: the parent keeps its namespace. */
static bool can_mount(void)
{
	return geteuid() == 0 &&
	       system("d=$(mktemp -d) && unshare -m mount -t tmpfs perfd-test $d 2>/dev/null; "
		      "r=$?; rmdir $d; exit $r") == 0;
}

int main(void)
{
	Suite *suite = suite_create("table_store");
	TCase *tcase = tcase_create("store");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, kept_and_found);
	tcase_add_test(tcase, other_builders_and_files_are_others);
	tcase_add_test(tcase, what_is_not_whole_goes);
	tcase_add_test(tcase, the_longest_unused_goes_first);
	tcase_add_test(tcase, a_use_is_noted_once_a_minute);
	tcase_add_test(tcase, larger_than_the_limit);
	tcase_add_test(tcase, a_lower_limit);
	tcase_add_test(tcase, leftovers_of_a_crash);
	tcase_add_test(tcase, two_at_one_folder);
	tcase_add_test(tcase, a_write_that_is_cut_short);
	workshop_add(tcase, can_mount(), "needs root and mounts", a_full_disk);
	tcase_add_test(tcase, folders_that_are_not_used);
	workshop_add(tcase, geteuid() == 0, "needs root", a_folder_of_somebody_else);
	workshop_add(tcase, geteuid() == 0, "needs root", a_folder_without_rights);
	suite_add_tcase(suite, tcase);
	return suite_main(suite);
}
