/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_lines.h"

#include <dwarf.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/base/cleanup.h"

#define FORMATS_MAX 64u /* of a file's description */

struct sequence { /* rows that belong together, with an end */
	uint64_t start;
	size_t first, count;
};

struct wide_row {
	uint64_t address;
	uint32_t line, file;
};

struct program {
	struct dwarf_entries entries; /* for the forms of version 5 */
	struct dwarf_unit unit; /* of this table: with its own sizes */
	struct dwarf_lines *out;
	const struct dwarf_bounds *bounds;
	const struct dwarf_asked *asked; /* NULL: all addresses */
	uint8_t minimum, line_range, opcode_base;
	int8_t line_base;
	uint8_t operands[256]; /* of the standard opcodes */
	VEC(struct wide_row) rows;
	VEC(struct sequence) sequences;
	size_t sequence; /* first row of the one under way */
	/* The state machine's registers. */
	uint64_t address;
	uint32_t file, line;
};

static void blame(struct program *program, const uint8_t *at, const char *what)
{
	dwarf_file_blame(program->entries.file, DWARF_LINE,
			 program->entries.begin_at + (uint64_t)(at - program->entries.begin), what);
}

/* ---- header ---- */

static int add_source(struct program *program, const struct dwarf_string *name, uint64_t folder)
{
	struct dwarf_source source = {.name = *name,
				      .folder = folder < UINT32_MAX ? (uint32_t)folder : 0};

	if (program->out->sources.count >= DWARF_FILES_MAX)
		return -E2BIG;
	return vec_push(&program->out->sources, source);
}

static struct dwarf_string text_here(struct program *program)
{
	struct dwarf_string text = {.offset = dwarf_entries_place(&program->entries),
				    .section = DWARF_LINE};

	cursor_text(&program->entries.cursor);
	return text;
}

/* Up to version 4: texts until an empty one. Number 0 is the unit's folder. */
static int read_old_tables(struct program *program)
{
	struct dwarf_cursor *cursor = &program->entries.cursor;
	int r = vec_push(&program->out->folders, program->unit.folder);

	while (!r && cursor_left(cursor) && *cursor->at) {
		struct dwarf_string text = text_here(program);

		r = program->out->folders.count < DWARF_FILES_MAX
			    ? vec_push(&program->out->folders, text)
			    : -E2BIG;
	}
	cursor_u8(cursor);
	while (!r && cursor_left(cursor) && *cursor->at) {
		struct dwarf_string text = text_here(program);
		uint64_t folder = cursor_uleb(cursor);

		cursor_uleb(cursor); /* time */
		cursor_uleb(cursor); /* size */
		r = add_source(program, &text, folder);
	}
	cursor_u8(cursor);
	return r;
}

struct format {
	uint64_t content;
	struct dwarf_attribute attribute;
};

/* Version 5: a table of folders and one of files, each with a description. */
static int read_new_table(struct program *program, bool folders)
{
	struct dwarf_cursor *cursor = &program->entries.cursor;
	struct format formats[FORMATS_MAX];
	unsigned format_count = cursor_u8(cursor);
	uint64_t count;
	int r = 0;

	if (format_count > FORMATS_MAX)
		return -EBADMSG;
	for (unsigned i = 0; i < format_count; i++) {
		formats[i] = (struct format){.content = cursor_uleb(cursor)};
		formats[i].attribute.form = (uint16_t)cursor_uleb(cursor);
	}
	count = cursor_uleb(cursor);
	for (uint64_t n = 0; n < count && cursor_left(cursor) && format_count && !r; n++) {
		struct dwarf_string name = {.offset = DWARF_NOWHERE};
		struct dwarf_value value;
		uint64_t folder = 0;

		for (unsigned i = 0; i < format_count; i++) {
			bool text = formats[i].attribute.form == DW_FORM_string;

			dwarf_value_read(&program->entries, &formats[i].attribute, &value);
			if (text)
				value.string.section = DWARF_LINE;
			if (formats[i].content == DW_LNCT_path && value.class == DWARF_CLASS_STRING)
				name = value.string;
			else if (formats[i].content == DW_LNCT_directory_index)
				folder = value.number;
		}
		if (!folders)
			r = add_source(program, &name, folder);
		else if (program->out->folders.count < DWARF_FILES_MAX)
			r = vec_push(&program->out->folders, name);
		else
			r = -E2BIG;
	}
	return r;
}

static int read_tables(struct program *program)
{
	int r;

	if (program->unit.encoding.version < 5)
		return read_old_tables(program);
	program->out->from_zero = true;
	r = read_new_table(program, true);
	return r ? r : read_new_table(program, false);
}

/* Behind the length and version: everything up to the program. */
static int read_header(struct program *program)
{
	struct dwarf_encoding *encoding = &program->unit.encoding;
	struct dwarf_cursor *cursor = &program->entries.cursor;
	const uint8_t *begin;
	uint64_t length;
	int r;

	if (encoding->version >= 5) {
		encoding->address_size = cursor_u8(cursor);
		cursor_u8(cursor); /* segment selectors */
	}
	length = cursor_sized(cursor, encoding->offset_size);
	begin = cursor->at;
	if (length > cursor_left(cursor))
		return -EBADMSG;
	program->minimum = cursor_u8(cursor);
	if (encoding->version >= 4)
		cursor_u8(cursor); /* operations an instruction: VLIW machines */
	cursor_u8(cursor); /* whether lines are statements at first */
	program->line_base = (int8_t)cursor_u8(cursor);
	program->line_range = cursor_u8(cursor);
	program->opcode_base = cursor_u8(cursor);
	for (unsigned i = 1; i < program->opcode_base; i++)
		program->operands[i] = cursor_u8(cursor);
	if (cursor->bad || !program->line_range || !program->opcode_base ||
	    (encoding->address_size != 4 && encoding->address_size != 8))
		return -EBADMSG;
	r = read_tables(program);
	if (r < 0)
		return r;
	cursor->at = begin + length;
	cursor->bad = false;
	return 0;
}

/* ---- the program ---- */

static void reset(struct program *program)
{
	program->address = 0;
	program->file = program->line = 1;
	program->sequence = program->rows.count;
}

static inline int add_row(struct program *program)
{
	struct wide_row row = {program->address, program->line, program->file};

	if (program->rows.count > program->sequence) {
		struct wide_row *last = &program->rows.items[program->rows.count - 1];

		if (row.address <= last->address) { /* it cannot go back */
			if (row.address == last->address)
				*last = row;
			return 0;
		}
		if (row.line == last->line && row.file == last->file)
			return 0;
	}
	return program->rows.count < DWARF_ROWS_MAX ? vec_push(&program->rows, row) : -E2BIG;
}

/* Of the sequence's rows those stay that addresses which are asked for lie in, each
 * with the next one, where it ends. */
static void keep_asked(struct program *program, struct dwarf_asked_part asked)
{
	struct wide_row *rows = program->rows.items;
	size_t end = program->rows.count, kept = program->sequence, at = kept;

	for (size_t i = asked.first; i < asked.end; i++) {
		uint64_t address = program->asked->addresses[i];

		while (at + 1 < end && rows[at + 1].address <= address)
			at++;
		for (size_t row = at; row < at + 2 && row < end; row++) {
			if (kept == program->sequence || rows[kept - 1].address < rows[row].address)
				rows[kept++] = rows[row];
		}
	}
	program->rows.count = kept;
}

/* Is nobody asking for what is in the sequence? */
static bool is_unasked(const struct program *program, uint64_t start, uint64_t end,
		       struct dwarf_asked_part *ret)
{
	struct dwarf_asked_part all = {.end = program->asked ? program->asked->count : 0};

	if (!program->asked)
		return false;
	*ret = dwarf_asked_in(program->asked, all, start, end);
	return ret->first == ret->end;
}

static int end_sequence(struct program *program)
{
	struct wide_row end = {program->address, 0, DWARF_NONE};
	struct sequence sequence = {.first = program->sequence};
	struct dwarf_asked_part asked = {0};
	int r = 0;

	if (program->rows.count > program->sequence) {
		sequence.start = program->rows.items[program->sequence].address;
		if (!sequence.start || sequence.start < program->bounds->start ||
		    end.address > program->bounds->end || end.address <= sequence.start ||
		    is_unasked(program, sequence.start, end.address, &asked)) {
			program->rows.count = program->sequence;
		} else {
			r = vec_push(&program->rows, end);
			if (!r && program->asked)
				keep_asked(program, asked);
			sequence.count = program->rows.count - sequence.first;
			if (!r)
				r = vec_push(&program->sequences, sequence);
		}
	}
	reset(program);
	return r;
}

static int extended(struct program *program)
{
	struct dwarf_cursor *cursor = &program->entries.cursor;
	uint64_t length = cursor_uleb(cursor);
	const uint8_t *begin = cursor->at;
	int r = 0;

	if (!length || length > cursor_left(cursor)) {
		cursor_fail(cursor);
		return 0;
	}
	switch (cursor_u8(cursor)) {
	case DW_LNE_end_sequence:
		r = end_sequence(program);
		break;
	case DW_LNE_set_address:
		program->address = cursor_sized(cursor, length == 9 ? 8 : 4);
		break;
	default: /* a discriminator, or a file that nobody defines any more */
		break;
	}
	if (!cursor->bad)
		cursor->at = begin + length;
	return r;
}

static int standard(struct program *program, unsigned opcode)
{
	struct dwarf_cursor *cursor = &program->entries.cursor;

	switch (opcode) {
	case DW_LNS_copy:
		return add_row(program);
	case DW_LNS_advance_pc:
		program->address += cursor_uleb(cursor) * program->minimum;
		return 0;
	case DW_LNS_advance_line:
		program->line += (uint32_t)cursor_sleb(cursor);
		return 0;
	case DW_LNS_set_file:
		program->file = (uint32_t)cursor_uleb(cursor);
		return 0;
	case DW_LNS_const_add_pc:
		program->address += (uint64_t)((255 - program->opcode_base) / program->line_range) *
				    program->minimum;
		return 0;
	case DW_LNS_fixed_advance_pc:
		program->address += cursor_u16(cursor);
		return 0;
	default:
		for (unsigned i = 0; i < program->operands[opcode]; i++)
			cursor_uleb(cursor);
		return 0;
	}
}

/* What each special opcode does, worked out once: there are no divisions in the loop. */
struct special {
	uint32_t advance; /* of the address */
	int32_t line;
};

static void work_out(const struct program *program, struct special specials[256])
{
	for (unsigned opcode = program->opcode_base; opcode < 256; opcode++) {
		unsigned adjusted = opcode - program->opcode_base;

		specials[opcode].advance = adjusted / program->line_range * program->minimum;
		specials[opcode].line = program->line_base + (int)(adjusted % program->line_range);
	}
}

static int run(struct program *program)
{
	struct dwarf_cursor *cursor = &program->entries.cursor;
	unsigned base = program->opcode_base;
	struct special specials[256];
	const uint8_t *last = cursor->at; /* opcode with operands */
	int r = 0;

	work_out(program, specials);
	reset(program);
	while (cursor->at < cursor->end && !r) {
		unsigned opcode = *cursor->at++;

		if (opcode >= base) {
			program->address += specials[opcode].advance;
			program->line += (uint32_t)specials[opcode].line;
			r = add_row(program);
		} else if (opcode == DW_LNS_set_column) { /* nearly half of all opcodes, */
			cursor_uleb(cursor); /* with the next one */
		} else if (opcode == DW_LNS_negate_stmt) {
			continue;
		} else {
			last = cursor->at - 1;
			r = opcode ? standard(program, opcode) : extended(program);
		}
	}
	if (cursor->bad)
		blame(program, last, "an instruction of a line program that is cut off");
	return r;
}

/* ---- the table ---- */

static int compare(const void *left, const void *right)
{
	const struct sequence *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return (a->first > b->first) - (a->first < b->first);
}

/* Rows of a sequence that overlaps the one before go where that one ends. */
static int put_row(struct dwarf_lines *lines, const struct wide_row *row)
{
	struct dwarf_row *last =
		lines->rows.count ? &lines->rows.items[lines->rows.count - 1] : NULL;
	struct dwarf_row narrow = {(uint32_t)(row->address - lines->base), row->line, row->file};

	if (last && narrow.at < last->at)
		return 0;
	if (last && narrow.at == last->at) {
		*last = narrow;
		return 0;
	}
	return vec_push(&lines->rows, narrow);
}

static int arrange(struct program *program)
{
	struct dwarf_lines *out = program->out;
	size_t total = 0;
	int r = 0;

	if (!program->sequences.count)
		return 0;
	if (program->sequences.count > 1)
		qsort(program->sequences.items, program->sequences.count,
		      sizeof(*program->sequences.items), compare);
	out->base = program->sequences.items[0].start;
	for (size_t i = 0; i < program->sequences.count; i++)
		total += program->sequences.items[i].count;
	r = vec_reserve(&out->rows, total);
	for (size_t i = 0; i < program->sequences.count && !r; i++) {
		const struct sequence *sequence = &program->sequences.items[i];
		const struct wide_row *rows = program->rows.items + sequence->first;

		if (rows[sequence->count - 1].address - out->base > UINT32_MAX)
			continue;
		for (size_t j = 0; j < sequence->count && !r; j++)
			r = put_row(out, &rows[j]);
	}
	return r;
}

/* The program's bytes, from its length on; NULL if it is not whole. */
static const uint8_t *load(struct dwarf_file *file, uint64_t offset, uint8_t **buffer,
			   uint64_t *ret_size, uint8_t *ret_offset_size)
{
	uint64_t length, left;
	struct dwarf_cursor cursor;
	const uint8_t *bytes;
	size_t capacity = 0;
	uint32_t got = 0;

	if (offset >= file->sections[DWARF_LINE].size)
		return NULL;
	left = file->sections[DWARF_LINE].size - offset;
	bytes = dwarf_file_peek(file, DWARF_LINE, offset, left < 12 ? (uint32_t)left : 12, &got);
	cursor = cursor_of(bytes, bytes ? got : 0);
	length = cursor_u32(&cursor);
	*ret_offset_size = 4;
	if (length == UINT32_MAX) {
		length = cursor_u64(&cursor);
		*ret_offset_size = 8;
	}
	if (cursor.bad || length > DWARF_PROGRAM_MAX)
		return NULL;
	*ret_size = length + (*ret_offset_size == 8 ? 12 : 4);
	return dwarf_file_read(file, DWARF_LINE, offset, *ret_size, buffer, &capacity);
}

int dwarf_lines_init(struct dwarf_lines *ret, struct dwarf_file *file,
		     const struct dwarf_unit *unit, const struct dwarf_bounds *bounds,
		     const struct dwarf_asked *asked)
{
	_cleanup_free_ uint8_t *buffer = NULL;
	struct program program = {.unit = *unit, .bounds = bounds, .asked = asked};
	struct dwarf_lines lines = {0};
	struct dwarf_cursor *cursor = &program.entries.cursor;
	const uint8_t *bytes;
	uint64_t size = 0;
	int r;

	bytes = load(file, unit->line_offset, &buffer, &size, &program.unit.encoding.offset_size);
	if (!bytes) {
		dwarf_file_blame(file, DWARF_LINE, unit->line_offset,
				 "a line program that is not whole");
		return -EBADMSG;
	}
	program.out = &lines;
	program.entries = (struct dwarf_entries){
		.file = file, .unit = &program.unit, .begin = bytes, .begin_at = unit->line_offset};
	*cursor = cursor_of(bytes, size);
	cursor_skip(cursor, program.unit.encoding.offset_size == 8 ? 12 : 4);
	program.unit.encoding.version = (uint8_t)cursor_u16(cursor);
	r = program.unit.encoding.version >= 2 && program.unit.encoding.version <= 5
		    ? read_header(&program)
		    : -EBADMSG;
	if (r == -EBADMSG)
		blame(&program, bytes, "a line program whose header cannot be read");
	if (!r)
		r = run(&program);
	if (!r)
		r = arrange(&program);
	vec_free(&program.rows);
	vec_free(&program.sequences);
	if (r < 0) {
		dwarf_lines_deinit(&lines);
		return r;
	}
	*ret = lines;
	return 0;
}

void dwarf_lines_deinit(struct dwarf_lines *lines)
{
	vec_free(&lines->rows);
	vec_free(&lines->sources);
	vec_free(&lines->folders);
}

size_t dwarf_lines_memory(const struct dwarf_lines *lines)
{
	return lines->rows.capacity * sizeof(*lines->rows.items) +
	       lines->sources.capacity * sizeof(*lines->sources.items) +
	       lines->folders.capacity * sizeof(*lines->folders.items);
}

const struct dwarf_row *dwarf_lines_find(const struct dwarf_lines *lines, uint64_t address)
{
	const struct dwarf_row *rows = lines->rows.items;
	uint64_t offset = address - lines->base;
	size_t low = 0, high = lines->rows.count;

	if (address < lines->base || offset > UINT32_MAX)
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (rows[middle].at <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low && rows[low - 1].file != DWARF_NONE ? &rows[low - 1] : NULL;
}

struct dwarf_source *dwarf_lines_source(const struct dwarf_lines *lines, uint32_t number)
{
	uint32_t at = lines->from_zero ? number : number - 1;

	return at < lines->sources.count ? &lines->sources.items[at] : NULL;
}
