/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_writer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/history_window.h"
#include "daemon/service.h"
#include "flamegraph/protobuf.h"

#define REMEMBERED_MAX (32u << 20) /* bytes, of strings, frames and stacks together */

/* A frame's columns, all of them row ids or numbers. */
struct frame_key {
	int64_t name, module, file, line, address, kind;
};

static void bind_text(sqlite3_stmt *statement, const char *bytes, size_t size)
{
	sqlite3_bind_text64(statement, 2, bytes, size, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_blob(sqlite3_stmt *statement, const char *bytes, size_t size)
{
	sqlite3_bind_blob64(statement, 2, bytes, size, SQLITE_STATIC);
}

static void bind_frame(sqlite3_stmt *statement, const char *bytes, size_t size)
{
	int64_t columns[sizeof(struct frame_key) / sizeof(int64_t)];

	memcpy(columns, bytes, size);
	for (size_t i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
		sqlite3_bind_int64(statement, 2 + (int)i, columns[i]);
}

static int prepare(struct history_writer *writer, struct error *error)
{
	sqlite3 *db = writer->db;
	int r = history_dictionary_init(
		&writer->strings, db, "SELECT id FROM string WHERE hash = ? AND text = ?",
		"INSERT INTO string(hash, text) VALUES(?, ?)", bind_text, error);

	if (!r)
		r = history_dictionary_init(
			&writer->frames, db,
			"SELECT id FROM frame WHERE hash = ? AND name = ? AND module = ?"
			" AND file = ? AND line = ? AND address = ? AND kind = ?",
			"INSERT INTO frame(hash, name, module, file, line, address, kind)"
			" VALUES(?, ?, ?, ?, ?, ?, ?)",
			bind_frame, error);
	if (!r)
		r = history_dictionary_init(
			&writer->stacks, db, "SELECT id FROM stack WHERE hash = ? AND frames = ?",
			"INSERT INTO stack(hash, frames) VALUES(?, ?)", bind_blob, error);
	/* An update that changes nothing gives the row's id. */
	if (!r)
		r = history_database_prepare(
			db,
			"INSERT INTO service(comm, cgroup, unit, container) VALUES(?, ?, ?, ?)"
			" ON CONFLICT DO UPDATE SET comm = comm RETURNING id",
			error, &writer->service);
	if (!r)
		r = history_database_prepare(
			db,
			"INSERT INTO process(pid, ppid, birth_ns, end_ns, service)"
			" VALUES(?, ?, ?, ?, ?) ON CONFLICT(pid, birth_ns, service)"
			" DO UPDATE SET end_ns = max(end_ns, excluded.end_ns) RETURNING id",
			error, &writer->process);
	if (!r)
		r = history_database_prepare(
			db,
			"INSERT INTO event(name, types, default_type) VALUES(?, ?, ?)"
			" ON CONFLICT DO UPDATE SET name = name RETURNING id",
			error, &writer->event);
	if (!r)
		r = history_database_prepare(
			db,
			"INSERT INTO series(name, unit, grp, kind, process) VALUES(?, ?, ?, ?, ?)"
			" ON CONFLICT DO UPDATE SET name = name RETURNING id",
			error, &writer->series);
	return r;
}

int history_writer_init(struct history_writer *writer, sqlite3 *db, struct error *error)
{
	int r;

	*writer = (struct history_writer){.db = db};
	r = prepare(writer, error);
	if (r)
		history_writer_deinit(writer);
	return r;
}

void history_writer_deinit(struct history_writer *writer)
{
	history_dictionary_deinit(&writer->strings);
	history_dictionary_deinit(&writer->frames);
	history_dictionary_deinit(&writer->stacks);
	sqlite3_finalize(writer->service);
	sqlite3_finalize(writer->process);
	sqlite3_finalize(writer->event);
	sqlite3_finalize(writer->series);
	sqlite3_close(writer->db);
	*writer = (struct history_writer){0};
}

/* ---- one window ---- */

/* Row ids of what the profile has; 0: not looked up yet. */
struct put {
	struct history_writer *writer;
	const struct profile *profile;
	struct error *error;
	int64_t *strings, *frames, *stacks;
	int64_t *processes, *services; /* by process */
	struct history_window window;
};

static void put_deinit(struct put *put)
{
	free(put->strings);
	free(put->frames);
	free(put->stacks);
	free(put->processes);
	free(put->services);
	history_window_deinit(&put->window);
}

static int out_of_memory(struct error *error)
{
	return error_set(error, -ENOMEM, "history: no memory for a window");
}

static int put_init(struct put *put)
{
	const struct profile *profile = put->profile;
	size_t processes = profile->processes.count + 1;

	put->strings = calloc(strtab_count(&profile->strings), sizeof(int64_t));
	put->frames = calloc(profile->frames.count + 1, sizeof(int64_t));
	put->stacks = calloc(profile->stack_ends.count, sizeof(int64_t));
	put->processes = calloc(processes, sizeof(int64_t));
	put->services = calloc(processes, sizeof(int64_t));
	return put->strings && put->frames && put->stacks && put->processes && put->services
		       ? 0
		       : out_of_memory(put->error);
}

static int string_row(struct put *put, uint32_t string, int64_t *ret)
{
	int64_t *row = &put->strings[string];
	int r = 0;

	if (!*row)
		r = history_dictionary_row(
			&put->writer->strings, profile_text(put->profile, string),
			strtab_length(&put->profile->strings, string), put->error, row);
	*ret = *row;
	return r;
}

static int frame_row(struct put *put, uint32_t frame, int64_t *ret)
{
	const struct profile_frame *from = &put->profile->frames.items[frame];
	struct frame_key key = {
		.line = from->line, .address = (int64_t)from->address, .kind = from->kind};
	int64_t *row = &put->frames[frame];
	int r = 0;

	if (!*row) {
		r = string_row(put, from->name, &key.name);
		if (!r)
			r = string_row(put, from->module, &key.module);
		if (!r)
			r = string_row(put, from->file, &key.file);
		if (!r)
			r = history_dictionary_row(&put->writer->frames, &key, sizeof(key),
						   put->error, row);
	}
	*ret = *row;
	return r;
}

/* Frames root first, as varints of their rows. */
static int stack_row(struct put *put, uint32_t stack, int64_t *ret)
{
	_cleanup_(strbuf_deinit) struct strbuf bytes = {0};
	int64_t *row = &put->stacks[stack];
	const uint32_t *frames;
	size_t count;
	int r = 0;

	if (*row) {
		*ret = *row;
		return 0;
	}
	frames = profile_stack_frames(put->profile, stack, &count);
	for (size_t i = 0; !r && i < count; i++) {
		int64_t frame;

		r = frame_row(put, frames[i], &frame);
		if (!r)
			protobuf_put_varint(&bytes, (uint64_t)frame);
	}
	if (!r && strbuf_error(&bytes))
		r = out_of_memory(put->error);
	if (!r)
		r = history_dictionary_row(&put->writer->stacks, strbuf_text(&bytes), bytes.length,
					   put->error, row);
	*ret = *row;
	return r;
}

/* A statement that gives the id of the row it made or found. */
static int returned_row(struct put *put, sqlite3_stmt *statement, int64_t *ret)
{
	int step = sqlite3_step(statement), r = 0;

	if (step == SQLITE_ROW)
		*ret = sqlite3_column_int64(statement, 0);
	else
		r = history_database_error(put->writer->db, "cannot be written", put->error);
	/* Not done before it was stepped to the end. */
	if (!r && sqlite3_step(statement) != SQLITE_DONE)
		r = history_database_error(put->writer->db, "cannot be written", put->error);
	sqlite3_reset(statement);
	return r;
}

static int service_row(struct put *put, const char *comm, const char *cgroup, int64_t *ret)
{
	sqlite3_stmt *statement = put->writer->service;
	struct service service;

	service_of_cgroup(cgroup, &service);
	sqlite3_bind_text(statement, 1, comm, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, cgroup, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 3, service.unit, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 4, service.container, -1, SQLITE_STATIC);
	return returned_row(put, statement, ret);
}

static uint64_t absolute(const struct profile *profile, uint64_t since_ns)
{
	return since_ns ? profile->start_ns + since_ns : 0;
}

static int put_process(struct put *put, size_t i)
{
	const struct profile *profile = put->profile;
	const struct profile_process *process = &profile->processes.items[i];
	uint64_t birth =
		process->birth_ns ? process->birth_ns : absolute(profile, process->start_ns);
	sqlite3_stmt *statement = put->writer->process;
	int r = service_row(put, profile_text(profile, process->comm),
			    profile_text(profile, process->cgroup), &put->services[i]);

	if (r)
		return r;
	sqlite3_bind_int64(statement, 1, process->pid);
	sqlite3_bind_int64(statement, 2, process->ppid);
	sqlite3_bind_int64(statement, 3, (int64_t)birth);
	sqlite3_bind_int64(statement, 4, (int64_t)absolute(profile, process->end_ns));
	sqlite3_bind_int64(statement, 5, put->services[i]);
	return returned_row(put, statement, &put->processes[i]);
}

static int put_event(struct put *put)
{
	const struct profile *profile = put->profile;
	_cleanup_(strbuf_deinit) struct strbuf types = {0};
	sqlite3_stmt *statement = put->writer->event;

	for (uint32_t i = 0; i < profile->value_type_count; i++)
		strbuf_printf(&types, "%s%s/%s", i ? "," : "",
			      profile_text(profile, profile->value_types[i].name),
			      profile_text(profile, profile->value_types[i].unit));
	if (strbuf_error(&types))
		return out_of_memory(put->error);
	sqlite3_bind_text(statement, 1, profile_text(profile, profile->event), -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, strbuf_text(&types), -1, SQLITE_TRANSIENT);
	sqlite3_bind_int64(statement, 3, profile->default_value);
	return returned_row(put, statement, &put->window.event);
}

/* Who a sample without a process belongs to is told by the thread's name alone. */
static int put_sample(struct put *put, size_t i)
{
	const struct profile_sample *sample = &put->profile->samples.items[i];
	struct history_entry entry = {0};
	struct history_entries *entries;
	int64_t service, row;
	int r;

	if (sample->process == PROFILE_NONE) {
		r = service_row(put, profile_text(put->profile, sample->comm), "", &service);
		if (r)
			return r;
	} else {
		service = put->services[sample->process];
		entry.process = (uint64_t)put->processes[sample->process];
	}
	r = string_row(put, sample->comm, &row);
	entry.comm = (uint64_t)row;
	if (!r)
		r = stack_row(put, sample->stack, &row);
	if (r)
		return r;
	entry.stack = (uint64_t)row;
	entries = history_window_group(&put->window, service);
	if (!entries || history_entries_add(entries, &entry,
					    put->profile->values.items + i * put->window.width))
		return out_of_memory(put->error);
	return 0;
}

static int put_series(struct put *put, const struct series *series)
{
	const struct profile *profile = put->profile;
	sqlite3_stmt *statement = put->writer->series;
	struct series like = {.kind = series->kind, .step_ns = series->step_ns}, *into;
	int64_t process = series->process == PROFILE_NONE ? 0 : put->processes[series->process];
	int64_t row;
	int r;

	sqlite3_bind_text(statement, 1, profile_text(profile, series->name), -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, profile_text(profile, series->unit), -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 3, profile_text(profile, series->group), -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 4, series->kind);
	sqlite3_bind_int64(statement, 5, process);
	r = returned_row(put, statement, &row);
	if (r)
		return r;
	like.name = (uint32_t)row;
	if (series_list_find(&put->window.series, &like, &into) || series_join(into, series, 0))
		return out_of_memory(put->error);
	return 0;
}

static int put_mark(struct put *put, const struct profile_mark *mark)
{
	const struct profile *profile = put->profile;

	return history_window_mark(&put->window, profile->start_ns + mark->at_ns,
				   profile_text(profile, mark->key),
				   profile_text(profile, mark->text), mark->value)
		       ? out_of_memory(put->error)
		       : 0;
}

static int put_all(struct put *put)
{
	const struct profile *profile = put->profile;
	int r = put_event(put);

	for (size_t i = 0; !r && i < profile->processes.count; i++)
		r = put_process(put, i);
	for (size_t i = 0; !r && i < profile->samples.count; i++)
		r = put_sample(put, i);
	for (size_t i = 0; !r && i < profile->counts.count; i++) {
		const struct profile_count *count = &profile->counts.items[i];

		if (history_window_count(&put->window, profile_text(profile, count->key),
					 profile_text(profile, count->text), count->count,
					 count->is_loss))
			r = out_of_memory(put->error);
	}
	for (size_t i = 0; !r && i < profile->series.count; i++)
		r = put_series(put, &profile->series.items[i]);
	for (size_t i = 0; !r && i < profile->marks.count; i++)
		r = put_mark(put, &profile->marks.items[i]);
	return r ? r : history_window_write(&put->window, put->writer->db, put->error);
}

static void forget(struct history_writer *writer)
{
	history_dictionary_forget(&writer->strings);
	history_dictionary_forget(&writer->frames);
	history_dictionary_forget(&writer->stacks);
}

/* Ends the transaction: with all that was written, or without any of it. */
static int finish(struct history_writer *writer, int r, struct error *error)
{
	if (!r)
		r = history_database_run(writer->db, "COMMIT", error);
	if (!r)
		return 0;
	sqlite3_exec(writer->db, "ROLLBACK", NULL, NULL, NULL);
	forget(writer); /* rows that were taken back */
	return r;
}

int history_writer_put(struct history_writer *writer, const struct profile *profile,
		       struct error *error)
{
	_cleanup_(put_deinit) struct put put = {
		.writer = writer,
		.profile = profile,
		.error = error,
		.window = {.start_ns = profile->start_ns,
			   .end_ns = profile->start_ns + profile->duration_ns,
			   .width = profile->value_type_count,
			   .default_value = profile->default_value,
			   .frequency_hz = profile->frequency_hz},
	};
	int r = put_init(&put);

	if (r)
		return r;
	snprintf(put.window.host, sizeof(put.window.host), "%s",
		 profile_text(profile, profile->host));
	if (history_dictionary_size(&writer->strings) + history_dictionary_size(&writer->frames) +
		    history_dictionary_size(&writer->stacks) >
	    REMEMBERED_MAX)
		forget(writer);
	r = history_database_run(writer->db, "BEGIN IMMEDIATE", error);
	return r ? r : finish(writer, put_all(&put), error);
}

int history_writer_gap(struct history_writer *writer, uint64_t start_ns, uint64_t end_ns,
		       const char *reason, struct error *error)
{
	_cleanup_statement_ sqlite3_stmt *insert = NULL;
	int r = history_database_prepare(writer->db, "INSERT INTO gap VALUES(?, ?, ?)", error,
					 &insert);

	if (r)
		return r;
	sqlite3_bind_int64(insert, 1, (int64_t)start_ns);
	sqlite3_bind_int64(insert, 2, (int64_t)end_ns);
	sqlite3_bind_text(insert, 3, reason, -1, SQLITE_STATIC);
	return history_database_step(insert, error);
}
