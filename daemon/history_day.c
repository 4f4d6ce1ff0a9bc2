/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_day.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/reader.h"
#include "daemon/history_entries.h"
#include "daemon/history_times.h"
#include "flamegraph/protobuf.h"

static int out_of_memory(struct error *error)
{
	return error_set(error, -ENOMEM, "history: no memory for the answer");
}

/* Rows of this database as the profile knows them. */
struct day {
	struct history_reader *reader;
	sqlite3 *db;
	struct error *error;
	struct profile *profile;
	struct hashmap strings, frames, stacks, processes, services, series_map;
	sqlite3_stmt *string, *frame, *stack, *process, *service, *series;
	uint32_t value_map[PROFILE_VALUES_MAX];
	uint32_t width;
	uint32_t bucket;
};

static void day_deinit(struct day *day)
{
	hashmap_deinit(&day->strings);
	hashmap_deinit(&day->frames);
	hashmap_deinit(&day->stacks);
	hashmap_deinit(&day->processes);
	hashmap_deinit(&day->services);
	hashmap_deinit(&day->series_map);
	sqlite3_finalize(day->string);
	sqlite3_finalize(day->frame);
	sqlite3_finalize(day->stack);
	sqlite3_finalize(day->process);
	sqlite3_finalize(day->service);
	sqlite3_finalize(day->series);
}

static int day_init(struct day *day)
{
	const struct {
		sqlite3_stmt **statement;
		const char *sql;
	} all[] = {
		{&day->string, "SELECT text FROM string WHERE id = ?"},
		{&day->frame,
		 "SELECT name, module, file, line, address, kind FROM frame WHERE id = ?"},
		{&day->stack, "SELECT frames FROM stack WHERE id = ?"},
		{&day->process,
		 "SELECT p.pid, p.ppid, p.birth_ns, p.end_ns, s.comm, s.cgroup FROM process p"
		 " JOIN service s ON s.id = p.service WHERE p.id = ?"},
		{&day->service, "SELECT comm, cgroup FROM service WHERE id = ?"},
		{&day->series, "SELECT s.name, s.unit, s.grp, s.process, p.service FROM series s"
			       " LEFT JOIN process p ON p.id = s.process WHERE s.id = ?"},
	};
	int r = 0;

	for (size_t i = 0; !r && i < sizeof(all) / sizeof(all[0]); i++)
		r = history_database_prepare(day->db, all[i].sql, day->error, all[i].statement);
	return r;
}

/* Steps to the row with that id. */
static int get_row(struct day *day, sqlite3_stmt *statement, uint64_t row)
{
	int step;

	sqlite3_reset(statement);
	sqlite3_bind_int64(statement, 1, (int64_t)row);
	step = sqlite3_step(statement);
	if (step == SQLITE_ROW)
		return 0;
	if (step != SQLITE_DONE)
		return history_database_error(day->db, "cannot be read", day->error);
	return error_set(day->error, -EBADMSG, "%s: row %llu is missing: damaged",
			 sqlite3_db_filename(day->db, "main"), (unsigned long long)row);
}

static int keep(struct day *day, struct hashmap *map, uint64_t row, uint32_t id, uint32_t *ret)
{
	if (id == PROFILE_NONE || hashmap_put(map, row, id))
		return out_of_memory(day->error);
	*ret = id;
	return 0;
}

static int get_string(struct day *day, uint64_t row, uint32_t *ret)
{
	const uint64_t *known = hashmap_get(&day->strings, row);
	const char *text;
	int r;

	if (known) {
		*ret = (uint32_t)*known;
		return 0;
	}
	r = get_row(day, day->string, row);
	if (r)
		return r;
	text = (const char *)sqlite3_column_text(day->string, 0);
	return keep(day, &day->strings, row,
		    profile_string_n(day->profile, text ? text : "",
				     (size_t)sqlite3_column_bytes(day->string, 0)),
		    ret);
}

static int get_frame(struct day *day, uint64_t row, uint32_t *ret)
{
	const uint64_t *known = hashmap_get(&day->frames, row);
	struct profile_frame frame;
	uint64_t name, module, file;
	int r;

	if (known) {
		*ret = (uint32_t)*known;
		return 0;
	}
	r = get_row(day, day->frame, row);
	if (r)
		return r;
	name = (uint64_t)sqlite3_column_int64(day->frame, 0);
	module = (uint64_t)sqlite3_column_int64(day->frame, 1);
	file = (uint64_t)sqlite3_column_int64(day->frame, 2);
	frame = (struct profile_frame){
		.line = (uint32_t)sqlite3_column_int64(day->frame, 3),
		.address = (uint64_t)sqlite3_column_int64(day->frame, 4),
		.kind = (uint32_t)sqlite3_column_int64(day->frame, 5),
	};
	r = get_string(day, name, &frame.name);
	if (!r)
		r = get_string(day, module, &frame.module);
	if (!r)
		r = get_string(day, file, &frame.file);
	return r ? r : keep(day, &day->frames, row, profile_frame(day->profile, &frame), ret);
}

static int get_stack(struct day *day, uint64_t row, uint32_t *ret)
{
	const uint64_t *known = hashmap_get(&day->stacks, row);
	VEC(uint32_t) frames = {0};
	struct reader reader;
	int r;

	if (known) {
		*ret = (uint32_t)*known;
		return 0;
	}
	r = get_row(day, day->stack, row);
	if (r)
		return r;
	reader_init(&reader, sqlite3_column_blob(day->stack, 0),
		    (size_t)sqlite3_column_bytes(day->stack, 0));
	while (!r && reader_left(&reader)) {
		uint64_t frame = protobuf_varint(&reader);
		uint32_t id;

		r = get_frame(day, frame, &id);
		if (!r && vec_push(&frames, id))
			r = out_of_memory(day->error);
	}
	if (!r)
		r = keep(day, &day->stacks, row,
			 profile_stack(day->profile, frames.items, frames.count), ret);
	vec_free(&frames);
	return r;
}

static uint64_t on_axis(const struct day *day, uint64_t time_ns)
{
	uint64_t start = day->reader->query.since_ns;

	return time_ns > start ? time_ns - start : 0;
}

/* PROFILE_NONE: filtered out, or none. */
static int get_process(struct day *day, uint64_t row, uint32_t *ret)
{
	const uint64_t *known = hashmap_get(&day->processes, row);
	struct profile_process process = {0};
	int r;

	if (known) {
		*ret = (uint32_t)*known;
		return 0;
	}
	r = get_row(day, day->process, row);
	if (r)
		return r;
	process.pid = (uint32_t)sqlite3_column_int64(day->process, 0);
	process.ppid = (uint32_t)sqlite3_column_int64(day->process, 1);
	process.birth_ns = (uint64_t)sqlite3_column_int64(day->process, 2);
	process.start_ns = on_axis(day, process.birth_ns);
	process.end_ns = on_axis(day, (uint64_t)sqlite3_column_int64(day->process, 3));
	process.comm =
		profile_string(day->profile, (const char *)sqlite3_column_text(day->process, 4));
	process.cgroup =
		profile_string(day->profile, (const char *)sqlite3_column_text(day->process, 5));
	if (day->reader->query.pid && process.pid != day->reader->query.pid) {
		*ret = PROFILE_NONE;
		return hashmap_put(&day->processes, row, PROFILE_NONE) ? out_of_memory(day->error)
								       : 0;
	}
	return keep(day, &day->processes, row, profile_add_process(day->profile, &process), ret);
}

static int service_passes(struct day *day, uint64_t row, bool *ret)
{
	const uint64_t *known = hashmap_get(&day->services, row);
	int r;

	if (known) {
		*ret = *known;
		return 0;
	}
	r = get_row(day, day->service, row);
	if (r)
		return r;
	*ret = history_query_service(&day->reader->query,
				     (const char *)sqlite3_column_text(day->service, 0),
				     (const char *)sqlite3_column_text(day->service, 1));
	return hashmap_put(&day->services, row, *ret) ? out_of_memory(day->error) : 0;
}

static int add_entry(void *context, const struct history_entry *entry, const uint64_t *values,
		     uint32_t width)
{
	struct day *day = context;
	struct profile_sample sample = {.process = PROFILE_NONE, .bucket = day->bucket};
	uint64_t mapped[PROFILE_VALUES_MAX] = {0};
	int r = 0;

	if (width != day->width)
		return error_set(day->error, -EBADMSG,
				 "%s: a profile of %u values where %u "
				 "belong: damaged",
				 sqlite3_db_filename(day->db, "main"), width, day->width);
	if (entry->process)
		r = get_process(day, entry->process, &sample.process);
	if (r || (day->reader->query.pid && sample.process == PROFILE_NONE))
		return r;
	r = get_string(day, entry->comm, &sample.comm);
	if (!r)
		r = get_stack(day, entry->stack, &sample.stack);
	for (uint32_t i = 0; i < width; i++)
		mapped[day->value_map[i]] = values[i];
	if (!r && profile_add_sample(day->profile, &sample, mapped))
		r = out_of_memory(day->error);
	return r;
}

static int add_profiles(struct day *day, int64_t window)
{
	_cleanup_statement_ sqlite3_stmt *select = NULL;
	int step, r = history_database_prepare(
			  day->db, "SELECT service, entries FROM profile WHERE window = ?",
			  day->error, &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, window);
	while ((step = sqlite3_step(select)) == SQLITE_ROW) {
		bool passes = false;

		r = service_passes(day, (uint64_t)sqlite3_column_int64(select, 0), &passes);
		if (r)
			return r;
		if (!passes)
			continue;
		if (day->error)
			day->error->code = 0;
		r = history_entries_decode(sqlite3_column_blob(select, 1),
					   (size_t)sqlite3_column_bytes(select, 1), add_entry, day);
		if (r && day->error && day->error->code)
			return r;
		if (r)
			return error_set(day->error, r, "%s: the profile of window %lld is damaged",
					 sqlite3_db_filename(day->db, "main"), (long long)window);
	}
	return step == SQLITE_DONE ? 0
				   : history_database_error(day->db, "cannot be read", day->error);
}

static int add_counts(struct day *day, int64_t window)
{
	_cleanup_statement_ sqlite3_stmt *select = NULL;
	int step, r = history_database_prepare(
			  day->db, "SELECT key, text, count, is_loss FROM count WHERE window = ?",
			  day->error, &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, window);
	while ((step = sqlite3_step(select)) == SQLITE_ROW)
		if (profile_add_count(day->profile, (const char *)sqlite3_column_text(select, 0),
				      (const char *)sqlite3_column_text(select, 1),
				      (uint64_t)sqlite3_column_int64(select, 2),
				      sqlite3_column_int(select, 3)))
			return out_of_memory(day->error);
	return step == SQLITE_DONE ? 0
				   : history_database_error(day->db, "cannot be read", day->error);
}

/* What the series of a row is called in the profile; false in *ret_passes: not asked for. */
static int get_series(struct day *day, const struct series *from, struct series *ret,
		      bool *ret_passes)
{
	uint64_t process, service;
	int r = get_row(day, day->series, from->name);

	if (r)
		return r;
	process = (uint64_t)sqlite3_column_int64(day->series, 3);
	service = (uint64_t)sqlite3_column_int64(day->series, 4);
	*ret = (struct series){
		.name = profile_string(day->profile,
				       (const char *)sqlite3_column_text(day->series, 0)),
		.unit = profile_string(day->profile,
				       (const char *)sqlite3_column_text(day->series, 1)),
		.group = profile_string(day->profile,
					(const char *)sqlite3_column_text(day->series, 2)),
		.process = PROFILE_NONE,
		.kind = from->kind,
		.step_ns = from->step_ns,
	};
	*ret_passes = !history_query_has_filter(&day->reader->query);
	if (!process)
		return 0; /* the machine's: nobody's who is asked for by name */
	r = service_passes(day, service, ret_passes);
	if (r || !*ret_passes)
		return r;
	r = get_process(day, process, &ret->process);
	*ret_passes = ret->process != PROFILE_NONE;
	return r;
}

/* The index of the profile's, or PROFILE_NONE. */
static int want_series(struct day *day, const struct series *from, uint32_t *ret)
{
	const uint64_t *known = hashmap_get(&day->series_map, from->name);
	uint32_t index = PROFILE_NONE;
	struct series like;
	bool passes;
	int r;

	if (known) {
		*ret = (uint32_t)*known;
		return 0;
	}
	r = get_series(day, from, &like, &passes);
	if (r)
		return r;
	if (passes) {
		index = profile_add_series(day->profile, &like);
		if (index == PROFILE_NONE)
			return out_of_memory(day->error);
	}
	*ret = index;
	return hashmap_put(&day->series_map, from->name, index) ? out_of_memory(day->error) : 0;
}

static int join_all(struct day *day, const struct series_list *list, uint64_t shift_ns)
{
	for (size_t i = 0; i < list->count; i++) {
		uint32_t index;
		int r = want_series(day, &list->items[i], &index);

		if (r)
			return r;
		if (index != PROFILE_NONE &&
		    series_join(&day->profile->series.items[index], &list->items[i], shift_ns))
			return out_of_memory(day->error);
	}
	return 0;
}

/* Points before the beginning of the time asked for count as then. */
static int add_series(struct day *day, int64_t window, uint64_t start_ns)
{
	_cleanup_statement_ sqlite3_stmt *select = NULL;
	struct series_list list = {0};
	int r = history_database_prepare(day->db, "SELECT series FROM points WHERE window = ?",
					 day->error, &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, window);
	switch (sqlite3_step(select)) {
	case SQLITE_DONE:
		return 0;
	case SQLITE_ROW:
		r = history_times_decode(sqlite3_column_blob(select, 0),
					 (size_t)sqlite3_column_bytes(select, 0), 0,
					 day->reader->query.step_ns, &list);
		if (r)
			error_set(day->error, r, "%s: the series of window %lld are damaged",
				  sqlite3_db_filename(day->db, "main"), (long long)window);
		else
			r = join_all(day, &list, on_axis(day, start_ns));
		series_list_deinit(&list);
		return r;
	default:
		return history_database_error(day->db, "cannot be read", day->error);
	}
}

static int add_marks(struct day *day, int64_t window)
{
	_cleanup_statement_ sqlite3_stmt *select = NULL;
	int step, r = history_database_prepare(
			  day->db, "SELECT at_ns, key, text, value FROM mark WHERE window = ?",
			  day->error, &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, window);
	while ((step = sqlite3_step(select)) == SQLITE_ROW)
		if (profile_add_mark(day->profile,
				     on_axis(day, (uint64_t)sqlite3_column_int64(select, 0)),
				     (const char *)sqlite3_column_text(select, 1),
				     (const char *)sqlite3_column_text(select, 2),
				     (uint64_t)sqlite3_column_int64(select, 3)))
			return out_of_memory(day->error);
	return step == SQLITE_DONE ? 0
				   : history_database_error(day->db, "cannot be read", day->error);
}

/* "samples/count,cpu/nanoseconds". */
static int map_types(struct day *day, const char *types, uint32_t default_type)
{
	_cleanup_free_ char *copy = strdup(types);
	bool first = !day->profile->value_type_count;
	char *at = copy, *one;

	if (!copy)
		return out_of_memory(day->error);
	day->width = 0;
	while ((one = strsep(&at, ","))) {
		char *unit = strchr(one, '/');
		uint32_t type;

		if (!unit || day->width == PROFILE_VALUES_MAX)
			return error_set(day->error, -EBADMSG, "%s: value types \"%s\": damaged",
					 sqlite3_db_filename(day->db, "main"), types);
		*unit++ = '\0';
		type = profile_add_value_type(day->profile, one, unit);
		if (type == PROFILE_NONE)
			return error_set(day->error, -EINVAL,
					 "the history has values of several kinds in that time "
					 "(%s among them): ask for one event",
					 types);
		day->value_map[day->width++] = type;
	}
	if (first && default_type < day->width)
		day->profile->default_value = default_type;
	return 0;
}

static int add_window(struct day *day, sqlite3_stmt *select)
{
	struct history_reader *reader = day->reader;
	struct history_span span = {.start_ns = (uint64_t)sqlite3_column_int64(select, 1),
				    .end_ns = (uint64_t)sqlite3_column_int64(select, 2)};
	const char *host = (const char *)sqlite3_column_text(select, 3);
	const char *event = (const char *)sqlite3_column_text(select, 5);
	int r;

	if (!history_query_window(&reader->query, span.start_ns, span.end_ns) ||
	    !history_query_event(&reader->query, event) ||
	    !history_filter_passes(reader->query.host, host))
		return 0;
	r = map_types(day, (const char *)sqlite3_column_text(select, 6),
		      (uint32_t)sqlite3_column_int64(select, 7));
	if (r)
		return r;
	if (!reader->windows) {
		day->profile->event = profile_string(day->profile, event);
		day->profile->host = profile_string(day->profile, host);
	}
	day->bucket = history_reader_bucket(reader, span.start_ns);
	r = add_profiles(day, sqlite3_column_int64(select, 0));
	if (!r)
		r = add_counts(day, sqlite3_column_int64(select, 0));
	if (!r && reader->query.step_ns)
		r = add_series(day, sqlite3_column_int64(select, 0), span.start_ns);
	if (!r)
		r = add_marks(day, sqlite3_column_int64(select, 0));
	if (!r && history_reader_note(reader, &span, (uint32_t)sqlite3_column_int64(select, 4)))
		r = out_of_memory(day->error);
	return r;
}

static int add_gaps(struct day *day)
{
	_cleanup_statement_ sqlite3_stmt *select = NULL;
	int step,
		r = history_database_prepare(day->db,
					     "SELECT reason, sum(end_ns - start_ns) FROM gap WHERE"
					     " start_ns < ?2 AND end_ns > ?1 GROUP BY reason",
					     day->error, &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, (int64_t)day->reader->query.since_ns);
	sqlite3_bind_int64(select, 2, (int64_t)day->reader->query.until_ns);
	while ((step = sqlite3_step(select)) == SQLITE_ROW) {
		char key[128], text[256];
		const char *reason = (const char *)sqlite3_column_text(select, 0);

		snprintf(key, sizeof(key), "gap: %s", reason);
		snprintf(text, sizeof(text), "milliseconds without history: %s", reason);
		if (profile_add_count(day->profile, key, text,
				      (uint64_t)sqlite3_column_int64(select, 1) / NSEC_PER_MSEC, 0))
			return out_of_memory(day->error);
	}
	return step == SQLITE_DONE ? 0
				   : history_database_error(day->db, "cannot be read", day->error);
}

static int add_windows(struct day *day)
{
	const struct history_query *query = &day->reader->query;
	_cleanup_statement_ sqlite3_stmt *select = NULL;
	int step, r = history_database_prepare(
			  day->db,
			  "SELECT w.id, w.start_ns, w.end_ns, w.host, w.frequency_hz, e.name,"
			  " e.types, e.default_type FROM window w JOIN event e ON e.id = w.event"
			  " WHERE w.start_ns < ?2 AND w.end_ns > ?1 ORDER BY w.start_ns",
			  day->error, &select);

	if (r)
		return r;
	sqlite3_bind_int64(select, 1, (int64_t)query->since_ns);
	sqlite3_bind_int64(select, 2, (int64_t)query->until_ns);
	while ((step = sqlite3_step(select)) == SQLITE_ROW) {
		r = add_window(day, select);
		if (r)
			return r;
	}
	return step == SQLITE_DONE ? 0
				   : history_database_error(day->db, "cannot be read", day->error);
}

int history_day_read(sqlite3 *db, struct history_reader *reader, struct error *error)
{
	_cleanup_(day_deinit) struct day day = {
		.reader = reader, .db = db, .error = error, .profile = reader->profile};
	int r = day_init(&day);

	if (!r)
		r = add_windows(&day);
	return r ? r : add_gaps(&day);
}
