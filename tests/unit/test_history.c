/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The history's thread: windows are in the answers from the moment they are kept, on the
 * disk when it ends, and wait for a disk that is full; a pause of perfd is a gap.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/base/clock.h"
#include "daemon/history.h"
#include "tests/unit/profile_text.h"
#include "tests/unit/suite.h"
#include "tests/unit/workshop.h"

#define SECOND NSEC_PER_SEC
#define PATIENCE_MS 20000

static char folder[64];
static struct history *history;
static struct error error;
static uint64_t begin;

static void open_history(void)
{
	struct history_store_options how = {
		.folder = folder,
		.limit = 1ull << 30,
		.keep_ns = 7 * 24 * 3600 * SECOND,
		.ages = {UINT64_MAX, UINT64_MAX, UINT64_MAX},
	};

	ck_assert_msg(!history_create(&how, &error, &history), "%s", error.text);
}

static void set_up(void)
{
	strcpy(folder, "/tmp/perfd-history-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	begin = clock_real_ns() / SECOND * SECOND - 3600 * SECOND;
	open_history();
}

static void tear_down(void)
{
	char command[128];

	history_destroy(history);
	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	ck_assert_int_eq(system(command), 0);
}

static void keep(uint64_t at_s)
{
	char text[256];
	struct profile *profile;

	snprintf(text, sizeof(text),
		 "start %" PRIu64 "\nduration %llu\nvalue samples count\nvalue cpu nanoseconds\n"
		 "default 1\nprocess 10 1 redis 0 0 5\nof 0 0\nstack redis;main;serve 1 7\n",
		 (uint64_t)(begin + at_s * SECOND), (unsigned long long)SECOND);
	profile = profile_from_text(text);
	profile->event = profile_string(profile, "cpu-clock");
	history_keep(history, profile);
	history_write(history);
}

struct answer {
	bool come;
	struct profile *profile;
	json_t *rows;
	struct error error;
};

static void on_profile(void *context, const struct error *failure, struct profile *profile)
{
	*(struct answer *)context =
		(struct answer){.come = true, .profile = profile, .error = *failure};
}

static void on_rows(void *context, const struct error *failure, json_t *rows)
{
	*(struct answer *)context = (struct answer){.come = true, .rows = rows, .error = *failure};
}

static void wait_for(const bool *come)
{
	struct pollfd ready = {.fd = history_fd(history), .events = POLLIN};

	while (!*come) {
		ck_assert_int_eq(poll(&ready, 1, PATIENCE_MS), 1);
		history_dispatch(history);
	}
}

static struct history_query all(void)
{
	return (struct history_query){.until_ns = UINT64_MAX};
}

static uint64_t samples(void)
{
	struct history_query query = all();
	struct answer answer = {0};
	uint64_t total;

	ck_assert_int_eq(history_ask(history, &query, on_profile, &answer), 0);
	wait_for(&answer.come);
	ck_assert_msg(answer.profile != NULL, "%s", answer.error.text);
	total = profile_total(answer.profile, 0);
	profile_destroy(answer.profile);
	return total;
}

START_TEST(kept_is_answered_and_stored)
{
	struct history_query query = all();
	struct answer answer = {0};
	struct history_stats stats;

	for (uint64_t i = 0; i < 20; i++)
		keep(i);
	ck_assert_uint_eq(samples(), 20);
	for (uint64_t i = 20; i < 40; i++)
		keep(i);
	history_destroy(history); /* with what waits */
	open_history();
	ck_assert_uint_eq(samples(), 40);
	history_get_stats(history, &stats);
	ck_assert_uint_eq(stats.store.stored_until_ns, begin + 40 * SECOND);
	ck_assert_int_eq(history_ask_list(history, &query, history_list_windows, on_rows, &answer),
			 0);
	wait_for(&answer.come);
	ck_assert_uint_eq(json_array_size(json_object_get(answer.rows, "rows")), 40);
	json_decref(answer.rows);
}
END_TEST

START_TEST(a_pause_is_a_gap)
{
	struct history_query query = all();
	struct answer answer = {0};
	uint64_t missing = 0;

	keep(0);
	history_destroy(history);
	open_history();
	keep(9);
	ck_assert_uint_eq(samples(), 2);
	ck_assert_int_eq(history_ask(history, &query, on_profile, &answer), 0);
	wait_for(&answer.come);
	for (size_t i = 0; i < answer.profile->counts.count; i++) {
		const struct profile_count *count = &answer.profile->counts.items[i];

		if (!strcmp(profile_text(answer.profile, count->key), "gap: perfd was not running"))
			missing = count->count;
	}
	ck_assert_uint_eq(missing, 8000);
	profile_destroy(answer.profile);
}
END_TEST

START_TEST(a_forgotten_question_calls_nobody)
{
	struct history_query query = all();
	struct answer forgotten = {0};

	keep(0);
	for (unsigned i = 0; i < HISTORY_QUESTIONS_MAX - 1; i++)
		ck_assert_int_eq(history_ask(history, &query, on_profile, &forgotten), 0);
	history_forget(history, &forgotten);
	ck_assert_uint_eq(samples(), 1);
	ck_assert(!forgotten.come);
}
END_TEST

START_TEST(too_many_questions_are_refused)
{
	struct history_query query = all();
	struct answer answer = {0};
	int r = 0;

	for (unsigned i = 0; !r && i < 10000; i++)
		r = history_ask(history, &query, on_profile, &answer);
	ck_assert_int_eq(r, -EAGAIN);
	history_forget(history, &answer);
}
END_TEST

/* Windows wait, answers have them, the oldest of too many are a gap; then all goes on. */
START_TEST(a_full_disk_is_waited_out)
{
	struct history_stats stats;
	uint64_t kept = 0, later;

	history_destroy(history);
	ck_assert_int_eq(mount("none", folder, "tmpfs", 0, "size=200k,mode=700"), 0);
	open_history();
	do {
		keep(kept++);
		ck_assert_uint_eq(samples(), kept);
		history_get_stats(history, &stats);
		ck_assert_uint_lt(kept, 5000);
	} while (!stats.trouble[0]);
	ck_assert_uint_gt(stats.waiting, 0);
	for (later = 0; later < HISTORY_WAITING_MAX + 10; later++)
		keep(kept + later);
	samples();
	history_get_stats(history, &stats);
	ck_assert_uint_eq(stats.waiting, HISTORY_WAITING_MAX);
	ck_assert_uint_ge(stats.dropped, 10);
	ck_assert_int_eq(mount("none", folder, "tmpfs", MS_REMOUNT, "size=8m"), 0);
	for (int i = 0; stats.waiting && i < PATIENCE_MS / 10; i++) {
		usleep(10000);
		history_get_stats(history, &stats);
	}
	ck_assert_uint_eq(stats.waiting, 0);
	ck_assert_str_eq(stats.trouble, "");
	ck_assert_uint_eq(samples(), kept + later - stats.dropped);
	history_destroy(history);
	ck_assert_int_eq(umount(folder), 0);
	open_history();
}
END_TEST

/* A window with many names that no other has; nobody is told yet that it is there. */
static void keep_large(uint64_t at_s)
{
	char text[16384];
	struct profile *profile;
	int length;

	length = snprintf(text, sizeof(text),
			  "start %" PRIu64 "\nduration %llu\nvalue samples count\n"
			  "value cpu nanoseconds\ndefault 1\nprocess 10 1 redis 0 0 5\nof 0 0\n",
			  (uint64_t)(begin + at_s * SECOND), (unsigned long long)SECOND);
	for (unsigned i = 0; i < 100; i++)
		length += snprintf(text + length, sizeof(text) - (size_t)length,
				   "stack redis;main;window_%" PRIu64 "_has_function_%u;"
				   "window_%" PRIu64 "_calls_function_%u 1 7\n",
				   at_s, i, at_s, i);
	profile = profile_from_text(text);
	profile->event = profile_string(profile, "cpu-clock");
	history_keep(history, profile);
}

static void resize_disk(unsigned long flags, unsigned kib)
{
	char options[64];

	snprintf(options, sizeof(options), "size=%uk,mode=700", kib);
	ck_assert_int_eq(mount("none", folder, "tmpfs", flags, options), 0);
}

static uint64_t windows(void)
{
	struct history_query query = all();
	struct answer answer = {0};
	uint64_t count;

	ck_assert_int_eq(history_ask_list(history, &query, history_list_windows, on_rows, &answer),
			 0);
	wait_for(&answer.come);
	count = json_array_size(json_object_get(answer.rows, "rows"));
	json_decref(answer.rows);
	return count;
}

/* Three that wait for a full disk, which is that large when they are written at last: how many of
 * them are. */
static uint64_t written_to(unsigned kib)
{
	struct history_stats stats;
	uint64_t written;

	resize_disk(0, 64);
	open_history();
	for (uint64_t i = 0; i < 3; i++)
		keep_large(i);
	history_write(history);
	/* A list is of what could be written: so it was tried, and they are in no journal either.
	 */
	ck_assert_uint_eq(windows(), 0);
	ck_assert_uint_eq(samples(), 300);
	history_get_stats(history, &stats);
	ck_assert_uint_eq(stats.waiting, 3);
	resize_disk(MS_REMOUNT, kib);
	history_destroy(history);
	resize_disk(MS_REMOUNT, 8192);
	open_history();
	written = samples() / 100;
	history_destroy(history);
	ck_assert_int_eq(umount(folder), 0);
	return written;
}

/* Where there is no room for all that wait, there may be for one. */
START_TEST(a_disk_with_room_for_one_window_has_it)
{
	uint64_t written = 0;
	bool some = false;

	history_destroy(history);
	for (unsigned kib = 64; written < 3; kib += 8) {
		ck_assert_uint_lt(kib, 4096);
		written = written_to(kib);
		some |= written == 1 || written == 2;
	}
	ck_assert(some);
	open_history();
}
END_TEST

/* ---- the journal ---- */

static void in_folder(const char *format, ...)
{
	char command[512];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	ck_assert_int_eq(system(command), 0);
}

/* A perfd that keeps so many windows from then on, of which nobody asks, and is killed. With
 * `written`, they have gone into a database. */
static void live_and_die(uint64_t from, uint64_t count, bool written)
{
	pid_t child = fork();
	int status;

	ck_assert_int_ge(child, 0);
	if (!child) {
		struct history_stats stats = {.waiting = 1};

		open_history();
		windows(); /* what its predecessor left is in the database */
		for (uint64_t i = 0; i < count; i++)
			keep(from + i);
		for (int i = 0; stats.waiting && i < PATIENCE_MS; i++) {
			usleep(1000);
			history_get_stats(history, &stats);
		}
		if (written) {
			in_folder("cp %s/journal %s.journal", folder, folder);
			samples();
		}
		_exit(stats.waiting || stats.trouble[0]);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}

static uint64_t journal_bytes(void)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/journal", folder);
	ck_assert_int_eq(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

START_TEST(killed_it_leaves_a_journal)
{
	history_destroy(history);
	live_and_die(0, 7, false);
	ck_assert_uint_gt(journal_bytes(), 0);
	open_history();
	ck_assert_uint_eq(samples(), 7);
	ck_assert_uint_eq(windows(), 7);
	/* Now they are in the database. */
	ck_assert_uint_eq(journal_bytes(), 0);
	history_destroy(history);
	/* More than are written together, and one after the other. */
	live_and_die(10, 5, false);
	live_and_die(20, 130, false);
	open_history();
	ck_assert_uint_eq(windows(), 7 + 5 + 130);
	ck_assert_uint_eq(samples(), 7 + 5 + 130);
}
END_TEST

/* What was kept before somebody asks is in the list, though it had gone into the journal when the
 * question came. */
START_TEST(a_list_has_what_was_kept_before)
{
	for (uint64_t i = 0; i < 400; i++) {
		keep(i);
		if (i % 4)
			usleep((useconds_t)(i % 40) * 5);
		ck_assert_uint_eq(windows(), i + 1);
	}
}
END_TEST

START_TEST(killed_before_the_journal_was_cleared)
{
	history_destroy(history);
	live_and_die(0, 9, true);
	in_folder("mv %s.journal %s/journal", folder, folder);
	ck_assert_uint_gt(journal_bytes(), 0);
	open_history();
	ck_assert_uint_eq(samples(), 9);
	ck_assert_uint_eq(windows(), 9);
}
END_TEST

static struct history_journal_lost journal_lost(void)
{
	struct history_stats stats;

	history_get_stats(history, &stats);
	return stats.store.journal_lost;
}

/* Milliseconds that the answer misses, for that reason. */
static uint64_t missing(const char *reason)
{
	struct history_query query = all();
	struct answer answer = {0};
	const struct profile *profile;
	uint64_t ms = 0;

	ck_assert_int_eq(history_ask(history, &query, on_profile, &answer), 0);
	wait_for(&answer.come);
	profile = answer.profile;
	for (size_t i = 0; i < profile->counts.count; i++)
		if (!strcmp(profile_text(profile, profile->counts.items[i].key), reason))
			ms = profile->counts.items[i].count;
	profile_destroy(answer.profile);
	return ms;
}

static void overwrite_journal(uint64_t at)
{
	in_folder("printf xxxx | dd of=%s/journal bs=1 seek=%" PRIu64 " conv=notrunc 2>/dev/null",
		  folder, at);
}

START_TEST(a_journal_that_is_cut_short)
{
	history_destroy(history);
	live_and_die(0, 4, false);
	in_folder("head -c 5 %s/journal >> %s/journal", folder, folder);
	open_history();
	ck_assert_uint_eq(samples(), 4);
	ck_assert_uint_eq(journal_bytes(), 0);
	ck_assert_uint_eq(journal_lost().places, 1);
	ck_assert_uint_eq(journal_lost().bytes, 5);
}
END_TEST

/* Its third window and its last one: those around them are there, and the time of the third is
 * a gap. */
START_TEST(a_damaged_journal)
{
	uint64_t size;

	history_destroy(history);
	live_and_die(10, 5, false);
	size = journal_bytes() / 5;
	overwrite_journal(size * 5 / 2);
	overwrite_journal(size * 5 - 40);
	open_history();
	ck_assert_uint_eq(samples(), 3);
	ck_assert_uint_eq(journal_lost().places, 2);
	ck_assert_uint_eq(journal_lost().bytes, 2 * size);
	ck_assert_uint_eq(missing("gap: the journal was damaged"), 1000);
	/* All of it is settled: the next one finds nothing. */
	ck_assert_uint_eq(journal_bytes(), 0);
	history_destroy(history);
	open_history();
	ck_assert_uint_eq(samples(), 3);
	ck_assert_uint_eq(journal_lost().places, 0);
}
END_TEST

START_TEST(a_journal_of_something_else)
{
	history_destroy(history);
	live_and_die(0, 3, false);
	/* As long as it is, nothing but what could be a window's beginning. */
	in_folder("size=$(stat -c %%s %s/journal); yes PFDJ | head -c $size > %s/journal", folder,
		  folder);
	open_history();
	ck_assert_uint_eq(samples(), 0);
	ck_assert_uint_eq(journal_lost().places, 1);
	history_destroy(history);
	in_folder("truncate -s 65M %s/journal", folder);
	open_history();
	ck_assert_uint_eq(samples(), 0);
	ck_assert_uint_eq(journal_lost().places, 1);
	ck_assert_uint_eq(journal_lost().bytes, 65 << 20);
	keep(7);
	ck_assert_uint_eq(samples(), 1);
}
END_TEST

/* Between what one that was killed noted last and its successor's first. */
START_TEST(the_pause_begins_behind_the_journal)
{
	history_destroy(history);
	live_and_die(0, 4, false);
	open_history();
	keep(9);
	ck_assert_uint_eq(samples(), 5);
	ck_assert_uint_eq(missing("gap: perfd was not running"), 5000);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("history");
	TCase *tc = tcase_create("history");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, kept_is_answered_and_stored);
	tcase_add_test(tc, a_pause_is_a_gap);
	tcase_add_test(tc, a_forgotten_question_calls_nobody);
	tcase_add_test(tc, too_many_questions_are_refused);
	tcase_add_test(tc, killed_it_leaves_a_journal);
	tcase_add_test(tc, a_list_has_what_was_kept_before);
	tcase_add_test(tc, killed_before_the_journal_was_cleared);
	tcase_add_test(tc, a_journal_that_is_cut_short);
	tcase_add_test(tc, a_damaged_journal);
	tcase_add_test(tc, a_journal_of_something_else);
	tcase_add_test(tc, the_pause_begins_behind_the_journal);
	workshop_add(tc, geteuid() == 0, "needs root, for a small disk", a_full_disk_is_waited_out);
	workshop_add(tc, geteuid() == 0, "needs root, for a small disk",
		     a_disk_with_room_for_one_window_has_it);
	suite_add_tcase(suite, tc);
	return suite_main(suite);
}
