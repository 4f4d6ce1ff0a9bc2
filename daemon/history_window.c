/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_window.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/history_times.h"
#include "flamegraph/profile.h"

void history_window_deinit(struct history_window *window)
{
	for (size_t i = 0; i < window->groups.count; i++)
		history_entries_deinit(&window->groups.items[i].entries);
	vec_free(&window->groups);
	for (size_t i = 0; i < window->counts.count; i++) {
		free(window->counts.items[i].key);
		free(window->counts.items[i].text);
	}
	vec_free(&window->counts);
	for (size_t i = 0; i < window->marks.count; i++) {
		free(window->marks.items[i].key);
		free(window->marks.items[i].text);
	}
	vec_free(&window->marks);
	series_list_deinit(&window->series);
	hashmap_deinit(&window->by_service);
}

struct history_entries *history_window_group(struct history_window *window, int64_t service)
{
	const uint64_t *found = hashmap_get(&window->by_service, (uint64_t)service);
	struct history_group group = {.service = service, .entries.width = window->width};

	if (found)
		return &window->groups.items[*found].entries;
	if (vec_push(&window->groups, group))
		return NULL;
	if (hashmap_put(&window->by_service, (uint64_t)service, window->groups.count - 1)) {
		window->groups.count--;
		return NULL;
	}
	return &window->groups.items[window->groups.count - 1].entries;
}

int history_window_count(struct history_window *window, const char *key, const char *text,
			 uint64_t count, bool is_loss)
{
	struct history_count add = {.count = count, .is_loss = is_loss};

	for (size_t i = 0; i < window->counts.count; i++) {
		if (strcmp(window->counts.items[i].key, key))
			continue;
		window->counts.items[i].count += count;
		return 0;
	}
	add.key = strdup(key);
	add.text = strdup(text);
	if (add.key && add.text && !vec_push(&window->counts, add))
		return 0;
	free(add.key);
	free(add.text);
	return -ENOMEM;
}

int history_window_mark(struct history_window *window, uint64_t at_ns, const char *key,
			const char *text, uint64_t value)
{
	struct history_mark add = {.at_ns = at_ns, .value = value};

	if (window->marks.count >= PROFILE_MARKS_MAX)
		return 0;
	add.key = strdup(key);
	add.text = strdup(text);
	if (add.key && add.text && !vec_push(&window->marks, add))
		return 0;
	free(add.key);
	free(add.text);
	return -ENOMEM;
}

/* ---- writing ---- */

struct sums {
	uint64_t samples, weight;
};

/* By convention the first value is the number of samples. */
static struct sums sum_up(const struct history_window *window,
			  const struct history_entries *entries)
{
	struct sums sums = {0};

	for (size_t i = 0; i < entries->values.count; i += entries->width) {
		sums.samples += entries->values.items[i];
		sums.weight += entries->values.items[i + window->default_value];
	}
	return sums;
}

static int write_head(struct history_window *window, sqlite3 *db, struct error *error,
		      int64_t *ret_row)
{
	_cleanup_borrowed_ sqlite3_stmt *insert = NULL;
	struct sums all = {0};
	int r = history_database_borrow(
		db,
		"INSERT INTO window(start_ns, end_ns, step_ns, event, host, frequency_hz, samples,"
		" weight) VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
		error, &insert);

	if (r)
		return r;
	for (size_t i = 0; i < window->groups.count; i++) {
		struct sums sums = sum_up(window, &window->groups.items[i].entries);

		all.samples += sums.samples;
		all.weight += sums.weight;
	}
	sqlite3_bind_int64(insert, 2, (int64_t)window->end_ns);
	sqlite3_bind_int64(insert, 3, (int64_t)window->step_ns);
	sqlite3_bind_int64(insert, 4, window->event);
	sqlite3_bind_text(insert, 5, window->host, -1, SQLITE_STATIC);
	sqlite3_bind_int64(insert, 6, window->frequency_hz);
	sqlite3_bind_int64(insert, 7, (int64_t)all.samples);
	sqlite3_bind_int64(insert, 8, (int64_t)all.weight);
	for (int i = 0; i < HISTORY_SAME_START_MAX; i++) {
		sqlite3_bind_int64(insert, 1, (int64_t)window->start_ns);
		r = history_database_step(insert, error);
		if (r != -EEXIST)
			break;
		window->start_ns++;
	}
	*ret_row = sqlite3_last_insert_rowid(db);
	return r;
}

static int write_group(const struct history_window *window, struct history_group *group,
		       sqlite3_stmt *insert, struct error *error)
{
	_cleanup_(strbuf_deinit) struct strbuf bytes = {0};
	struct sums sums = sum_up(window, &group->entries);
	int r = history_entries_encode(&group->entries, &bytes);

	if (r)
		return error_set(error, r, "history: no memory for a window");
	sqlite3_bind_int64(insert, 2, group->service);
	sqlite3_bind_int64(insert, 3, (int64_t)sums.samples);
	sqlite3_bind_int64(insert, 4, (int64_t)sums.weight);
	sqlite3_bind_blob64(insert, 5, bytes.data, bytes.length, SQLITE_STATIC);
	r = history_database_step(insert, error);
	sqlite3_bind_null(insert, 5);
	return r;
}

static int write_groups(struct history_window *window, sqlite3 *db, int64_t row,
			struct error *error)
{
	_cleanup_borrowed_ sqlite3_stmt *insert = NULL;
	int r = history_database_borrow(
		db,
		"INSERT INTO profile(window, service, samples, weight, entries)"
		" VALUES(?, ?, ?, ?, ?)",
		error, &insert);

	for (size_t i = 0; !r && i < window->groups.count; i++) {
		sqlite3_bind_int64(insert, 1, row);
		r = write_group(window, &window->groups.items[i], insert, error);
	}
	return r;
}

static int write_counts(const struct history_window *window, sqlite3 *db, int64_t row,
			struct error *error)
{
	_cleanup_borrowed_ sqlite3_stmt *insert = NULL;
	int r = history_database_borrow(
		db, "INSERT INTO count(window, key, text, count, is_loss) VALUES(?, ?, ?, ?, ?)",
		error, &insert);

	for (size_t i = 0; !r && i < window->counts.count; i++) {
		const struct history_count *count = &window->counts.items[i];

		sqlite3_bind_int64(insert, 1, row);
		sqlite3_bind_text(insert, 2, count->key, -1, SQLITE_STATIC);
		sqlite3_bind_text(insert, 3, count->text, -1, SQLITE_STATIC);
		sqlite3_bind_int64(insert, 4, (int64_t)count->count);
		sqlite3_bind_int(insert, 5, count->is_loss);
		r = history_database_step(insert, error);
	}
	return r;
}

static int write_marks(const struct history_window *window, sqlite3 *db, int64_t row,
		       struct error *error)
{
	_cleanup_borrowed_ sqlite3_stmt *insert = NULL;
	int r = history_database_borrow(
		db, "INSERT INTO mark(window, at_ns, key, text, value) VALUES(?, ?, ?, ?, ?)",
		error, &insert);

	for (size_t i = 0; !r && i < window->marks.count; i++) {
		const struct history_mark *mark = &window->marks.items[i];

		sqlite3_bind_int64(insert, 1, row);
		sqlite3_bind_int64(insert, 2, (int64_t)mark->at_ns);
		sqlite3_bind_text(insert, 3, mark->key, -1, SQLITE_STATIC);
		sqlite3_bind_text(insert, 4, mark->text, -1, SQLITE_STATIC);
		sqlite3_bind_int64(insert, 5, (int64_t)mark->value);
		r = history_database_step(insert, error);
	}
	return r;
}

static int write_series(const struct history_window *window, sqlite3 *db, int64_t row,
			struct error *error)
{
	_cleanup_borrowed_ sqlite3_stmt *insert = NULL;
	_cleanup_(strbuf_deinit) struct strbuf bytes = {0};
	int r;

	if (!window->series.count)
		return 0;
	r = history_times_encode(&window->series, &bytes);
	if (r)
		return error_set(error, r, "history: no memory for a window");
	r = history_database_borrow(db, "INSERT INTO points(window, series) VALUES(?, ?)", error,
				    &insert);
	if (r)
		return r;
	sqlite3_bind_int64(insert, 1, row);
	sqlite3_bind_blob64(insert, 2, bytes.data, bytes.length, SQLITE_STATIC);
	return history_database_step(insert, error);
}

int history_window_write(struct history_window *window, sqlite3 *db, struct error *error)
{
	int64_t row;
	int r = write_head(window, db, error, &row);

	if (!r)
		r = write_groups(window, db, row, error);
	if (!r)
		r = write_counts(window, db, row, error);
	if (!r)
		r = write_marks(window, db, row, error);
	return r ? r : write_series(window, db, row, error);
}

/* ---- summing up ---- */

static int add_entry(void *context, const struct history_entry *entry, const uint64_t *values,
		     uint32_t width)
{
	struct history_entries *entries = context;

	return width == entries->width ? history_entries_add(entries, entry, values) : -EBADMSG;
}

static int add_head(struct history_window *window, sqlite3 *db, int64_t row, struct error *error,
		    uint64_t *ret_shift_ns)
{
	_cleanup_borrowed_ sqlite3_stmt *select = NULL;
	uint64_t start, end;
	uint32_t frequency;
	int r = history_database_borrow(
		db, "SELECT start_ns, end_ns, frequency_hz, host FROM window WHERE id = ?", error,
		&select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, row);
	if (sqlite3_step(select) != SQLITE_ROW)
		return history_database_error(db, "a window is not there", error);
	start = (uint64_t)sqlite3_column_int64(select, 0);
	end = (uint64_t)sqlite3_column_int64(select, 1);
	frequency = (uint32_t)sqlite3_column_int64(select, 2);
	if (!window->end_ns) {
		window->start_ns = start;
		window->frequency_hz = frequency;
	}
	if (start < window->start_ns) {
		for (size_t i = 0; i < window->series.count; i++)
			if (series_shift(&window->series.items[i], window->start_ns - start))
				return error_set(error, -ENOMEM, "history: no memory for a window");
		window->start_ns = start;
	}
	*ret_shift_ns = start - window->start_ns;
	if (end > window->end_ns)
		window->end_ns = end;
	if (frequency != window->frequency_hz)
		window->frequency_hz = 0;
	snprintf(window->host, sizeof(window->host), "%s",
		 (const char *)sqlite3_column_text(select, 3));
	return 0;
}

static int add_groups(struct history_window *window, sqlite3 *db, int64_t row, struct error *error)
{
	_cleanup_borrowed_ sqlite3_stmt *select = NULL;
	int step, r = history_database_borrow(
			  db, "SELECT service, entries FROM profile WHERE window = ?", error,
			  &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, row);
	while ((step = sqlite3_step(select)) == SQLITE_ROW) {
		struct history_entries *entries =
			history_window_group(window, sqlite3_column_int64(select, 0));

		r = entries ? history_entries_decode(sqlite3_column_blob(select, 1),
						     (size_t)sqlite3_column_bytes(select, 1),
						     add_entry, entries)
			    : -ENOMEM;
		if (r)
			return error_set(error, r, "%s: the profile of window %lld: %s",
					 sqlite3_db_filename(db, "main"), (long long)row,
					 r == -ENOMEM ? "no memory for it" : "damaged");
	}
	return step == SQLITE_DONE ? 0 : history_database_error(db, "cannot be read", error);
}

static int add_counts(struct history_window *window, sqlite3 *db, int64_t row, struct error *error)
{
	_cleanup_borrowed_ sqlite3_stmt *select = NULL;
	int step, r = history_database_borrow(
			  db, "SELECT key, text, count, is_loss FROM count WHERE window = ?", error,
			  &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, row);
	while ((step = sqlite3_step(select)) == SQLITE_ROW) {
		if (history_window_count(window, (const char *)sqlite3_column_text(select, 0),
					 (const char *)sqlite3_column_text(select, 1),
					 (uint64_t)sqlite3_column_int64(select, 2),
					 sqlite3_column_int(select, 3)))
			return error_set(error, -ENOMEM, "history: no memory for a window");
	}
	return step == SQLITE_DONE ? 0 : history_database_error(db, "cannot be read", error);
}

static int add_marks(struct history_window *window, sqlite3 *db, int64_t row, struct error *error)
{
	_cleanup_borrowed_ sqlite3_stmt *select = NULL;
	int step, r = history_database_borrow(
			  db, "SELECT at_ns, key, text, value FROM mark WHERE window = ?", error,
			  &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, row);
	while ((step = sqlite3_step(select)) == SQLITE_ROW) {
		if (history_window_mark(window, (uint64_t)sqlite3_column_int64(select, 0),
					(const char *)sqlite3_column_text(select, 1),
					(const char *)sqlite3_column_text(select, 2),
					(uint64_t)sqlite3_column_int64(select, 3)))
			return error_set(error, -ENOMEM, "history: no memory for a window");
	}
	return step == SQLITE_DONE ? 0 : history_database_error(db, "cannot be read", error);
}

static int add_series(struct history_window *window, sqlite3 *db, int64_t row, uint64_t shift_ns,
		      struct error *error)
{
	_cleanup_borrowed_ sqlite3_stmt *select = NULL;
	int r = history_database_borrow(db, "SELECT series FROM points WHERE window = ?", error,
					&select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, row);
	switch (sqlite3_step(select)) {
	case SQLITE_DONE:
		return 0;
	case SQLITE_ROW:
		r = history_times_decode(sqlite3_column_blob(select, 0),
					 (size_t)sqlite3_column_bytes(select, 0), shift_ns,
					 window->step_ns, &window->series);
		return r ? error_set(error, r, "%s: the series of window %lld are damaged",
				     sqlite3_db_filename(db, "main"), (long long)row)
			 : 0;
	default:
		return history_database_error(db, "cannot be read", error);
	}
}

int history_window_add(struct history_window *window, sqlite3 *db, int64_t row, struct error *error)
{
	uint64_t shift_ns = 0;
	int r = add_head(window, db, row, error, &shift_ns);

	if (!r)
		r = add_groups(window, db, row, error);
	if (!r)
		r = add_counts(window, db, row, error);
	if (!r)
		r = add_marks(window, db, row, error);
	return r ? r : add_series(window, db, row, shift_ns, error);
}

int history_window_remove(sqlite3 *db, int64_t row, struct error *error)
{
	static const char *const deletes[] = {
		"DELETE FROM profile WHERE window = ?", "DELETE FROM count WHERE window = ?",
		"DELETE FROM mark WHERE window = ?",    "DELETE FROM points WHERE window = ?",
		"DELETE FROM window WHERE id = ?",
	};
	int r = 0;

	for (size_t i = 0; !r && i < sizeof(deletes) / sizeof(deletes[0]); i++) {
		_cleanup_borrowed_ sqlite3_stmt *delete = NULL;

		r = history_database_borrow(db, deletes[i], error, &delete);
		if (r)
			break;
		sqlite3_bind_int64(delete, 1, row);
		r = history_database_step(delete, error);
	}
	return r;
}
