/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_database.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"

#define BUSY_MS 5000 /* somebody's sqlite3 may hold it for a moment */

/* Times are CLOCK_REALTIME nanoseconds. Rows refer to others by their ids. A window's
 * step is 0 as long as it is as it was taken, else the width it was summed to. */
static const char schema[] =
	"CREATE TABLE string(id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, text TEXT NOT NULL);"
	"CREATE INDEX string_by_hash ON string(hash);"
	"CREATE TABLE frame(id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, name INTEGER NOT NULL,"
	" module INTEGER NOT NULL, file INTEGER NOT NULL, line INTEGER NOT NULL,"
	" address INTEGER NOT NULL, kind INTEGER NOT NULL);"
	"CREATE INDEX frame_by_hash ON frame(hash);"
	"CREATE TABLE stack(id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, frames BLOB NOT NULL);"
	"CREATE INDEX stack_by_hash ON stack(hash);"
	"CREATE TABLE service(id INTEGER PRIMARY KEY, comm TEXT NOT NULL, cgroup TEXT NOT NULL,"
	" unit TEXT NOT NULL, container TEXT NOT NULL, UNIQUE(comm, cgroup));"
	"CREATE TABLE process(id INTEGER PRIMARY KEY, pid INTEGER NOT NULL, ppid INTEGER NOT NULL,"
	" birth_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, service INTEGER NOT NULL,"
	" UNIQUE(pid, birth_ns, service));"
	"CREATE TABLE event(id INTEGER PRIMARY KEY, name TEXT NOT NULL, types TEXT NOT NULL,"
	" default_type INTEGER NOT NULL, UNIQUE(name, types));"
	"CREATE TABLE window(id INTEGER PRIMARY KEY, start_ns INTEGER NOT NULL,"
	" end_ns INTEGER NOT NULL, step_ns INTEGER NOT NULL, event INTEGER NOT NULL,"
	" host TEXT NOT NULL, frequency_hz INTEGER NOT NULL, samples INTEGER NOT NULL,"
	" weight INTEGER NOT NULL, UNIQUE(event, start_ns, step_ns));"
	"CREATE TABLE profile(id INTEGER PRIMARY KEY, window INTEGER NOT NULL,"
	" service INTEGER NOT NULL, samples INTEGER NOT NULL, weight INTEGER NOT NULL,"
	" entries BLOB NOT NULL, UNIQUE(window, service));"
	"CREATE TABLE count(id INTEGER PRIMARY KEY, window INTEGER NOT NULL, key TEXT NOT NULL,"
	" text TEXT NOT NULL, count INTEGER NOT NULL, is_loss INTEGER NOT NULL);"
	"CREATE INDEX count_by_window ON count(window);"
	"CREATE TABLE series(id INTEGER PRIMARY KEY, name TEXT NOT NULL, unit TEXT NOT NULL,"
	" grp TEXT NOT NULL, kind INTEGER NOT NULL, process INTEGER NOT NULL,"
	" UNIQUE(name, unit, grp, kind, process));"
	"CREATE TABLE points(window INTEGER PRIMARY KEY, series BLOB NOT NULL);"
	"CREATE TABLE mark(id INTEGER PRIMARY KEY, window INTEGER NOT NULL, at_ns INTEGER NOT NULL,"
	" key TEXT NOT NULL, text TEXT NOT NULL, value INTEGER NOT NULL);"
	"CREATE INDEX mark_by_window ON mark(window);"
	"CREATE TABLE gap(start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, reason TEXT NOT "
	"NULL);"
	"CREATE VIEW windows AS SELECT w.id,"
	" strftime('%Y-%m-%dT%H:%M:%fZ', w.start_ns / 1e9, 'unixepoch') AS start,"
	" strftime('%Y-%m-%dT%H:%M:%fZ', w.end_ns / 1e9, 'unixepoch') AS \"end\","
	" (w.end_ns - w.start_ns) / 1e9 AS seconds, e.name AS event, w.host, w.frequency_hz,"
	" w.samples, w.weight FROM window w JOIN event e ON e.id = w.event;"
	"CREATE VIEW services AS SELECT s.comm, s.unit, s.container, s.cgroup, e.name AS event,"
	" strftime('%Y-%m-%dT%H:00Z', w.start_ns / 1e9, 'unixepoch') AS hour,"
	" sum(p.samples) AS samples, sum(p.weight) AS weight"
	" FROM profile p JOIN service s ON s.id = p.service JOIN window w ON w.id = p.window"
	" JOIN event e ON e.id = w.event GROUP BY p.service, w.event, hour;"
	"CREATE VIEW losses AS SELECT"
	" strftime('%Y-%m-%dT%H:%M:%fZ', w.start_ns / 1e9, 'unixepoch') AS start,"
	" c.key, c.text, c.count FROM count c JOIN window w ON w.id = c.window WHERE c.is_loss;"
	"CREATE VIEW marks AS SELECT"
	" strftime('%Y-%m-%dT%H:%M:%fZ', at_ns / 1e9, 'unixepoch') AS at, key, text, value FROM "
	"mark;"
	"CREATE VIEW gaps AS SELECT"
	" strftime('%Y-%m-%dT%H:%M:%fZ', start_ns / 1e9, 'unixepoch') AS start,"
	" strftime('%Y-%m-%dT%H:%M:%fZ', end_ns / 1e9, 'unixepoch') AS \"end\", reason FROM gap;";

static const struct {
	int sqlite, code;
} codes[] = {
	{SQLITE_NOMEM, -ENOMEM},    {SQLITE_FULL, -ENOSPC},    {SQLITE_READONLY, -EROFS},
	{SQLITE_CORRUPT, -EBADMSG}, {SQLITE_NOTADB, -EBADMSG}, {SQLITE_BUSY, -EBUSY},
	{SQLITE_LOCKED, -EBUSY},    {SQLITE_PERM, -EACCES},    {SQLITE_AUTH, -EACCES},
	{SQLITE_CANTOPEN, -EACCES}, {SQLITE_TOOBIG, -EFBIG},   {SQLITE_CONSTRAINT, -EEXIST},
	{SQLITE_INTERRUPT, -EINTR},
};

static int code_of(sqlite3 *db)
{
	int failed = db ? sqlite3_errcode(db) & 0xff : SQLITE_NOMEM;

	/* An input or output error of a full disk, as some file systems tell it. */
	if (failed == SQLITE_IOERR && db && sqlite3_system_errno(db) == ENOSPC)
		return -ENOSPC;
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].sqlite == failed)
			return codes[i].code;
	return -EIO;
}

int history_database_error(sqlite3 *db, const char *what, struct error *error)
{
	int code = code_of(db);
	const char *path = db ? sqlite3_db_filename(db, "main") : NULL;

	return error_set(error, code, "%s: %s: %s", path && *path ? path : "history", what,
			 db ? sqlite3_errmsg(db) : "out of memory");
}

int history_database_run(sqlite3 *db, const char *sql, struct error *error)
{
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		return history_database_error(db, sql, error);
	return 0;
}

int history_database_prepare(sqlite3 *db, const char *sql, struct error *error, sqlite3_stmt **ret)
{
	if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret, NULL) != SQLITE_OK)
		return history_database_error(db, sql, error);
	return 0;
}

void history_database_close(sqlite3 *db)
{
	sqlite3_stmt *statement;

	while (db && (statement = sqlite3_next_stmt(db, NULL)))
		sqlite3_finalize(statement);
	sqlite3_close(db);
}

int history_database_borrow(sqlite3 *db, const char *sql, struct error *error, sqlite3_stmt **ret)
{
	for (sqlite3_stmt *at = sqlite3_next_stmt(db, NULL); at; at = sqlite3_next_stmt(db, at)) {
		if (strcmp(sqlite3_sql(at), sql) != 0)
			continue;
		*ret = at;
		return 0;
	}
	return history_database_prepare(db, sql, error, ret);
}

int history_database_repeat(sqlite3 *db, const char *sql, struct error *error)
{
	sqlite3_stmt *statement;
	int r = history_database_borrow(db, sql, error, &statement);

	return r ? r : history_database_step(statement, error);
}

int history_database_step(sqlite3_stmt *statement, struct error *error)
{
	sqlite3 *db = sqlite3_db_handle(statement);
	int step = sqlite3_step(statement), r = 0;

	if (step != SQLITE_DONE)
		r = history_database_error(db, "cannot be written", error);
	sqlite3_reset(statement);
	return r;
}

/* The one number that a statement gives. */
static int get_number(sqlite3 *db, const char *sql, struct error *error, int64_t *ret)
{
	_cleanup_statement_ sqlite3_stmt *statement = NULL;
	int r = history_database_prepare(db, sql, error, &statement);

	if (r)
		return r;
	if (sqlite3_step(statement) != SQLITE_ROW)
		return history_database_error(db, sql, error);
	*ret = sqlite3_column_int64(statement, 0);
	return 0;
}

static int make_tables(sqlite3 *db, struct error *error)
{
	char version[128];
	int r;

	snprintf(version, sizeof(version), "PRAGMA application_id=%d; PRAGMA user_version=%d;",
		 HISTORY_APPLICATION_ID, HISTORY_SCHEMA_VERSION);
	r = history_database_run(db, "BEGIN IMMEDIATE", error);
	if (!r)
		r = history_database_run(db, schema, error);
	if (!r)
		r = history_database_run(db, version, error);
	if (!r)
		r = history_database_run(db, "COMMIT", error);
	if (r)
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

/* Steps from a version to the next: none yet, the first has to be written when the
 * tables change. */
static int check_version(sqlite3 *db, const char *path, enum history_database_use use,
			 struct error *error)
{
	int64_t version = 0, application = 0, tables = 0;
	int r = get_number(db, "PRAGMA user_version", error, &version);

	if (!r)
		r = get_number(db, "PRAGMA application_id", error, &application);
	if (!r)
		r = get_number(db, "SELECT count(*) FROM sqlite_master", error, &tables);
	if (r)
		return r;
	if (!version && !application && !tables)
		return use == HISTORY_DATABASE_WRITE
			       ? make_tables(db, error)
			       : error_set(error, -ENODATA, "%s is empty", path);
	if (application != HISTORY_APPLICATION_ID)
		return error_set(error, -EBADMSG, "%s is another program's database", path);
	if (version > HISTORY_SCHEMA_VERSION)
		return error_set(error, -EPROTONOSUPPORT,
				 "%s is of a newer perfd (its tables are version %lld, this perfd "
				 "knows %d): it is left alone; move it away, or use that perfd",
				 path, (long long)version, HISTORY_SCHEMA_VERSION);
	return 0;
}

static int set_up(sqlite3 *db, const char *path, enum history_database_use use, struct error *error)
{
	/* auto_vacuum takes effect in a new file only: so that removed windows give their
	 * room back. */
	const char *how = use == HISTORY_DATABASE_WRITE
				  ? "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;"
				    "PRAGMA synchronous=NORMAL; PRAGMA journal_size_limit=4194304"
				  : "PRAGMA query_only=ON";
	int r;

	sqlite3_busy_timeout(db, BUSY_MS);
	r = history_database_run(db, "PRAGMA temp_store=MEMORY", error);
	if (!r)
		r = history_database_run(db, how, error);
	return r ? r : check_version(db, path, use, error);
}

static int open_with(const char *path, int flags, struct error *error, sqlite3 **ret)
{
	_cleanup_database_ sqlite3 *db = NULL;
	int code;

	flags |= SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
	if (sqlite3_open_v2(path, &db, flags, NULL) == SQLITE_OK) {
		*ret = TAKE_PTR(db);
		return 0;
	}
	code = code_of(db);
	return error_set(error, code, "%s cannot be opened: %s", path,
			 db ? sqlite3_errmsg(db) : "out of memory");
}

/* On a read-only disk no file can be made beside it, as WAL mode wants; but nobody writes
 * there either. What only the log has (perfd was killed before) would be passed over in
 * silence, so with one it stays an error. */
static int open_immutable(const char *path, struct error *error, sqlite3 **ret)
{
	_cleanup_(strbuf_deinit) struct strbuf uri = {0}, log = {0};
	struct stat st;

	strbuf_printf(&log, "%s-wal", path);
	if (!access(path, W_OK) || errno != EROFS || (!stat(strbuf_text(&log), &st) && st.st_size))
		return -EINVAL;
	strbuf_puts(&uri, "file:");
	for (const char *c = path; *c; c++)
		strbuf_printf(&uri, strchr("?#%", *c) ? "%%%02x" : "%c", (unsigned char)*c);
	strbuf_puts(&uri, "?immutable=1");
	return open_with(strbuf_text(&uri), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, error, ret);
}

/* SQLite says only that it could not open something. */
static int why_not(const char *path, int r, struct error *error)
{
	char folder[4096];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash)
		*slash = '\0';
	if (!slash || !access(folder, W_OK) || errno != EROFS)
		return r;
	return error_set(error, -EROFS, "%s cannot be written: its file system is read-only", path);
}

int history_database_open(const char *path, enum history_database_use use, struct error *error,
			  sqlite3 **ret)
{
	_cleanup_database_ sqlite3 *db = NULL;
	int r = use == HISTORY_DATABASE_READ ? open_immutable(path, error, &db) : -EINVAL;

	if (r)
		r = open_with(path,
			      use == HISTORY_DATABASE_WRITE
				      ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
				      : SQLITE_OPEN_READWRITE,
			      error, &db);

	if (r && use == HISTORY_DATABASE_READ) /* of another user, or on a read-only disk */
		r = open_with(path, SQLITE_OPEN_READONLY, error, &db);
	if (!r)
		r = set_up(db, path, use, error);
	if (r)
		return use == HISTORY_DATABASE_WRITE ? why_not(path, r, error) : r;
	*ret = TAKE_PTR(db);
	return 0;
}

uint64_t history_database_bytes(const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	uint64_t bytes = 0;

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char name[4096];
		struct stat st;

		snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		if (!stat(name, &st))
			bytes += (uint64_t)st.st_blocks * 512;
	}
	return bytes;
}
