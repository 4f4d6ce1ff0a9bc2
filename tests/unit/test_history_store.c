/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The history on disk: what was put in comes out, whatever it was summed to meanwhile;
 * filters; days; damage, a full disk, another perfd, a newer version, clocks that leap;
 * room and age.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/history_store.h"
#include "tests/unit/profile_text.h"
#include "tests/unit/suite.h"

#define SECOND NSEC_PER_SEC
#define HOUR (3600 * SECOND)
#define NOON 1795780800000000000ull /* 2026-11-27T12:00:00Z */

static char folder[64];
static struct history_store store;
static struct error error;

static struct history_store_options options(void)
{
	return (struct history_store_options){
		.folder = folder,
		.limit = 1ull << 30,
		.keep_ns = 7 * 24 * HOUR,
		.ages = {.ten_seconds_ns = 30 * SECOND, .minute_ns = HOUR, .hour_ns = 24 * HOUR},
	};
}

static void open_store(void)
{
	struct history_store_options how = options();

	ck_assert_msg(!history_store_open(&store, &how, &error), "%s", error.text);
}

static void set_up(void)
{
	strcpy(folder, "/tmp/perfd-history-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	open_store();
}

static void tear_down(void)
{
	char command[128];

	history_store_close(&store);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

/* A second of two processes: redis in a unit, and one named by `comm`. */
static struct profile *second(uint64_t start_ns, const char *comm, uint64_t weight)
{
	char text[1024];
	struct profile *profile;

	snprintf(text, sizeof(text),
		 "start %" PRIu64 "\nduration %llu\nvalue samples count\n"
		 "value cpu nanoseconds\ndefault 1\n"
		 "process 10 1 redis 0 0 5\nprocess 11 1 %s 0 0 6\n"
		 "of 0 0\nstack redis;main;serve 1 %" PRIu64 "\nstack redis;main;wait 1 7\n"
		 "of 1 0\nstack t;main;spin 2 %" PRIu64 "\nloss lost_ring 3 ring full\n"
		 "mark 500000000 rate 19 the rate\n"
		 "series rss anon bytes level 250000000 0 10~9~12 - 30 20\n"
		 "series - faults count amount 1000000000 -1 5\n",
		 start_ns, SECOND, comm, weight, weight);
	profile = profile_from_text(text);
	profile->event = profile_string(profile, "cpu-clock");
	profile->host = profile_string(profile, "box");
	profile->frequency_hz = 99;
	profile->processes.items[0].cgroup = profile_string(profile, "/system.slice/redis.service");
	return profile;
}

static int put(uint64_t start_ns, const char *comm, uint64_t weight)
{
	struct profile *profile = second(start_ns, comm, weight);
	size_t written;
	int r = history_store_put(&store, &profile, 1, &error, &written);

	profile_destroy(profile);
	return r;
}

static struct profile *ask(const struct history_query *query)
{
	struct history_reader reader;
	struct profile *profile;

	ck_assert_int_eq(history_reader_init(&reader, query), 0);
	ck_assert_msg(!history_store_read(&store, &reader, &error), "%s", error.text);
	profile = history_reader_finish(&reader);
	ck_assert_ptr_nonnull(profile);
	history_reader_deinit(&reader);
	return profile;
}

static uint64_t total(struct history_query query)
{
	struct profile *profile = ask(&query);
	uint64_t sum = profile_total(profile, 1);

	profile_destroy(profile);
	return sum;
}

static struct history_query between(uint64_t since, uint64_t until)
{
	return (struct history_query){.since_ns = since, .until_ns = until};
}

static void tidy(uint64_t now)
{
	bool more = true;

	for (int i = 0; more && i < 10000; i++)
		ck_assert_msg(!history_store_tidy(&store, now, &error, &more), "%s", error.text);
	ck_assert(!more);
}

static int64_t number(const char *sql)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;

	ck_assert_msg(!history_database_prepare(store.writer.db, sql, &error, &statement), "%s",
		      error.text);
	ck_assert_int_eq(sqlite3_step(statement), SQLITE_ROW);
	return sqlite3_column_int64(statement, 0);
}

/* By seconds: the most of a level, the sum of amounts. */
static void check_series(const struct profile *profile)
{
	const struct series *rss = &profile->series.items[0], *faults = &profile->series.items[1];

	ck_assert_uint_eq(profile->series.count, 2);
	ck_assert_str_eq(profile_text(profile, rss->name), "anon");
	ck_assert_str_eq(profile_text(profile, rss->group), "rss");
	ck_assert_uint_eq(rss->process, 0);
	ck_assert_uint_eq(faults->process, PROFILE_NONE);
	ck_assert_uint_eq(rss->points.count, 10);
	for (size_t i = 0; i < 10; i++) {
		ck_assert_uint_eq(rss->points.items[i].value, 30);
		ck_assert_uint_eq(faults->points.items[i].value, 5);
	}
}

START_TEST(what_is_put_in_comes_out)
{
	struct history_query query = between(NOON, NOON + 10 * SECOND);
	struct profile *profile;
	const struct profile_process *redis;

	for (uint64_t i = 0; i < 10; i++)
		ck_assert_int_eq(put(NOON + i * SECOND, "spinner", 100), 0);
	query.step_ns = SECOND;
	profile = ask(&query);
	ck_assert_uint_eq(profile_total(profile, 0), 40);
	ck_assert_uint_eq(profile_total(profile, 1), 10 * 207);
	ck_assert_uint_eq(profile->samples.count, 30);
	ck_assert_uint_eq(profile->default_value, 1);
	ck_assert_uint_eq(profile->start_ns, NOON);
	ck_assert_uint_eq(profile->duration_ns, 10 * SECOND);
	ck_assert_uint_eq(profile->frequency_hz, 99);
	ck_assert_str_eq(profile_text(profile, profile->event), "cpu-clock");
	ck_assert_str_eq(profile_text(profile, profile->host), "box");
	ck_assert_uint_eq(profile->processes.count, 2);
	redis = &profile->processes.items[0];
	ck_assert_uint_eq(redis->pid, 10);
	ck_assert_uint_eq(redis->birth_ns, 5);
	ck_assert_str_eq(profile_text(profile, redis->cgroup), "/system.slice/redis.service");
	ck_assert_uint_eq(profile_count_of(profile, "lost_ring"), 30);
	ck_assert_uint_eq(profile->marks.count, 10);
	ck_assert_uint_eq(profile->marks.items[1].at_ns, SECOND + SECOND / 2);
	ck_assert_str_eq(profile_text(profile, profile->marks.items[1].text), "the rate");
	check_series(profile);
	ck_assert_uint_eq(profile_count_of(profile, "history_missing"), 0);
	profile_destroy(profile);
	/* Each name, frame and stack once, however many windows. */
	ck_assert_int_eq(number("SELECT count(*) FROM stack"), 3);
	ck_assert_int_eq(number("SELECT count(*) FROM process"), 2);
	ck_assert_int_eq(number("SELECT count(*) FROM windows"), 10);
	ck_assert_int_eq(number("SELECT sum(samples) FROM services WHERE unit='redis.service'"),
			 20);
}
END_TEST

START_TEST(filters)
{
	uint64_t redis = 5 * 107, spinner = 5 * 100;
	struct history_query all = between(NOON, NOON + 5 * SECOND), query;

	for (uint64_t i = 0; i < 5; i++)
		ck_assert_int_eq(put(NOON + i * SECOND, "spinner", 100), 0);
	ck_assert_uint_eq(total(all), redis + spinner);
	query = all;
	strcpy(query.comm, "redis");
	ck_assert_uint_eq(total(query), redis);
	strcpy(query.comm, "spin*");
	ck_assert_uint_eq(total(query), spinner);
	query = all;
	strcpy(query.unit, "redis.service");
	ck_assert_uint_eq(total(query), redis);
	query = all;
	query.pid = 11;
	ck_assert_uint_eq(total(query), spinner);
	query = all;
	strcpy(query.cgroup, "/system.slice/*");
	ck_assert_uint_eq(total(query), redis);
	strcpy(query.container, "x");
	ck_assert_uint_eq(total(query), 0);
	query = all;
	strcpy(query.host, "other");
	ck_assert_uint_eq(total(query), 0);
	query = all;
	strcpy(query.event, "faults");
	ck_assert_uint_eq(total(query), 0);
	strcpy(query.event, "cpu");
	ck_assert_uint_eq(total(query), redis + spinner);
	ck_assert_uint_eq(total(between(NOON + SECOND, NOON + 2 * SECOND)), 207);
	/* A window that is cut is taken whole, in one of two times that follow one another. */
	ck_assert_uint_eq(total(between(NOON + SECOND / 4, NOON + SECOND / 4 + 1)), 207);
	ck_assert_uint_eq(total(between(NOON, NOON + SECOND / 4 * 3)), 207);
	ck_assert_uint_eq(total(between(NOON + SECOND / 4 * 3, NOON + SECOND)), 207);
	ck_assert_uint_eq(total(between(NOON - SECOND, NOON + SECOND / 4)), 0);
}
END_TEST

/* The same filters over what is not written yet. */
START_TEST(unwritten_windows_count)
{
	struct history_query query = between(NOON, NOON + 9 * SECOND);
	struct profile *waiting = second(NOON + SECOND, "spinner", 100), *profile;
	struct history_reader reader;

	ck_assert_int_eq(put(NOON, "spinner", 100), 0);
	strcpy(query.comm, "spinner");
	query.step_ns = SECOND;
	ck_assert_int_eq(history_reader_init(&reader, &query), 0);
	ck_assert_int_eq(history_store_read(&store, &reader, &error), 0);
	ck_assert_int_eq(history_reader_add_profile(&reader, waiting, &error), 0);
	profile = history_reader_finish(&reader);
	ck_assert_uint_eq(profile_total(profile, 1), 200);
	ck_assert_uint_eq(profile->samples.count, 2);
	ck_assert_uint_eq(profile->samples.items[0].bucket, 0);
	ck_assert_uint_eq(profile->samples.items[1].bucket, 1);
	ck_assert_uint_eq(profile->duration_ns, 2 * SECOND);
	profile_destroy(profile);
	profile_destroy(waiting);
	history_reader_deinit(&reader);
}
END_TEST

static uint64_t sum_of(const struct series *series)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < series->points.count; i++)
		if (series->points.items[i].value != SERIES_UNKNOWN)
			sum += series->points.items[i].value;
	return sum;
}

/* Sums stay while windows get wider, and queries see the same before and after. */
START_TEST(rollup_keeps_every_sum)
{
	struct history_query all = between(NOON, NOON + 3 * HOUR);
	uint64_t weight = 0;
	struct profile *before, *after;

	for (uint64_t i = 0; i < 2 * 3600; i += 3) {
		ck_assert_int_eq(put(NOON + i * SECOND, i % 2 ? "odd" : "even", i), 0);
		weight += 2 * i + 7;
	}
	all.step_ns = 3 * HOUR;
	before = ask(&all);
	ck_assert_uint_eq(profile_total(before, 1), weight);
	tidy(NOON + 2 * HOUR + 40 * SECOND); /* an hour and 40 s to minutes, the rest to 10 s */
	ck_assert_int_eq(number("SELECT count(*) FROM window WHERE step_ns = 60000000000"), 60);
	ck_assert_int_eq(number("SELECT count(*) FROM window WHERE step_ns = 10000000000"), 360);
	ck_assert_int_eq(number("SELECT count(*) FROM window WHERE step_ns = 0"), 0);
	after = ask(&all);
	ck_assert_uint_eq(profile_total(after, 1), weight);
	ck_assert_uint_eq(profile_total(after, 0), profile_total(before, 0));
	ck_assert_uint_eq(profile_count_of(after, "lost_ring"),
			  profile_count_of(before, "lost_ring"));
	ck_assert_uint_eq(after->samples.count, before->samples.count); /* same stacks */
	ck_assert_uint_eq(after->marks.count, before->marks.count);
	ck_assert_uint_eq(sum_of(&after->series.items[1]), 2400 * 5);
	profile_destroy(after);
	tidy(NOON + 40 * HOUR);
	ck_assert_int_eq(number("SELECT count(*) FROM window"), 2);
	ck_assert_uint_eq(total(all), weight);
	profile_destroy(before);
}
END_TEST

/* A window that comes late into a time that was summed up already. */
START_TEST(late_windows_join)
{
	ck_assert_int_eq(put(NOON, "a", 1), 0);
	tidy(NOON + 60 * SECOND);
	ck_assert_int_eq(put(NOON, "a", 1), 0); /* the clock was set back */
	ck_assert_int_eq(put(NOON, "a", 1), 0);
	ck_assert_uint_eq(total(between(NOON, NOON + SECOND)), 3 * 9);
	tidy(NOON + 60 * SECOND);
	ck_assert_int_eq(number("SELECT count(*) FROM window"), 1);
	ck_assert_uint_eq(total(between(NOON, NOON + SECOND)), 3 * 9);
}
END_TEST

START_TEST(days_are_files)
{
	uint64_t midnight = NOON + 12 * HOUR;

	ck_assert_int_eq(put(midnight - SECOND, "a", 1), 0);
	ck_assert_int_eq(put(midnight, "a", 1), 0);
	ck_assert_str_eq(store.day, "2026-11-28");
	ck_assert_uint_eq(total(between(midnight - SECOND, midnight + SECOND)), 18);
	ck_assert_uint_eq(total(between(midnight, midnight + SECOND)), 9);
	history_store_close(&store);
	open_store();
	ck_assert_uint_eq(total(between(midnight - SECOND, midnight + SECOND)), 18);
}
END_TEST

START_TEST(several_at_once_stop_at_midnight)
{
	uint64_t midnight = NOON + 12 * HOUR;
	struct profile *profiles[] = {
		second(midnight - 2 * SECOND, "a", 1),
		second(midnight - SECOND, "b", 2),
		second(midnight, "c", 4),
	};
	size_t written = 0;

	ck_assert_int_eq(history_store_put(&store, profiles, 3, &error, &written), 0);
	ck_assert_uint_eq(written, 2);
	ck_assert_uint_eq(store.stats.windows, 2);
	ck_assert_str_eq(store.day, "2026-11-27");
	ck_assert_uint_eq(total(between(midnight - 2 * SECOND, midnight + SECOND)), 9 + 11);
	ck_assert_int_eq(history_store_put(&store, profiles + 2, 1, &error, &written), 0);
	ck_assert_uint_eq(written, 1);
	ck_assert_str_eq(store.day, "2026-11-28");
	ck_assert_uint_eq(total(between(midnight - 2 * SECOND, midnight + SECOND)), 9 + 11 + 15);
	for (size_t i = 0; i < 3; i++)
		profile_destroy(profiles[i]);
}
END_TEST

START_TEST(several_at_once_are_all_or_none)
{
	struct profile *profiles[] = {second(NOON, "a", 1), second(NOON + SECOND, "b", 2)};
	static char comm[600000];
	char pragma[64];
	size_t written = 7;

	ck_assert_int_eq(put(NOON - SECOND, "first", 1), 0);
	/* Room for a window's rows, not for those of a command with so long a name. */
	memset(comm, 'x', sizeof(comm) - 1);
	profiles[1]->processes.items[0].comm = profile_string(profiles[1], comm);
	snprintf(pragma, sizeof(pragma), "PRAGMA max_page_count=%d",
		 (int)number("PRAGMA page_count") + 100);
	ck_assert_int_eq(history_database_run(store.writer.db, pragma, &error), 0);
	ck_assert_int_eq(history_store_put(&store, profiles, 2, &error, &written), -ENOSPC);
	ck_assert_uint_eq(written, 7);
	ck_assert_int_eq(number("SELECT count(*) FROM window"), 1);
	ck_assert_int_eq(number("SELECT count(*) FROM service"), 2);
	/* One by one the first has room, and its rows are looked up anew. */
	ck_assert_int_eq(history_store_put(&store, profiles, 1, &error, &written), 0);
	ck_assert_int_eq(number("SELECT count(*) FROM window"), 2);
	ck_assert_uint_eq(total(between(NOON - SECOND, NOON + SECOND)), 18);
	for (size_t i = 0; i < 2; i++)
		profile_destroy(profiles[i]);
}
END_TEST

START_TEST(missing_time_is_told)
{
	struct history_query query = between(NOON, NOON + 10 * SECOND);
	struct profile *profile;

	ck_assert_int_eq(put(NOON, "a", 1), 0);
	ck_assert_int_eq(put(NOON + 8 * SECOND, "a", 1), 0);
	ck_assert_int_eq(history_store_gap(&store, NOON + SECOND, NOON + 8 * SECOND,
					   "the disk was full", &error),
			 0);
	profile = ask(&query);
	ck_assert_uint_eq(profile_count_of(profile, "history_missing"), 7000);
	ck_assert_uint_eq(profile_count_of(profile, "gap: the disk was full"), 7000);
	profile_destroy(profile);
}
END_TEST

START_TEST(another_perfd_is_refused)
{
	struct history_store other;
	struct history_store_options how = options();

	ck_assert_int_eq(history_store_open(&other, &how, &error), -EBUSY);
	ck_assert_ptr_nonnull(strstr(error.text, "another perfd"));
}
END_TEST

static void overwrite(const char *name, size_t at, size_t bytes)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "r+");
	ck_assert_ptr_nonnull(file);
	fseek(file, (long)at, SEEK_SET);
	for (size_t i = 0; i < bytes; i++)
		fputc((int)(i * 37), file);
	fclose(file);
}

static int files(const char *word)
{
	DIR *open = opendir(folder);
	const struct dirent *entry;
	int count = 0;

	while ((entry = readdir(open)))
		count += strstr(entry->d_name, word) != NULL;
	closedir(open);
	return count;
}

/* Set aside, not lost, and the next window has a place. */
START_TEST(a_damaged_database_is_set_aside)
{
	ck_assert_int_eq(put(NOON, "a", 1), 0);
	history_store_close(&store);
	overwrite("2026-11-27.db", 0, 4096);
	open_store();
	ck_assert_int_eq(put(NOON + SECOND, "a", 1), 0);
	ck_assert_uint_eq(store.stats.damaged, 1);
	ck_assert_int_eq(files("2026-11-27.db.damaged-1"), 1);
	ck_assert_uint_eq(total(between(NOON, NOON + 9 * SECOND)), 9);
	ck_assert_int_eq(put(NOON - 24 * HOUR, "a", 1), 0);
	ck_assert_int_eq(put(NOON + 2 * SECOND, "a", 1), 0);
	overwrite("2026-11-26.db", 0, 4096);
	{ /* a damaged day among others: the others answer, and it is said */
		struct history_query query = between(NOON - 48 * HOUR, NOON + 48 * HOUR);
		struct profile *profile = ask(&query);

		ck_assert_uint_eq(profile_total(profile, 1), 18);
		ck_assert_uint_eq(profile_count_of(profile, "history_damaged"), 1);
		profile_destroy(profile);
	}
}
END_TEST

START_TEST(a_newer_version_is_left_alone)
{
	ck_assert_int_eq(put(NOON, "a", 1), 0);
	ck_assert_int_eq(history_database_run(store.writer.db, "PRAGMA user_version=99", &error),
			 0);
	history_store_close(&store);
	open_store();
	ck_assert_int_eq(put(NOON + SECOND, "a", 1), -EPROTONOSUPPORT);
	ck_assert_ptr_nonnull(strstr(error.text, "newer perfd"));
	ck_assert_int_eq(files("damaged"), 0);
	ck_assert_int_eq(put(NOON + 24 * HOUR, "a", 1), 0); /* the next day has its own */
}
END_TEST

START_TEST(a_full_disk_loses_nothing_that_was_there)
{
	int r = 0;
	uint64_t i;

	history_store_close(&store);
	if (mount("none", folder, "tmpfs", 0, "size=400k,mode=700") < 0)
		return; /* not root */
	open_store();
	for (i = 0; i < 5000 && !r; i++) {
		char comm[16];

		snprintf(comm, sizeof(comm), "p%" PRIu64, i);
		r = put(NOON + i * SECOND, comm, 1);
	}
	ck_assert_int_eq(r, -ENOSPC);
	ck_assert_uint_eq(total(between(NOON, NOON + 2 * HOUR)), (i - 1) * 9);
	ck_assert_int_eq(mount("none", folder, "tmpfs", MS_REMOUNT, "size=4m"), 0);
	ck_assert_int_eq(put(NOON + i * SECOND, "a", 1), 0);
	ck_assert_uint_eq(total(between(NOON, NOON + 2 * HOUR)), i * 9);
	history_store_close(&store);
	ck_assert_int_eq(umount(folder), 0);
	open_store();
}
END_TEST

START_TEST(room_is_made_by_the_oldest)
{
	uint64_t last = NOON;

	store.options.limit = 1 << 20;
	for (uint64_t i = 0; i < 3000; i++) {
		char comm[16];

		last = NOON + i * 60 * SECOND;
		snprintf(comm, sizeof(comm), "p%" PRIu64, i % 50);
		ck_assert_int_eq(put(last, comm, i), 0);
		if (i % 100 == 99) {
			tidy(NOON);
			ck_assert_uint_le(store.stats.bytes, 1 << 20);
		}
	}
	ck_assert_uint_gt(store.stats.days_removed + store.stats.windows_removed, 0);
	ck_assert_uint_eq(total(between(last, last + SECOND)), 2 * 2999 + 7);
	ck_assert_uint_eq(total(between(NOON, NOON + 60 * SECOND)), 0);
}
END_TEST

START_TEST(old_days_go_and_a_clock_ahead_removes_none)
{
	ck_assert_int_eq(put(NOON - 8 * 24 * HOUR, "a", 1), 0);
	ck_assert_int_eq(put(NOON - 6 * 24 * HOUR, "a", 1), 0);
	ck_assert_int_eq(put(NOON, "a", 1), 0);
	tidy(NOON);
	ck_assert_uint_eq(store.stats.days_removed, 1);
	tidy(NOON + 365 * 24 * HOUR);
	ck_assert_uint_eq(store.stats.days_removed, 1);
	ck_assert_uint_eq(total(between(0, NOON + HOUR)), 18);
}
END_TEST

/* A day back, a day ahead, and as it was: what was put is there, each under the time that the
 * clock told, over a restart too; nothing goes, and nothing is counted twice. */
START_TEST(a_clock_that_leaps_a_day)
{
	static const int64_t leaps[] = {0, -24, 0, 24, 0, 48, -24, 0};
	uint64_t sum = 0, seconds = 0;

	for (size_t i = 0; i < sizeof(leaps) / sizeof(leaps[0]); i++) {
		for (uint64_t n = 0; n < 5; n++, seconds++) {
			uint64_t now = NOON + seconds * SECOND + (uint64_t)leaps[i] * HOUR;

			ck_assert_int_eq(put(now, "a", 1), 0);
			tidy(now);
			sum += 9;
		}
		history_store_close(&store);
		open_store();
		ck_assert_uint_eq(total(between(0, NOON + 1000 * HOUR)), sum);
	}
	ck_assert_uint_eq(store.stats.days_removed, 0);
	ck_assert_uint_eq(store.stats.damaged, 0);
	ck_assert_uint_eq(total(between(NOON - 25 * HOUR, NOON - 23 * HOUR)), 2 * 5 * 9);
	ck_assert_uint_eq(total(between(NOON + 47 * HOUR, NOON + 49 * HOUR)), 5 * 9);
}
END_TEST

/* A file system that is read-only when perfd starts, and one that becomes so. */
START_TEST(a_read_only_disk_is_told)
{
	if (geteuid() || mount("none", folder, "tmpfs", 0, "size=8m,mode=700"))
		return; /* no file systems here */
	history_store_close(&store);
	open_store();
	ck_assert_int_eq(put(NOON, "a", 1), 0);
	history_store_close(&store);
	ck_assert_int_eq(mount("none", folder, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	open_store();
	ck_assert_int_lt(put(NOON + SECOND, "a", 1), 0);
	ck_assert_msg(strstr(error.text, folder), "%s", error.text);
	ck_assert_uint_eq(total(between(0, NOON + HOUR)), 9); /* what there is can be asked for */
	history_store_close(&store);
	ck_assert_int_eq(mount("none", folder, NULL, MS_REMOUNT, NULL), 0);
	open_store();
	ck_assert_int_eq(put(NOON + SECOND, "a", 1), 0);
	ck_assert_uint_eq(total(between(0, NOON + HOUR)), 18);
	history_store_close(&store);
	ck_assert_int_eq(umount(folder), 0);
	open_store();
}
END_TEST

/* Until it is killed. Without assertions: Check has the two of us write into one file, and part of
 * a message may be all that comes of one. */
_Noreturn static void write_on(struct profile *profile, int said)
{
	struct history_store_options how = options();

	if (history_store_open(&store, &how, &error))
		_exit(1);
	for (uint64_t i = 1;; i++) {
		size_t written;
		bool more;

		profile->start_ns = NOON + i * SECOND;
		if (history_store_put(&store, &profile, 1, &error, &written) ||
		    write(said, &i, sizeof(i)) != sizeof(i))
			_exit(1);
		if (i % 16 == 0)
			history_store_tidy(&store, profile->start_ns, &error, &more);
	}
}

/* What was said to be stored is there after a SIGKILL at any moment, once. */
START_TEST(killed_while_writing)
{
	struct profile *profile;
	unsigned seed = (unsigned)_i;
	int said[2];
	uint64_t last = 0, heard;
	pid_t pid;

	history_store_close(&store);
	ck_assert_int_eq(pipe(said), 0);
	profile = second(NOON, "a", 1);
	pid = fork();
	if (!pid)
		write_on(profile, said[1]);
	profile_destroy(profile);
	close(said[1]);
	usleep(2000 + (useconds_t)rand_r(&seed) % 60000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	while (read(said[0], &heard, sizeof(heard)) == sizeof(heard))
		last = heard;
	close(said[0]);
	open_store();
	heard = total(between(NOON, NOON + 1000 * HOUR)) / 9;
	ck_assert_msg(heard == last || heard == last + 1,
		      "%" PRIu64 " are there, %" PRIu64 " were reported", heard, last);
}
END_TEST

START_TEST(lists)
{
	struct history_query query = between(NOON - HOUR, NOON + HOUR);
	json_t *windows, *services;

	ck_assert_int_eq(put(NOON, "sp\xff", 100), 0);
	ck_assert_int_eq(put(NOON + SECOND, "sp\xff", 100), 0);
	ck_assert_int_eq(history_store_list(&store, &query, history_list_windows, &error, &windows),
			 0);
	ck_assert_uint_eq(json_array_size(json_object_get(windows, "rows")), 2);
	ck_assert_int_eq(
		history_store_list(&store, &query, history_list_services, &error, &services), 0);
	ck_assert_uint_eq(json_array_size(json_object_get(services, "rows")), 2);
	json_decref(windows);
	json_decref(services);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("history_store");
	TCase *tc = tcase_create("history_store");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, what_is_put_in_comes_out);
	tcase_add_test(tc, filters);
	tcase_add_test(tc, unwritten_windows_count);
	tcase_add_test(tc, rollup_keeps_every_sum);
	tcase_add_test(tc, late_windows_join);
	tcase_add_test(tc, days_are_files);
	tcase_add_test(tc, several_at_once_stop_at_midnight);
	tcase_add_test(tc, several_at_once_are_all_or_none);
	tcase_add_test(tc, missing_time_is_told);
	tcase_add_test(tc, another_perfd_is_refused);
	tcase_add_test(tc, a_damaged_database_is_set_aside);
	tcase_add_test(tc, a_newer_version_is_left_alone);
	tcase_add_test(tc, a_full_disk_loses_nothing_that_was_there);
	tcase_add_test(tc, room_is_made_by_the_oldest);
	tcase_add_test(tc, old_days_go_and_a_clock_ahead_removes_none);
	tcase_add_test(tc, a_clock_that_leaps_a_day);
	tcase_add_test(tc, a_read_only_disk_is_told);
	tcase_add_loop_test(tc, killed_while_writing, 0, 40);
	tcase_add_test(tc, lists);
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}
