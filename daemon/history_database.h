/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One database of the history: a SQLite file in WAL mode that holds the windows of a
 * day. This module makes it, checks that it is ours, whole and of a version we know, and
 * runs its statements; what the rows mean is the business of history_writer.h and
 * history_reader.h.
 *
 * Whoever has sqlite3 may read it (docs/history.md has the tables and views); stacks are
 * packed (history_entries.h).
 *
 * Durability: a transaction that was committed outlives the death of perfd at any
 * moment. A power cut may cost those since the last checkpoint, never the file
 * (sqlite.org/wal.html, synchronous=NORMAL).
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"

#define HISTORY_SCHEMA_VERSION 1
#define HISTORY_APPLICATION_ID 0x70667264 /* "pfrd", see SQLite's PRAGMA application_id */

enum history_database_use {
	HISTORY_DATABASE_WRITE, /* it is made, with its tables, if there is none */
	HISTORY_DATABASE_READ, /* what a writer that died left half done may be finished */
};

/* The handle is for one thread at a time. -EBADMSG: no database, or a damaged one;
 * -ENODATA: to be read, and nothing was written to it yet; -EPROTONOSUPPORT: of a newer
 * perfd; -EROFS, -ENOSPC, -EACCES, -EIO, -EBUSY; the text names the file. */
int history_database_open(const char *path, enum history_database_use use, struct error *error,
			  sqlite3 **ret);
/* With all statements of it. NULL is nothing. */
void history_database_close(sqlite3 *db);
static inline void cleanup_database(sqlite3 **db)
{
	history_database_close(*db);
}
#define _cleanup_database_ __attribute__((cleanup(cleanup_database)))
static inline void cleanup_statement(sqlite3_stmt **statement)
{
	sqlite3_finalize(*statement);
}
#define _cleanup_statement_ __attribute__((cleanup(cleanup_statement)))

/* The failure of the last call on the database as -errno, with a sentence that names
 * `what` was done and the file. */
int history_database_error(sqlite3 *db, const char *what, struct error *error);
/* Statements without results. */
int history_database_run(sqlite3 *db, const char *sql, struct error *error);
int history_database_prepare(sqlite3 *db, const char *sql, struct error *error, sqlite3_stmt **ret);
/* Likewise, for what is run again and again: the database keeps it, made ready, from one use to the
 * next (parsing one costs as much as running it). `sql` is a literal, and not used twice at once.
 */
int history_database_borrow(sqlite3 *db, const char *sql, struct error *error, sqlite3_stmt **ret);
static inline void cleanup_borrowed(sqlite3_stmt **statement)
{
	if (!*statement)
		return;
	sqlite3_reset(*statement);
	sqlite3_clear_bindings(*statement);
}
#define _cleanup_borrowed_ __attribute__((cleanup(cleanup_borrowed)))
/* Steps a borrowed one that gives no row. */
int history_database_repeat(sqlite3 *db, const char *sql, struct error *error);
/* Steps a statement that gives no row, and makes it ready for its next use. */
int history_database_step(sqlite3_stmt *statement, struct error *error);
/* Bytes that the file and its log take on the disk. */
uint64_t history_database_bytes(const char *path);
