/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/jit_dump.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/reader.h"

#define MAGIC 0x4a695444u /* "JiTD" */
#define MAGIC_SWAPPED 0x4454694au
#define VERSION 1u
#define HEADER_SIZE 40u
#define PREFIX_SIZE 16u
#define ENTRY_SIZE 16u /* of a line, without its file's name */
#define MOVE_SIZE 48u
#define LOAD_SIZE 40u

enum record { CODE_LOAD, CODE_MOVE, CODE_DEBUG_INFO, CODE_CLOSE };

#define ELF_HEADER_SIZE 64u /* V8's addition to the addresses of lines */

#define NO_LINES 0u

/* A piece of the file in memory. */
#define WINDOW_SIZE 65536u

struct window {
	int fd;
	uint64_t from; /* offset in the file */
	size_t size;
	int error; /* of reading */
	uint8_t bytes[WINDOW_SIZE];
};

struct record_head {
	uint64_t at, end; /* offsets in the file */
	uint32_t id;
};

bool jit_dump_is(const void *bytes, size_t size)
{
	struct reader reader;
	uint32_t magic;

	reader_init(&reader, bytes, size);
	magic = reader_u32(&reader);
	return reader_ok(&reader) && (magic == MAGIC || magic == MAGIC_SWAPPED);
}

void jit_dump_deinit(struct jit_dump *dump)
{
	jit_functions_deinit(&dump->functions);
	vec_free(&dump->lines);
	vec_free(&dump->rows);
	vec_free(&dump->loads);
	hashmap_deinit(&dump->by_number);
	hashmap_deinit(&dump->pending);
	*dump = (struct jit_dump){0};
}

/* A reader of at most `want` bytes of the file from `at` on; fewer at its end. */
static struct reader look(struct window *window, uint64_t at, size_t want)
{
	struct reader reader;
	size_t skip = 0;

	if (at < window->from || at - window->from > window->size ||
	    window->size - (at - window->from) < want) {
		ssize_t n = pread(window->fd, window->bytes, sizeof(window->bytes), (off_t)at);

		window->error = n < 0 ? errno : 0;
		window->size = n < 0 ? 0 : (size_t)n;
		window->from = at;
	}
	skip = (size_t)(at - window->from);
	reader_init(&reader, window->bytes + skip,
		    window->size - skip < want ? window->size - skip : want);
	return reader;
}

static void damaged(struct jit_dump *dump, uint64_t at, const char *what)
{
	if (!dump->damage.code)
		error_set(&dump->damage, -EINVAL, "the jit dump, offset %" PRIu64 ": %s", at, what);
}

/* A name that ends before `end`; *ret_next: behind its NUL. NULL: it has none. */
static const char *take_name(struct window *window, uint64_t at, uint64_t end, size_t *ret_length)
{
	uint64_t left = end > at ? end - at : 0;
	struct reader reader = look(window, at, left < WINDOW_SIZE ? (size_t)left : WINDOW_SIZE);
	const char *name = (const char *)reader.data;
	const char *nul = memchr(name, '\0', reader.size);

	if (!nul)
		return NULL;
	*ret_length = (size_t)(nul - name);
	return name;
}

/* What refers to names of functions that are all forgotten is forgotten too. */
static int make_room(struct jit_dump *dump)
{
	int r = jit_functions_make_room(&dump->functions);

	if (r || dump->resets == dump->functions.resets)
		return r;
	dump->resets = dump->functions.resets;
	vec_clear(&dump->lines);
	vec_clear(&dump->rows);
	vec_clear(&dump->loads);
	hashmap_clear(&dump->by_number);
	hashmap_clear(&dump->pending);
	return 0;
}

static int remember(struct jit_dump *dump, uint64_t number, const struct jit_load *load)
{
	uint64_t *known = hashmap_get(&dump->by_number, number);
	int r;

	if (known) {
		dump->loads.items[*known] = *load;
		return 0;
	}
	if (dump->loads.count >= JIT_FUNCTIONS_MAX) {
		vec_clear(&dump->loads);
		hashmap_clear(&dump->by_number);
	}
	r = vec_push(&dump->loads, *load);
	return r ? r : hashmap_put(&dump->by_number, number, dump->loads.count - 1);
}

static uint32_t take_pending(struct jit_dump *dump, uint64_t address)
{
	uint64_t *known = hashmap_get(&dump->pending, address);
	uint32_t lines = known ? (uint32_t)*known : NO_LINES;

	hashmap_remove(&dump->pending, address);
	return lines;
}

static int code_load(struct jit_dump *dump, struct window *window, const struct record_head *head)
{
	struct reader reader = look(window, head->at + PREFIX_SIZE, LOAD_SIZE);
	struct jit_function function = {0};
	struct jit_load load;
	uint64_t number;
	size_t length;
	const char *name;
	int r;

	reader_u64(&reader); /* process, thread */
	reader_u64(&reader); /* its virtual address in the producer's eyes: the same */
	function.start = reader_u64(&reader);
	load.size = reader_u64(&reader);
	number = reader_u64(&reader);
	if (!reader_ok(&reader) || head->end - head->at < PREFIX_SIZE + LOAD_SIZE) {
		damaged(dump, head->at, "a record that is too short for code");
		return 0;
	}
	name = take_name(window, head->at + PREFIX_SIZE + LOAD_SIZE, head->end, &length);
	if (!name) {
		damaged(dump, head->at, "code whose name has no end");
		return 0;
	}
	if (!load.size || function.start + load.size < function.start)
		return 0;
	function.end = function.start + load.size;
	load.lines = function.lines = take_pending(dump, function.start);
	r = length ? jit_functions_name(&dump->functions, name, length, &load.name) : 0;
	if (!length)
		load.name = JIT_NO_NAME;
	function.name = load.name;
	if (!r)
		r = jit_functions_add(&dump->functions, function);
	return r ? r : remember(dump, number, &load);
}

/* The lines go with the code. Where it was keeps its name until other code comes there: a
 * sample from before the move may be asked for only now. */
static int code_move(struct jit_dump *dump, struct window *window, const struct record_head *head)
{
	struct reader reader = look(window, head->at + PREFIX_SIZE, MOVE_SIZE);
	struct jit_function function = {0};
	struct jit_load load;
	uint64_t *known, size;

	reader_u64(&reader);
	reader_u64(&reader);
	reader_u64(&reader); /* where it was */
	function.start = reader_u64(&reader);
	size = reader_u64(&reader);
	known = hashmap_get(&dump->by_number, reader_u64(&reader));
	if (!reader_ok(&reader) || head->end - head->at < PREFIX_SIZE + MOVE_SIZE) {
		damaged(dump, head->at, "a record that is too short for a move of code");
		return 0;
	}
	if (!size || function.start + size < function.start)
		return 0;
	function.end = function.start + size;
	load = known ? dump->loads.items[*known]
		     : (struct jit_load){.name = JIT_NO_NAME, .lines = NO_LINES};
	function.name = load.name;
	if (load.lines != NO_LINES && dump->lines.count < JIT_FUNCTIONS_MAX) {
		struct jit_lines lines = dump->lines.items[load.lines - 1];

		lines.base = function.start;
		if (vec_push(&dump->lines, lines))
			return -ENOMEM;
		function.lines = (uint32_t)dump->lines.count;
		dump->loads.items[*known].lines = function.lines;
	}
	return jit_functions_add(&dump->functions, function);
}

static int compare_rows(const void *left, const void *right)
{
	const struct jit_row *a = left, *b = right;

	return (a->offset > b->offset) - (a->offset < b->offset);
}

/* One line: *at goes behind it. False: it is damaged, or there is no memory (*r). */
static bool take_row(struct jit_dump *dump, struct window *window, uint64_t *at, uint64_t end,
		     uint64_t base, uint32_t *file, int *r)
{
	struct reader reader = look(window, *at, ENTRY_SIZE);
	uint64_t offset = reader_u64(&reader) - base;
	struct jit_row row = {.line = reader_u32(&reader)};
	const char *name;
	size_t length;

	name = end - *at < ENTRY_SIZE ? NULL : take_name(window, *at + ENTRY_SIZE, end, &length);
	if (!name || !reader_ok(&reader)) {
		damaged(dump, *at, "a line whose record ends before it");
		return false;
	}
	if (dump->rows.count >= JIT_DUMP_ROWS_MAX ||
	    dump->functions.names.bytes.count >= JIT_NAMES_MAX) {
		dump->refused++; /* and the rest of them */
		return false;
	}
	/* "\xff": the same file as of the line before. */
	if (length != 1 || (uint8_t)name[0] != 0xff)
		*r = jit_functions_name(&dump->functions, name, length, file);
	*at += ENTRY_SIZE + length + 1;
	if (*r || offset > UINT32_MAX || *file == JIT_NO_NAME)
		return !*r;
	row.offset = (uint32_t)offset;
	row.file = *file;
	if (offset < dump->least_offset)
		dump->least_offset = row.offset;
	*r = vec_push(&dump->rows, row);
	return !*r;
}

static int debug_info(struct jit_dump *dump, struct window *window, const struct record_head *head)
{
	struct reader reader = look(window, head->at + PREFIX_SIZE, 16);
	struct jit_lines lines = {.first = (uint32_t)dump->rows.count};
	uint64_t count, at = head->at + PREFIX_SIZE + 16;
	uint32_t file = JIT_NO_NAME;
	int r = 0;

	lines.base = reader_u64(&reader);
	count = reader_u64(&reader);
	if (!reader_ok(&reader) || at > head->end ||
	    count > (head->end - head->at) / (ENTRY_SIZE + 1)) {
		damaged(dump, head->at, "more lines than its record has room for");
		return 0;
	}
	if (!dump->rows.count)
		dump->least_offset = UINT32_MAX;
	while (count-- && take_row(dump, window, &at, head->end, lines.base, &file, &r))
		;
	lines.count = (uint32_t)dump->rows.count - lines.first;
	if (r || !lines.count || dump->lines.count >= JIT_FUNCTIONS_MAX)
		return r;
	qsort(&dump->rows.items[lines.first], lines.count, sizeof(struct jit_row), compare_rows);
	if (hashmap_get(&dump->pending, lines.base) == NULL &&
	    dump->pending.count >= JIT_DUMP_PENDING_MAX)
		hashmap_clear(&dump->pending);
	r = vec_push(&dump->lines, lines);
	return r ? r : hashmap_put(&dump->pending, lines.base, dump->lines.count);
}

static int take_record(struct jit_dump *dump, struct window *window, const struct record_head *head)
{
	int r = make_room(dump);

	if (r)
		return r;
	switch (head->id) {
	case CODE_LOAD:
		return code_load(dump, window, head);
	case CODE_MOVE:
		return code_move(dump, window, head);
	case CODE_DEBUG_INFO:
		return debug_info(dump, window, head);
	case CODE_CLOSE:
		dump->closed = true;
		return 0;
	default:
		return 0;
	}
}

/* True when the records begin. */
static bool read_header(struct jit_dump *dump, struct window *window)
{
	struct reader reader = look(window, 0, HEADER_SIZE);
	uint32_t magic = reader_u32(&reader), version = reader_u32(&reader);
	uint32_t size = reader_u32(&reader);

	if (reader.size < HEADER_SIZE)
		return false; /* not written yet */
	if (magic == MAGIC_SWAPPED)
		damaged(dump, 0, "of a machine with another order of bytes");
	else if (magic != MAGIC)
		damaged(dump, 0, "no jit dump");
	else if (version != VERSION)
		damaged(dump, 4, "of another version than 1");
	else if (size < HEADER_SIZE)
		damaged(dump, 8, "a header that is too short");
	else
		dump->offset = size;
	return !dump->damage.code;
}

static int read_records(struct jit_dump *dump, struct window *window, uint64_t size)
{
	uint64_t stop =
		size - dump->offset > JIT_DUMP_READ_MAX ? dump->offset + JIT_DUMP_READ_MAX : size;
	int r = 0;

	while (!r && !dump->closed && !dump->damage.code && dump->offset < stop) {
		struct reader reader = look(window, dump->offset, PREFIX_SIZE);
		struct record_head head = {.at = dump->offset, .id = reader_u32(&reader)};
		uint32_t bytes = reader_u32(&reader);

		if (reader.size < PREFIX_SIZE)
			break;
		if (bytes < PREFIX_SIZE) {
			damaged(dump, head.at, "a record that is shorter than its own head");
			break;
		}
		head.end = head.at + bytes;
		if (head.end > size)
			break; /* it is being written */
		r = take_record(dump, window, &head);
		if (!r && !dump->damage.code)
			dump->offset = head.end;
	}
	dump->more =
		!r && !dump->closed && !dump->damage.code && stop < size && dump->offset >= stop;
	return r;
}

static int read_on(struct jit_dump *dump, int fd, uint64_t size, struct error *error)
{
	_cleanup_free_ struct window *window = calloc(1, sizeof(*window));
	int r;

	if (!window)
		return -ENOMEM;
	window->fd = fd;
	if (!dump->offset && !read_header(dump, window)) {
		if (dump->damage.code)
			*error = dump->damage;
		return dump->damage.code;
	}
	r = size > dump->offset ? read_records(dump, window, size) : 0;
	if (!r)
		r = jit_functions_settle(&dump->functions);
	if (!r && window->error)
		return error_set(error, -EIO, "the jit dump, offset %" PRIu64 ": %s", window->from,
				 strerror(window->error));
	if (!r && dump->damage.code) {
		*error = dump->damage;
		return dump->damage.code;
	}
	return r;
}

int jit_dump_update(struct jit_dump *dump, int fd, struct error *error)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return error_set(error, -EIO, "the jit dump is no regular file");
	if (st.st_dev != dump->device || st.st_ino != dump->inode ||
	    (uint64_t)st.st_size < dump->offset)
		jit_dump_deinit(dump);
	dump->device = st.st_dev;
	dump->inode = st.st_ino;
	if (dump->damage.code) {
		*error = dump->damage;
		return dump->damage.code;
	}
	r = read_on(dump, fd, (uint64_t)st.st_size, error);
	if (r == -ENOMEM) {
		jit_dump_deinit(dump);
		error_set(error, r, "out of memory for a jit dump");
	}
	return r;
}

/* The last row at or before a place of the code; NULL. */
static const struct jit_row *row_at(const struct jit_dump *dump, const struct jit_lines *lines,
				    uint64_t offset)
{
	uint32_t low = 0, high = lines->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (dump->rows.items[lines->first + middle].offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &dump->rows.items[lines->first + low - 1] : NULL;
}

bool jit_dump_find(const struct jit_dump *dump, uint64_t address, struct jit_dump_place *ret)
{
	const struct jit_function *function = jit_functions_find(&dump->functions, address);
	const struct strtab *names = &dump->functions.names;
	const struct jit_row *row = NULL;

	if (!function)
		return false;
	*ret = (struct jit_dump_place){.name = strtab_get(names, function->name), .file = ""};
	if (function->lines != NO_LINES) {
		const struct jit_lines *lines = &dump->lines.items[function->lines - 1];
		uint64_t added = dump->least_offset >= ELF_HEADER_SIZE ? ELF_HEADER_SIZE : 0;

		row = row_at(dump, lines, address - lines->base + added);
	}
	if (row && strtab_get(names, row->file)[0]) {
		ret->file = strtab_get(names, row->file);
		ret->line = row->line;
	}
	return true;
}
