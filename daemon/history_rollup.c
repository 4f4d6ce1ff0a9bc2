/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_rollup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/vec.h"
#include "daemon/history_window.h"

/* Windows of one event that begin within one step of the grid. */
struct group {
	int64_t event, slot; /* slot: start / step */
	uint32_t width, default_value;
};

/* "samples/count,cpu/nanoseconds": 2. */
static uint32_t width_of(const char *types)
{
	uint32_t width = 1;

	for (; *types; types++)
		width += *types == ',';
	return width <= PROFILE_VALUES_MAX ? width : PROFILE_VALUES_MAX;
}

/* The oldest groups that ended before `cutoff`: each whole, for windows are taken in the
 * order of time. */
static int find_groups(sqlite3 *db, uint64_t step, uint64_t cutoff, uint32_t max, void *into,
		       struct error *error)
{
	VEC(struct group) *groups = into;
	_cleanup_borrowed_ sqlite3_stmt *select = NULL;
	int result, r = history_database_borrow(
			    db,
			    "SELECT w.event, w.start_ns / ?1 AS slot, e.types, e.default_type"
			    " FROM window w JOIN event e ON e.id = w.event"
			    " WHERE w.step_ns < ?1 AND (w.start_ns / ?1 + 1) * ?1 <= ?2"
			    " GROUP BY w.event, slot ORDER BY slot LIMIT ?3",
			    error, &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, (int64_t)step);
	sqlite3_bind_int64(select, 2, (int64_t)cutoff);
	sqlite3_bind_int64(select, 3, max);
	while ((result = sqlite3_step(select)) == SQLITE_ROW) {
		struct group group = {
			.event = sqlite3_column_int64(select, 0),
			.slot = sqlite3_column_int64(select, 1),
			.width = width_of((const char *)sqlite3_column_text(select, 2)),
			.default_value = (uint32_t)sqlite3_column_int64(select, 3),
		};

		if (vec_push(groups, group))
			return error_set(error, -ENOMEM, "history: out of memory");
	}
	return result == SQLITE_DONE ? 0 : history_database_error(db, "cannot be read", error);
}

/* A wide one of the same step too: it may have been summed before the last of its
 * windows came (the clock was set back). */
static int windows_of(sqlite3 *db, const struct group *group, uint64_t step, void *into,
		      struct error *error)
{
	VEC(int64_t) *rows = into;
	_cleanup_borrowed_ sqlite3_stmt *select = NULL;
	int result, r = history_database_borrow(db,
						"SELECT id FROM window WHERE event = ?1"
						" AND start_ns >= ?2 AND start_ns < ?3"
						" AND step_ns <= ?4 ORDER BY start_ns",
						error, &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, group->event);
	sqlite3_bind_int64(select, 2, group->slot * (int64_t)step);
	sqlite3_bind_int64(select, 3, (group->slot + 1) * (int64_t)step);
	sqlite3_bind_int64(select, 4, (int64_t)step);
	while ((result = sqlite3_step(select)) == SQLITE_ROW)
		if (vec_push(rows, sqlite3_column_int64(select, 0)))
			return error_set(error, -ENOMEM, "history: out of memory");
	return result == SQLITE_DONE ? 0 : history_database_error(db, "cannot be read", error);
}

static int sum_rows(sqlite3 *db, const struct group *group, uint64_t step, struct error *error)
{
	_cleanup_(history_window_deinit) struct history_window window = {
		.event = group->event,
		.width = group->width,
		.default_value = group->default_value,
		.step_ns = step,
	};
	VEC(int64_t) rows = {0};
	int r = windows_of(db, group, step, &rows, error);

	for (size_t i = 0; !r && i < rows.count; i++)
		r = history_window_add(&window, db, rows.items[i], error);
	for (size_t i = 0; !r && i < rows.count; i++)
		r = history_window_remove(db, rows.items[i], error);
	vec_free(&rows);
	return r ? r : history_window_write(&window, db, error);
}

/* In one transaction: neighbours lie on the same pages. */
static int sum_together(sqlite3 *db, const struct group *groups, size_t count, uint64_t step,
			struct error *error)
{
	int r = history_database_repeat(db, "BEGIN IMMEDIATE", error);

	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++)
		r = sum_rows(db, &groups[i], step, error);
	if (!r)
		r = history_database_repeat(db, "COMMIT", error);
	if (r)
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

/* One that cannot be read, or has no room, does not keep those before it from being summed. */
static int sum_groups(sqlite3 *db, const struct group *groups, size_t count, uint64_t step,
		      struct error *error)
{
	int r = count ? sum_together(db, groups, count, step, error) : 0;

	if (!r || count == 1)
		return r;
	for (size_t i = 0; i < count; i++) {
		r = sum_together(db, &groups[i], 1, step, error);
		if (r)
			return r;
	}
	return 0;
}

int history_rollup(sqlite3 *db, const struct history_ages *ages, uint64_t now_ns,
		   uint32_t groups_max, struct error *error, bool *ret_more)
{
	const struct {
		uint64_t age, step;
	} steps[] = {
		{ages->ten_seconds_ns, 10 * NSEC_PER_SEC},
		{ages->minute_ns, 60 * NSEC_PER_SEC},
		{ages->hour_ns, 3600 * NSEC_PER_SEC},
	};
	uint32_t done = 0;

	*ret_more = false;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		VEC(struct group) groups = {0};
		int r = 0;

		if (steps[i].age >= now_ns)
			continue;
		r = find_groups(db, steps[i].step, now_ns - steps[i].age, groups_max - done,
				&groups, error);
		if (!r)
			r = sum_groups(db, groups.items, groups.count, steps[i].step, error);
		done += (uint32_t)groups.count;
		vec_free(&groups);
		if (r)
			return r;
		if (done >= groups_max) {
			*ret_more = true;
			return 0;
		}
	}
	return 0;
}
