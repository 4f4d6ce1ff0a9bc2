/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The history on disk: a folder with a database a day (UTC), named by the day
 * ("2026-11-27.db"), so that forgetting a day is removing its files. A folder has one
 * perfd at a time (a lock on it); others may read.
 *
 * What is damaged is never read again and never written over: it is renamed
 * ("….damaged-1"), counted, and a new database begins.
 *
 * What is kept: `keep_ns` back, and at most `limit` bytes; the oldest day goes first, of
 * the present day the oldest windows. Age is measured from what the clock said while
 * windows were written, so that a clock set ahead removes nothing.
 *
 * Blocks on the disk: see history.h for who calls it.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "daemon/history_days.h"
#include "daemon/history_journal.h"
#include "daemon/history_list.h"
#include "daemon/history_query.h"
#include "daemon/history_reader.h"
#include "daemon/history_rollup.h"
#include "daemon/history_writer.h"

struct history_store_options {
	const char *folder; /* copied */
	uint64_t limit; /* bytes on disk */
	uint64_t keep_ns;
	struct history_ages ages;
};

struct history_store_stats {
	uint64_t windows; /* written */
	uint64_t stored_until_ns; /* end of the newest that is there (CLOCK_REALTIME) */
	uint64_t bytes; /* on disk, as last looked at */
	uint64_t days; /* databases */
	uint64_t oldest_ns; /* beginning of the first of them (CLOCK_REALTIME); 0: none */
	uint64_t days_removed, windows_removed; /* for their age, or for room */
	uint64_t damaged; /* databases set aside */
	struct history_journal_lost journal_lost; /* what an earlier perfd left, when we began */
};

struct history_store {
	char folder[256];
	int lock;
	struct history_store_options options;
	struct history_writer writer; /* of `day` */
	char day[HISTORY_DAY_MAX]; /* "": none is open */
	char tidied[HISTORY_DAY_MAX]; /* days up to here need no more summing up */
	struct history_journal journal;
	bool begun; /* a window of ours was written */
	uint64_t before_ns; /* end of the newest of whoever wrote here before (CLOCK_REALTIME) */
	uint64_t clock_ns, clock_boot_ns; /* a moment of writing: the age's clock */
	struct history_store_stats stats;
};

/* The profile is the callee's. */
typedef void history_recovered_fn(void *context, struct profile *profile);

/* Makes the folder (0700, not those above it). -EBUSY: another perfd has it; the text says
 * how to mend what is wrong. */
int history_store_open(struct history_store *store, const struct history_store_options *options,
		       struct error *error);
void history_store_close(struct history_store *store);
/* Adds windows (one at the least): the first, and as many of those after it as begin in the same
 * day, all or none. Errors as history_writer_put() has them; a damaged database is not among them,
 * for a new one takes its place. */
int history_store_put(struct history_store *store, struct profile *const *profiles, size_t count,
		      struct error *error, size_t *ret_count);
/* Windows that are to be put in later, together, outlive us from now on. 0 or -errno: then they do
 * not. */
int history_store_note(struct history_store *store, struct profile *const *profiles, size_t count);
/* All that were noted have been put in, or are given up. */
void history_store_settle(struct history_store *store);
/* What was noted before this store was opened and is in no database: to be put in. What cannot be
 * read is counted, and a gap where that time has no window. */
void history_store_recover(struct history_store *store, history_recovered_fn *each, void *context);
/* Has the writer be one for that day. */
int history_store_want_day(struct history_store *store, uint64_t time_ns, struct error *error);
int history_store_gap(struct history_store *store, uint64_t start_ns, uint64_t end_ns,
		      const char *reason, struct error *error);
/* Adds all that the query asks for to the reader. Days that are damaged are passed over
 * and counted in its profile. */
int history_store_read(struct history_store *store, struct history_reader *reader,
		       struct error *error);
/* {"rows": what `list` puts there of all days, "damaged_days": n}; a new reference. */
int history_store_list(struct history_store *store, const struct history_query *query,
		       history_list_fn *list, struct error *error, json_t **ret);
/* The beginning of the first day that is kept (CLOCK_REALTIME); 0: none. */
uint64_t history_store_oldest(const struct history_store *store);
/* Sums up and forgets a piece of what is due; *ret_more: call again soon. */
int history_store_tidy(struct history_store *store, uint64_t now_ns, struct error *error,
		       bool *ret_more);
