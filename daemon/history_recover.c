/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A store's windows that are in no database yet: noted, and found again.
 */
#include <inttypes.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/history_store.h"
#include "daemon/history_window.h"

int history_store_note(struct history_store *store, struct profile *const *profiles, size_t count)
{
	return history_journal_append(&store->journal, profiles, count);
}

void history_store_settle(struct history_store *store)
{
	history_journal_clear(&store->journal);
}

/* Its writer may have been killed between the one and the other. */
static bool is_there(struct history_store *store, const struct profile *profile)
{
	_cleanup_statement_ sqlite3_stmt *select = NULL;
	const char *event = profile_text(profile, profile->event);

	if (history_store_want_day(store, profile->start_ns, NULL) ||
	    history_database_prepare(store->writer.db,
				     "SELECT 1 FROM window w JOIN event e ON e.id = w.event"
				     " WHERE e.name = ? AND w.start_ns BETWEEN ? AND ?"
				     " AND w.end_ns = ?",
				     NULL, &select))
		return false;
	sqlite3_bind_text(select, 1, event, -1, SQLITE_STATIC);
	sqlite3_bind_int64(select, 2, (int64_t)profile->start_ns);
	sqlite3_bind_int64(select, 3, (int64_t)profile->start_ns + HISTORY_SAME_START_MAX);
	sqlite3_bind_int64(select, 4, (int64_t)(profile->start_ns + profile->duration_ns));
	return sqlite3_step(select) == SQLITE_ROW;
}

struct recovery {
	struct history_store *store;
	history_recovered_fn *each;
	void *context;
};

static void recover_one(void *context, struct profile *profile, bool behind_damage)
{
	const struct recovery *recovery = context;
	struct history_store *store = recovery->store;
	uint64_t end = profile->start_ns + profile->duration_ns;

	/* Where windows of other events are left of that time, these have no gap. */
	if (behind_damage && store->before_ns && profile->start_ns > store->before_ns)
		history_store_gap(store, store->before_ns, profile->start_ns,
				  "the journal was damaged", NULL);
	if (end > store->before_ns)
		store->before_ns = end;
	if (is_there(store, profile))
		profile_destroy(profile);
	else
		recovery->each(recovery->context, profile);
}

void history_store_recover(struct history_store *store, history_recovered_fn *each, void *context)
{
	struct recovery recovery = {.store = store, .each = each, .context = context};
	struct history_journal_lost *lost = &store->stats.journal_lost;

	history_journal_read(&store->journal, recover_one, &recovery, lost);
	if (lost->places)
		log_warning("history: of the last seconds before perfd ended some are lost: "
			    "%s/" HISTORY_JOURNAL_NAME ": %s (places: %" PRIu64 ", bytes: %" PRIu64
			    " of %" PRIu64 ")",
			    store->folder, lost->first.text, lost->places, lost->bytes,
			    store->journal.length);
}
