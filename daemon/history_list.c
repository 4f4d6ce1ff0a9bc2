/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static json_t *window_json(sqlite3_stmt *row)
{
	return json_pack("{s:I, s:I, s:I, s:s, s:s, s:I, s:I, s:I}", "start_ns",
			 (json_int_t)sqlite3_column_int64(row, 0), "end_ns",
			 (json_int_t)sqlite3_column_int64(row, 1), "step_ns",
			 (json_int_t)sqlite3_column_int64(row, 2), "event",
			 (const char *)sqlite3_column_text(row, 3), "host",
			 (const char *)sqlite3_column_text(row, 4), "frequency_hz",
			 (json_int_t)sqlite3_column_int64(row, 5), "samples",
			 (json_int_t)sqlite3_column_int64(row, 6), "weight",
			 (json_int_t)sqlite3_column_int64(row, 7));
}

int history_list_windows(sqlite3 *db, const struct history_query *query, json_t *rows,
			 struct error *error)
{
	_cleanup_statement_ sqlite3_stmt *select = NULL;
	int step, r = history_database_prepare(
			  db,
			  "SELECT w.start_ns, w.end_ns, w.step_ns, e.name, w.host, w.frequency_hz,"
			  " w.samples, w.weight FROM window w JOIN event e ON e.id = w.event"
			  " WHERE w.start_ns < ?2 AND w.end_ns > ?1 ORDER BY w.start_ns",
			  error, &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, (int64_t)query->since_ns);
	sqlite3_bind_int64(select, 2, (int64_t)query->until_ns);
	while ((step = sqlite3_step(select)) == SQLITE_ROW) {
		if (query->event[0] &&
		    !history_query_event(query, (const char *)sqlite3_column_text(select, 3)))
			continue;
		if (json_array_append_new(rows, window_json(select)))
			return error_set(error, -ENOMEM, "history: no memory for the list");
	}
	return step == SQLITE_DONE ? 0 : history_database_error(db, "cannot be read", error);
}

/* Adds to the row of the same service and event, from another day. */
static bool join_service(json_t *rows, json_t *row)
{
	static const char *const same[] = {"comm", "cgroup", "event"};
	static const char *const sums[] = {"windows", "samples", "weight"};
	json_t *have;
	size_t i;

	json_array_foreach(rows, i, have)
	{
		bool equal = true;

		for (size_t k = 0; equal && k < 3; k++)
			equal = json_equal(json_object_get(have, same[k]),
					   json_object_get(row, same[k]));
		if (!equal)
			continue;
		for (size_t k = 0; k < 3; k++)
			json_integer_set(json_object_get(have, sums[k]),
					 json_integer_value(json_object_get(have, sums[k])) +
						 json_integer_value(json_object_get(row, sums[k])));
		return true;
	}
	return false;
}

/* Names may be any bytes; JSON has only UTF-8. */
static json_t *json_name(const char *name)
{
	json_t *json = json_string(name);
	char *ascii;

	if (json)
		return json;
	ascii = strdup(name);
	for (char *at = ascii; at && *at; at++)
		*at = (char)(*at & 0x80 ? '?' : *at);
	json = ascii ? json_string(ascii) : NULL;
	free(ascii);
	return json;
}

static int add_service(const struct history_query *query, json_t *rows, sqlite3_stmt *row)
{
	const char *comm = (const char *)sqlite3_column_text(row, 0);
	const char *cgroup = (const char *)sqlite3_column_text(row, 3);
	json_t *json;
	int r;

	if (!history_query_service(query, comm, cgroup) ||
	    (query->event[0] &&
	     !history_query_event(query, (const char *)sqlite3_column_text(row, 4))))
		return 0;
	json = json_pack("{s:o, s:o, s:o, s:o, s:s, s:I, s:I, s:I}", "comm", json_name(comm),
			 "unit", json_name((const char *)sqlite3_column_text(row, 1)), "container",
			 json_name((const char *)sqlite3_column_text(row, 2)), "cgroup",
			 json_name(cgroup), "event", (const char *)sqlite3_column_text(row, 4),
			 "windows", (json_int_t)sqlite3_column_int64(row, 5), "samples",
			 (json_int_t)sqlite3_column_int64(row, 6), "weight",
			 (json_int_t)sqlite3_column_int64(row, 7));
	if (!json)
		return -ENOMEM;
	r = join_service(rows, json) ? 0 : json_array_append(rows, json);
	json_decref(json);
	return r ? -ENOMEM : 0;
}

int history_list_services(sqlite3 *db, const struct history_query *query, json_t *rows,
			  struct error *error)
{
	_cleanup_statement_ sqlite3_stmt *select = NULL;
	int step, r = history_database_prepare(
			  db,
			  "SELECT s.comm, s.unit, s.container, s.cgroup, e.name, count(*),"
			  " sum(p.samples), sum(p.weight) FROM window w"
			  " JOIN profile p ON p.window = w.id JOIN service s ON s.id = p.service"
			  " JOIN event e ON e.id = w.event"
			  " WHERE w.start_ns < ?2 AND w.end_ns > ?1 GROUP BY p.service, w.event",
			  error, &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, (int64_t)query->since_ns);
	sqlite3_bind_int64(select, 2, (int64_t)query->until_ns);
	while ((step = sqlite3_step(select)) == SQLITE_ROW)
		if (add_service(query, rows, select))
			return error_set(error, -ENOMEM, "history: no memory for the list");
	return step == SQLITE_DONE ? 0 : history_database_error(db, "cannot be read", error);
}
