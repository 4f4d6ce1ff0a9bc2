/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/history_writer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/history_window.h"
#include "daemon/service.h"
#include "flamegraph/protobuf.h"

#define REMEMBERED_MAX (4u << 20) /* bytes, of all dictionaries together */

static void bind_text(sqlite3_stmt *statement, int64_t hash, const char *bytes, size_t size)
{
	sqlite3_bind_int64(statement, 1, hash);
	sqlite3_bind_text64(statement, 2, bytes, size, SQLITE_STATIC, SQLITE_UTF8);
}

static void bind_blob(sqlite3_stmt *statement, int64_t hash, const char *bytes, size_t size)
{
	sqlite3_bind_int64(statement, 1, hash);
	sqlite3_bind_blob64(statement, 2, bytes, size, SQLITE_STATIC);
}

/* Whole numbers, one a column. */
static void bind_numbers(sqlite3_stmt *statement, int64_t hash, const char *bytes, size_t size)
{
	int64_t number;

	sqlite3_bind_int64(statement, 1, hash);
	for (size_t at = 0; at + sizeof(number) <= size; at += sizeof(number)) {
		memcpy(&number, bytes + at, sizeof(number));
		sqlite3_bind_int64(statement, 2 + (int)(at / sizeof(number)), number);
	}
}

/* Texts that end with a NUL, one a column; a statement that has fewer leaves the rest. */
static void bind_fields(sqlite3_stmt *statement, int64_t hash, const char *bytes, size_t size)
{
	int column = 1;

	(void)hash;
	for (size_t at = 0; at < size; at += strlen(bytes + at) + 1)
		sqlite3_bind_text(statement, column++, bytes + at, -1, SQLITE_STATIC);
}

static const struct {
	const char *find, *insert;
	history_bind_fn *bind;
} tables[HISTORY_TABLE_COUNT] = {
	[HISTORY_STRINGS] = {"SELECT id FROM string WHERE hash = ? AND text = ?",
			     "INSERT INTO string(hash, text) VALUES(?, ?)", bind_text},
	[HISTORY_FRAMES] = {"SELECT id FROM frame WHERE hash = ? AND name = ? AND module = ?"
			    " AND file = ? AND line = ? AND address = ? AND kind = ?",
			    "INSERT INTO frame(hash, name, module, file, line, address, kind)"
			    " VALUES(?, ?, ?, ?, ?, ?, ?)",
			    bind_numbers},
	[HISTORY_STACKS] = {"SELECT id FROM stack WHERE hash = ? AND frames = ?",
			    "INSERT INTO stack(hash, frames) VALUES(?, ?)", bind_blob},
	[HISTORY_SERVICES] = {"SELECT id FROM service WHERE comm = ? AND cgroup = ?",
			      "INSERT INTO service(comm, cgroup, unit, container)"
			      " VALUES(?, ?, ?, ?)",
			      bind_fields},
	/* The hash is bound and not used; end_ns follows. */
	[HISTORY_PROCESSES] = {"SELECT id FROM process WHERE pid = ?2 AND birth_ns = ?3"
			       " AND service = ?4",
			       "INSERT INTO process(pid, birth_ns, service, ppid, end_ns)"
			       " VALUES(?2, ?3, ?4, ?5, 0)",
			       bind_numbers},
	[HISTORY_EVENTS] = {"SELECT id FROM event WHERE name = ? AND types = ?",
			    "INSERT INTO event(name, types, default_type) VALUES(?, ?, ?)",
			    bind_fields},
	[HISTORY_SERIES] = {"SELECT id FROM series WHERE name = ? AND unit = ? AND grp = ?"
			    " AND kind = ? AND process = ?",
			    "INSERT INTO series(name, unit, grp, kind, process)"
			    " VALUES(?, ?, ?, ?, ?)",
			    bind_fields},
};

static int prepare(struct history_writer *writer, struct error *error)
{
	int r = history_database_prepare(
		writer->db, "UPDATE process SET end_ns = ?1 WHERE id = ?2 AND end_ns < ?1", error,
		&writer->end_process);

	for (size_t i = 0; !r && i < HISTORY_TABLE_COUNT; i++)
		r = history_dictionary_init(&writer->tables[i], writer->db, tables[i].find,
					    tables[i].insert, tables[i].bind, error);
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
	for (size_t i = 0; i < HISTORY_TABLE_COUNT; i++)
		history_dictionary_deinit(&writer->tables[i]);
	sqlite3_finalize(writer->end_process);
	history_database_close(writer->db);
	*writer = (struct history_writer){0};
}

static void forget(struct history_writer *writer)
{
	for (size_t i = 0; i < HISTORY_TABLE_COUNT; i++)
		history_dictionary_forget(&writer->tables[i]);
}

static void forget_if_large(struct history_writer *writer)
{
	size_t bytes = 0;

	for (size_t i = 0; i < HISTORY_TABLE_COUNT; i++)
		bytes += history_dictionary_size(&writer->tables[i]);
	if (bytes > REMEMBERED_MAX)
		forget(writer);
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

static int row_of(struct put *put, enum history_table table, const void *bytes, size_t size,
		  int64_t *ret)
{
	return history_dictionary_row(&put->writer->tables[table], bytes, size, put->error, ret);
}

static int string_row(struct put *put, uint32_t string, int64_t *ret)
{
	int64_t *row = &put->strings[string];
	int r = 0;

	if (!*row)
		r = row_of(put, HISTORY_STRINGS, profile_text(put->profile, string),
			   strtab_length(&put->profile->strings, string), row);
	*ret = *row;
	return r;
}

/* In the order of the columns. */
struct frame_key {
	int64_t name, module, file, line, address, kind;
};

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
			r = row_of(put, HISTORY_FRAMES, &key, sizeof(key), row);
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
		r = row_of(put, HISTORY_STACKS, strbuf_text(&bytes), bytes.length, row);
	*ret = *row;
	return r;
}

static void put_field(struct strbuf *key, const char *text)
{
	strbuf_append(key, text, strlen(text) + 1);
}

static void put_number(struct strbuf *key, uint64_t number)
{
	strbuf_put_u64(key, number);
	strbuf_append(key, "", 1);
}

static int field_row(struct put *put, enum history_table table, const struct strbuf *key,
		     int64_t *ret)
{
	if (strbuf_error(key))
		return out_of_memory(put->error);
	return row_of(put, table, key->data, key->length, ret);
}

static int service_row(struct put *put, const char *comm, const char *cgroup, int64_t *ret)
{
	_cleanup_(strbuf_deinit) struct strbuf key = {0};
	struct service service;

	service_of_cgroup(cgroup, &service);
	put_field(&key, comm);
	put_field(&key, cgroup);
	put_field(&key, service.unit);
	put_field(&key, service.container);
	return field_row(put, HISTORY_SERVICES, &key, ret);
}

static uint64_t absolute(const struct profile *profile, uint64_t since_ns)
{
	return since_ns ? profile->start_ns + since_ns : 0;
}

/* In the order of the columns. */
struct process_key {
	int64_t pid, birth_ns, service, ppid;
};

static int put_process(struct put *put, size_t i)
{
	const struct profile *profile = put->profile;
	const struct profile_process *process = &profile->processes.items[i];
	sqlite3_stmt *end = put->writer->end_process;
	struct process_key key = {.pid = process->pid, .ppid = process->ppid};
	int r = service_row(put, profile_text(profile, process->comm),
			    profile_text(profile, process->cgroup), &put->services[i]);

	if (r)
		return r;
	key.service = put->services[i];
	key.birth_ns = (int64_t)(process->birth_ns ? process->birth_ns
						   : absolute(profile, process->start_ns));
	r = row_of(put, HISTORY_PROCESSES, &key, sizeof(key), &put->processes[i]);
	if (r || !process->end_ns)
		return r;
	sqlite3_bind_int64(end, 1, (int64_t)absolute(profile, process->end_ns));
	sqlite3_bind_int64(end, 2, put->processes[i]);
	return history_database_step(end, put->error);
}

static int put_event(struct put *put)
{
	const struct profile *profile = put->profile;
	_cleanup_(strbuf_deinit) struct strbuf key = {0};

	put_field(&key, profile_text(profile, profile->event));
	for (uint32_t i = 0; i < profile->value_type_count; i++)
		strbuf_printf(&key, "%s%s/%s", i ? "," : "",
			      profile_text(profile, profile->value_types[i].name),
			      profile_text(profile, profile->value_types[i].unit));
	strbuf_append(&key, "", 1);
	put_number(&key, profile->default_value);
	return field_row(put, HISTORY_EVENTS, &key, &put->window.event);
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
	_cleanup_(strbuf_deinit) struct strbuf key = {0};
	struct series like = {.kind = series->kind, .step_ns = series->step_ns}, *into;
	int64_t process = series->process == PROFILE_NONE ? 0 : put->processes[series->process];
	int64_t row;
	int r;

	put_field(&key, profile_text(profile, series->name));
	put_field(&key, profile_text(profile, series->unit));
	put_field(&key, profile_text(profile, series->group));
	put_number(&key, series->kind);
	put_number(&key, (uint64_t)process);
	r = field_row(put, HISTORY_SERIES, &key, &row);
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

/* Ends the transaction: with all that was written, or without any of it. */
static int finish(struct history_writer *writer, int r, struct error *error)
{
	if (!r)
		r = history_database_repeat(writer->db, "COMMIT", error);
	if (!r)
		return 0;
	sqlite3_exec(writer->db, "ROLLBACK", NULL, NULL, NULL);
	forget(writer); /* rows that were taken back */
	return r;
}

static int put_one(struct history_writer *writer, const struct profile *profile,
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
	return put_all(&put);
}

int history_writer_put(struct history_writer *writer, struct profile *const *profiles, size_t count,
		       struct error *error)
{
	int r;

	forget_if_large(writer);
	r = history_database_repeat(writer->db, "BEGIN IMMEDIATE", error);
	if (r)
		return r;
	for (size_t i = 0; !r && i < count; i++)
		r = put_one(writer, profiles[i], error);
	return finish(writer, r, error);
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
