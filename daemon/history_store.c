/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/history_day.h"
#include "daemon/history_days.h"

#define SUFFIX HISTORY_DAY_SUFFIX
#define PATH_SIZE 320
#define GROUPS_AT_ONCE 16 /* wide windows made before others get their turn */
#define REMOVED_AT_ONCE 256 /* windows, when the present day is too large */
#define WINDOW_MAX_NS (3600 * NSEC_PER_SEC) /* the widest */
#define DAMAGED_MAX 100

static void day_path(const struct history_store *store, const char *day, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "%s/%s" SUFFIX, store->folder, day);
}

/* ---- opening ---- */

static int open_folder(struct history_store *store, struct error *error)
{
	struct stat st;

	if (mkdir(store->folder, 0700) < 0 && errno != EEXIST)
		return error_set(error, -errno,
				 "%s cannot be made: %s; make it, or name another folder in "
				 "history.dir (empty: no history)",
				 store->folder, strerror(errno));
	store->lock = open(store->folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (store->lock < 0)
		return error_set(error, -errno, "%s: %s", store->folder, strerror(errno));
	if (fstat(store->lock, &st) < 0)
		return error_set(error, -errno, "%s: %s", store->folder, strerror(errno));
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return error_set(error, -EPERM,
				 "%s must be perfd's own (user %u) and writable by nobody else: "
				 "chown and chmod 700 it",
				 store->folder, (unsigned)geteuid());
	if (flock(store->lock, LOCK_EX | LOCK_NB) < 0)
		return error_set(error, errno == EWOULDBLOCK ? -EBUSY : -errno,
				 "%s is in use by another perfd: end that one, or name another "
				 "folder in history.dir",
				 store->folder);
	return 0;
}

/* What the newest day that can be read says of itself. */
static void look_back(struct history_store *store)
{
	_cleanup_(history_days_deinit) struct history_days days = {0};

	if (history_days_list(store->folder, &days))
		return;
	store->stats.days = days.names.count;
	store->stats.oldest_ns = history_days_first(&days);
	for (size_t i = days.names.count; i-- > 0 && !store->stats.stored_until_ns;) {
		_cleanup_database_ sqlite3 *db = NULL;
		_cleanup_statement_ sqlite3_stmt *select = NULL;
		char path[PATH_SIZE];

		day_path(store, days.names.items[i].text, path);
		if (!history_database_open(path, HISTORY_DATABASE_READ, NULL, &db) &&
		    !history_database_prepare(db, "SELECT max(end_ns) FROM window", NULL,
					      &select) &&
		    sqlite3_step(select) == SQLITE_ROW)
			store->stats.stored_until_ns = (uint64_t)sqlite3_column_int64(select, 0);
	}
}

int history_store_open(struct history_store *store, const struct history_store_options *options,
		       struct error *error)
{
	int r;

	*store = (struct history_store){.lock = -1, .options = *options, .journal.fd = -1};
	snprintf(store->folder, sizeof(store->folder), "%s", options->folder);
	r = open_folder(store, error);
	if (r && store->lock >= 0) {
		close(store->lock);
		store->lock = -1;
	}
	if (r)
		return r;
	look_back(store);
	store->before_ns = store->stats.stored_until_ns;
	/* Without it each window goes into a database at once. */
	r = history_journal_open(&store->journal, store->lock);
	if (r)
		log_warning("history: %s/" HISTORY_JOURNAL_NAME ": %s", store->folder,
			    strerror(-r));
	return 0;
}

static void close_day(struct history_store *store)
{
	if (store->day[0])
		history_writer_deinit(&store->writer);
	store->day[0] = '\0';
}

void history_store_close(struct history_store *store)
{
	close_day(store);
	history_journal_close(&store->journal);
	if (store->lock >= 0)
		close(store->lock);
	store->lock = -1;
}

/* Takes a database that is not whole out of the way, with its log. */
static int set_aside(struct history_store *store, const char *day, const char *why)
{
	static const char *const suffixes[] = {"-wal", "-shm", ""};
	char from[PATH_SIZE + 8], to[PATH_SIZE + 32];
	struct stat st;

	for (int i = 1; i < DAMAGED_MAX; i++) {
		snprintf(to, sizeof(to), "%s/%s" SUFFIX ".damaged-%d", store->folder, day, i);
		if (!stat(to, &st))
			continue;
		for (size_t k = 0; k < sizeof(suffixes) / sizeof(suffixes[0]); k++) {
			snprintf(from, sizeof(from), "%s/%s" SUFFIX "%s", store->folder, day,
				 suffixes[k]);
			snprintf(to, sizeof(to), "%s/%s" SUFFIX ".damaged-%d%s", store->folder, day,
				 i, suffixes[k]);
			if (rename(from, to) < 0 && errno != ENOENT)
				return -errno;
		}
		store->stats.damaged++;
		log_error("history: %s; it is now %s, and a new one begins", why, to);
		return 0;
	}
	return -EMFILE;
}

static int open_writer(struct history_store *store, const char *day, struct error *error)
{
	char path[PATH_SIZE];
	sqlite3 *db;
	int r;

	day_path(store, day, path);
	r = history_database_open(path, HISTORY_DATABASE_WRITE, error, &db);
	if (!r)
		r = history_writer_init(&store->writer, db, error);
	if (!r)
		snprintf(store->day, sizeof(store->day), "%s", day);
	return r;
}

int history_store_want_day(struct history_store *store, uint64_t time_ns, struct error *error)
{
	char day[HISTORY_DAY_MAX];
	struct error why = {0};
	int r;

	history_day_of(time_ns, day);
	if (!strcmp(day, store->day))
		return 0;
	close_day(store);
	r = open_writer(store, day, &why);
	if (r == -EBADMSG && !set_aside(store, day, why.text))
		r = open_writer(store, day, &why);
	return r ? error_set(error, r, "%s", why.text) : 0;
}

/* ---- writing ---- */

/* Between the last window of whoever wrote here before and the first of ours. */
static void note_pause(struct history_store *store, struct profile *const *profiles, size_t count)
{
	uint64_t before = store->before_ns;

	for (size_t i = 0; !store->begun && i < count; i++) {
		if (profiles[i]->start_ns < before)
			continue;
		if (before && profiles[i]->start_ns > before)
			history_writer_gap(&store->writer, before, profiles[i]->start_ns,
					   "perfd was not running", NULL);
		store->begun = true;
	}
}

static void note_put(struct history_store *store, const struct profile *profile)
{
	uint64_t end = profile->start_ns + profile->duration_ns;

	store->stats.windows++;
	if (end > store->stats.stored_until_ns)
		store->stats.stored_until_ns = end;
}

/* How many of them begin in the same day as the first. */
static size_t of_one_day(struct profile *const *profiles, size_t count)
{
	char first[HISTORY_DAY_MAX], day[HISTORY_DAY_MAX];
	size_t same = 1;

	history_day_of(profiles[0]->start_ns, first);
	for (; same < count; same++) {
		history_day_of(profiles[same]->start_ns, day);
		if (strcmp(day, first) != 0)
			break;
	}
	return same;
}

int history_store_put(struct history_store *store, struct profile *const *profiles, size_t count,
		      struct error *error, size_t *ret_count)
{
	struct error why = {0};
	int r = history_store_want_day(store, profiles[0]->start_ns, error);

	if (r)
		return r;
	count = of_one_day(profiles, count);
	note_pause(store, profiles, count);
	r = history_writer_put(&store->writer, profiles, count, &why);
	if (r == -EBADMSG) {
		char day[HISTORY_DAY_MAX];

		memcpy(day, store->day, sizeof(day));
		close_day(store);
		r = set_aside(store, day, why.text);
		if (!r)
			r = history_store_want_day(store, profiles[0]->start_ns, &why);
		if (!r)
			r = history_writer_put(&store->writer, profiles, count, &why);
	}
	if (r)
		return error_set(error, r, "%s", why.text);
	for (size_t i = 0; i < count; i++)
		note_put(store, profiles[i]);
	*ret_count = count;
	return 0;
}

int history_store_gap(struct history_store *store, uint64_t start_ns, uint64_t end_ns,
		      const char *reason, struct error *error)
{
	int r = history_store_want_day(store, start_ns, error);

	return r ? r : history_writer_gap(&store->writer, start_ns, end_ns, reason, error);
}

/* ---- reading ---- */

typedef int day_fn(void *context, sqlite3 *db, struct error *error);

/* Calls `each` for a day's database; the one that is written to is used as it is. */
static int with_day(struct history_store *store, const char *day, day_fn *each, void *context,
		    struct error *error)
{
	_cleanup_database_ sqlite3 *db = NULL;
	char path[PATH_SIZE];
	int r;

	if (!strcmp(day, store->day))
		return each(context, store->writer.db, error);
	day_path(store, day, path);
	r = history_database_open(path, HISTORY_DATABASE_READ, error, &db);
	return r ? r : each(context, db, error);
}

/* Days whose windows may overlap: a window lies in the day in which it begins. */
static int each_day(struct history_store *store, const struct history_query *query, day_fn *each,
		    void *context, struct error *error, uint32_t *ret_damaged)
{
	_cleanup_(history_days_deinit) struct history_days days = {0};
	char first[HISTORY_DAY_MAX], last[HISTORY_DAY_MAX];
	uint64_t since = query->since_ns > WINDOW_MAX_NS ? query->since_ns - WINDOW_MAX_NS : 0;
	int r = history_days_list(store->folder, &days);

	if (r)
		return error_set(error, r, "%s: %s", store->folder, strerror(-r));
	history_day_of(since, first);
	history_day_of(query->until_ns < INT64_MAX ? query->until_ns : INT64_MAX, last);
	for (size_t i = 0; i < days.names.count; i++) {
		const char *day = days.names.items[i].text;

		if (strcmp(day, first) < 0 || strcmp(day, last) > 0)
			continue;
		r = with_day(store, day, each, context, error);
		if (!r || r == -ENODATA)
			continue;
		if (r != -EBADMSG && r != -EPROTONOSUPPORT)
			return r;
		if (error)
			log_warning("history: passed over: %s", error->text);
		++*ret_damaged;
	}
	return 0;
}

static int read_day(void *context, sqlite3 *db, struct error *error)
{
	return history_day_read(db, context, error);
}

int history_store_read(struct history_store *store, struct history_reader *reader,
		       struct error *error)
{
	uint32_t damaged = 0;
	int r = each_day(store, &reader->query, read_day, reader, error, &damaged);

	if (!r && damaged &&
	    profile_add_count(reader->profile, "history_damaged",
			      "days of the history could not be read, or not as a whole", damaged,
			      0))
		r = error_set(error, -ENOMEM, "history: no memory for the answer");
	return r;
}

struct listing {
	const struct history_query *query;
	json_t *rows;
	history_list_fn *list;
};

static int list_day(void *context, sqlite3 *db, struct error *error)
{
	struct listing *listing = context;

	return listing->list(db, listing->query, listing->rows, error);
}

int history_store_list(struct history_store *store, const struct history_query *query,
		       history_list_fn *list, struct error *error, json_t **ret)
{
	struct listing listing = {.query = query, .rows = json_array(), .list = list};
	uint32_t damaged = 0;
	int r = listing.rows ? each_day(store, query, list_day, &listing, error, &damaged)
			     : error_set(error, -ENOMEM, "history: no memory for the list");

	if (r) {
		json_decref(listing.rows);
		return r;
	}
	*ret = json_pack("{s:o, s:i}", "rows", listing.rows, "damaged_days", (int)damaged);
	return *ret ? 0 : error_set(error, -ENOMEM, "history: no memory for the list");
}

uint64_t history_store_oldest(const struct history_store *store)
{
	_cleanup_(history_days_deinit) struct history_days days = {0};

	return history_days_list(store->folder, &days) ? 0 : history_days_first(&days);
}

/* ---- tidying ---- */

static void remove_day(struct history_store *store, const char *day)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char path[PATH_SIZE + 8];

	if (!strcmp(day, store->day))
		close_day(store);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s" SUFFIX "%s", store->folder, day, suffixes[i]);
		unlink(path);
	}
	store->stats.days_removed++;
}

/* The clock by which things grow old: what it said when windows were first written, and
 * the time that has passed since. A wall clock that leaps ahead ages nothing. */
static uint64_t age_clock(struct history_store *store, uint64_t now_ns)
{
	uint64_t boot = clock_boot_ns(), by_boot;

	if (!store->clock_ns) {
		store->clock_ns = now_ns;
		store->clock_boot_ns = boot;
	}
	by_boot = store->clock_ns + (boot - store->clock_boot_ns);
	return now_ns < by_boot ? now_ns : by_boot;
}

static uint64_t all_bytes(const struct history_store *store, const struct history_days *days)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < days->names.count; i++) {
		char path[PATH_SIZE];

		day_path(store, days->names.items[i].text, path);
		bytes += history_database_bytes(path);
	}
	return bytes;
}

/* Of the day that is written to: the oldest windows make room. */
static int remove_windows(struct history_store *store, struct error *error)
{
	sqlite3 *db = store->writer.db;
	char sql[256];
	int r;

	snprintf(sql, sizeof(sql),
		 "CREATE TEMP TABLE gone AS SELECT id FROM window ORDER BY start_ns LIMIT %d",
		 REMOVED_AT_ONCE);
	r = history_database_run(db, sql, error);
	if (r)
		return r;
	r = history_database_run(db,
				 "BEGIN IMMEDIATE;"
				 "DELETE FROM profile WHERE window IN gone;"
				 "DELETE FROM count WHERE window IN gone;"
				 "DELETE FROM mark WHERE window IN gone;"
				 "DELETE FROM points WHERE window IN gone;"
				 "DELETE FROM window WHERE id IN gone;"
				 "COMMIT",
				 error);
	if (r)
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	else
		store->stats.windows_removed += (uint64_t)sqlite3_changes64(db);
	sqlite3_exec(db, "DROP TABLE temp.gone", NULL, NULL, NULL);
	if (!r)
		r = history_database_run(
			db, "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)", error);
	return r;
}

static int make_room(struct history_store *store, const struct history_days *days,
		     struct error *error, bool *ret_more)
{
	const char *oldest = days->names.count ? days->names.items[0].text : NULL;
	uint64_t removed = store->stats.windows_removed;
	int r;

	store->stats.bytes = all_bytes(store, days);
	if (store->stats.bytes <= store->options.limit || !oldest)
		return 0;
	if (strcmp(oldest, store->day)) {
		remove_day(store, oldest);
		*ret_more = true;
		return 0;
	}
	/* The log may be what takes the room. */
	r = history_database_run(store->writer.db, "PRAGMA wal_checkpoint(TRUNCATE)", error);
	store->stats.bytes = all_bytes(store, days);
	if (r || store->stats.bytes <= store->options.limit)
		return r;
	*ret_more = true;
	r = remove_windows(store, error);
	/* What is left is names and stacks: only a new beginning helps. */
	if (!r && store->stats.windows_removed == removed)
		remove_day(store, oldest);
	return r;
}

static bool too_old(const struct history_store *store, const char *day, uint64_t clock_ns)
{
	char oldest[HISTORY_DAY_MAX];

	if (store->options.keep_ns >= clock_ns)
		return false;
	history_day_of(clock_ns - store->options.keep_ns, oldest);
	return strcmp(day, oldest) < 0;
}

static int rollup_writer(struct history_store *store, uint64_t now_ns, struct error *error,
			 bool *ret_more)
{
	return history_rollup(store->writer.db, &store->options.ages, now_ns, GROUPS_AT_ONCE, error,
			      ret_more);
}

/* A day that is over: summed up as it gets older, then packed tight. */
static int rollup_old(struct history_store *store, const char *day, uint64_t clock_ns,
		      struct error *error, bool *ret_more)
{
	_cleanup_database_ sqlite3 *db = NULL;
	char path[PATH_SIZE];
	int r;

	day_path(store, day, path);
	r = history_database_open(path, HISTORY_DATABASE_WRITE, error, &db);
	if (r == -EBADMSG)
		return set_aside(store, day, error ? error->text : path);
	if (r)
		return r;
	r = history_rollup(db, &store->options.ages, clock_ns, GROUPS_AT_ONCE, error, ret_more);
	if (!r && !*ret_more)
		r = history_database_run(
			db, "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)", error);
	return r;
}

/* The last moment of a day that is old enough for the widest windows. */
static bool all_wide(const struct history_store *store, const char *day, uint64_t clock_ns)
{
	char border[HISTORY_DAY_MAX];
	uint64_t age = store->options.ages.hour_ns + 24 * WINDOW_MAX_NS;

	if (age >= clock_ns)
		return false;
	history_day_of(clock_ns - age, border);
	return strcmp(day, border) < 0;
}

static int rollup_days(struct history_store *store, const struct history_days *days,
		       uint64_t clock_ns, struct error *error, bool *ret_more)
{
	int r = 0;

	for (size_t i = 0; !r && !*ret_more && i < days->names.count; i++) {
		const char *day = days->names.items[i].text;

		if (!strcmp(day, store->day))
			r = rollup_writer(store, clock_ns, error, ret_more);
		else if (strcmp(day, store->tidied) > 0)
			r = rollup_old(store, day, clock_ns, error, ret_more);
		if (!r && !*ret_more && all_wide(store, day, clock_ns))
			memcpy(store->tidied, day, sizeof(store->tidied));
	}
	return r;
}

int history_store_tidy(struct history_store *store, uint64_t now_ns, struct error *error,
		       bool *ret_more)
{
	_cleanup_(history_days_deinit) struct history_days days = {0};
	uint64_t clock_ns = age_clock(store, now_ns);
	int r = history_days_list(store->folder, &days);

	*ret_more = false;
	if (r)
		return error_set(error, r, "%s: %s", store->folder, strerror(-r));
	store->stats.days = days.names.count;
	store->stats.oldest_ns = history_days_first(&days);
	if (days.names.count && too_old(store, days.names.items[0].text, clock_ns)) {
		remove_day(store, days.names.items[0].text);
		*ret_more = true;
		return 0;
	}
	r = rollup_days(store, &days, now_ns, error, ret_more);
	return r ? r : make_room(store, &days, error, ret_more);
}
