/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A window of the history in terms of one database's row ids: who used how much of one
 * event between two moments. Windows are taken a second long or so, and later summed to
 * longer ones; they are written and removed as a whole, within the caller's transaction.
 */
#pragma once

#include <stdint.h>

#include "daemon/history_database.h"
#include "daemon/history_entries.h"
#include "flamegraph/series.h"

/* Windows of an event that begin at one moment, each a nanosecond later than the one before. */
#define HISTORY_SAME_START_MAX 1000

/* One service's part. */
struct history_group {
	int64_t service; /* row id */
	struct history_entries entries;
};

struct history_count {
	char *key, *text; /* owned */
	uint64_t count;
	bool is_loss;
};

struct history_mark {
	uint64_t at_ns; /* CLOCK_REALTIME */
	char *key, *text; /* owned */
	uint64_t value;
};

struct history_window {
	uint64_t start_ns, end_ns; /* CLOCK_REALTIME */
	uint64_t step_ns; /* 0: as it was taken; else the width it was summed to */
	int64_t event; /* row id */
	uint32_t width; /* values an entry */
	uint32_t default_value; /* which of them is the weight */
	uint32_t frequency_hz; /* 0: unknown, or several */
	char host[256];
	VEC(struct history_group) groups;
	VEC(struct history_count) counts;
	VEC(struct history_mark) marks;
	struct series_list series; /* as history_times.h has them, from start_ns on */
	struct hashmap by_service; /* row id -> index into groups */
};

void history_window_deinit(struct history_window *window);
/* The entries of a service, made if there are none; NULL without memory. */
struct history_entries *history_window_group(struct history_window *window, int64_t service);
/* Adds to the count of that key. -ENOMEM. */
int history_window_count(struct history_window *window, const char *key, const char *text,
			 uint64_t count, bool is_loss);

/* -ENOMEM; marks above PROFILE_MARKS_MAX are dropped. */
int history_window_mark(struct history_window *window, uint64_t at_ns, const char *key,
			const char *text, uint64_t value);

/* Writes it as a new row. Where a window begins at the same moment already (the clock was
 * set back), it begins a nanosecond later. */
int history_window_write(struct history_window *window, sqlite3 *db, struct error *error);
/* Adds a window that lies in the database: times grow to hold both. The caller has set
 * event, width and default_value, which must be that window's. */
int history_window_add(struct history_window *window, sqlite3 *db, int64_t row,
		       struct error *error);
int history_window_remove(sqlite3 *db, int64_t row, struct error *error);
