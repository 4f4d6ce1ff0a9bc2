/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Writes profiles into a database of the history: each becomes a window. Those that are written
 * together are one transaction, so that they are there as a whole or not at all.
 */
#pragma once

#include <stdint.h>

#include "daemon/history_dictionary.h"
#include "flamegraph/profile.h"

/* Tables in which a thing has one row. */
enum history_table {
	HISTORY_STRINGS,
	HISTORY_FRAMES,
	HISTORY_STACKS,
	HISTORY_SERVICES,
	HISTORY_PROCESSES,
	HISTORY_EVENTS,
	HISTORY_SERIES,
	HISTORY_TABLE_COUNT
};

struct history_writer {
	sqlite3 *db; /* the writer's */
	struct history_dictionary tables[HISTORY_TABLE_COUNT];
	sqlite3_stmt *end_process;
};

/* Takes the database over, on an error too. */
int history_writer_init(struct history_writer *writer, sqlite3 *db, struct error *error);
void history_writer_deinit(struct history_writer *writer);
/* Adds windows: a profile lies between its start_ns and start_ns + duration_ns
 * (CLOCK_REALTIME). -ENOSPC, -EROFS, -EIO, -EBADMSG (the database is damaged), -ENOMEM:
 * nothing of them has been written. */
int history_writer_put(struct history_writer *writer, struct profile *const *profiles, size_t count,
		       struct error *error);
/* Notes that nothing was recorded between two moments, and why. */
int history_writer_gap(struct history_writer *writer, uint64_t start_ns, uint64_t end_ns,
		       const char *reason, struct error *error);
