/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/go_table.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/leb128.h"

/* The first word tells the form (cmd/internal and debug/gosym: go116magic, ...). */
#define MAGIC_116 0xfffffffau
#define MAGIC_118 0xfffffff0u
#define MAGIC_120 0xfffffff1u
#define HEADER_WORDS_AT 8 /* behind magic, two zeros, quantum and size of a pointer */
#define FUNCTIONS_MAX (4u << 20)

/* struct _func: entry, name, args, deferreturn, pcsp; then four words more (five
 * since 1.20), a byte funcID and a byte flag. The entry is a pointer in 1.16. */
#define FUNC_NAME 4
#define FUNC_PCSP 16
#define FUNC_FLAG_116 41
#define FUNC_FLAG_118 37
#define FUNC_FLAG_120 41

#define FLAG_TOP_FRAME 1
#define FLAG_WRITES_SP 2

#define RA_BYTES 8

struct layout {
	bool has_text; /* a word more in the header, and functions' offsets from it */
	uint32_t entry; /* bytes of an entry's address */
	uint32_t flag; /* offset of the flag in struct _func */
};

static bool find_layout(uint32_t magic, struct layout *ret)
{
	switch (magic) {
	case MAGIC_116:
		*ret = (struct layout){.entry = 8, .flag = FUNC_FLAG_116};
		return true;
	case MAGIC_118:
		*ret = (struct layout){.has_text = true, .entry = 4, .flag = FUNC_FLAG_118};
		return true;
	case MAGIC_120:
		*ret = (struct layout){.has_text = true, .entry = 4, .flag = FUNC_FLAG_120};
		return true;
	default:
		return false;
	}
}

void go_table_deinit(struct go_table *table)
{
	free(table->bytes);
	vec_free(&table->functions);
	*table = (struct go_table){0};
}

const char *go_table_name(const struct go_table *table, const struct go_function *function)
{
	const char *name = (const char *)table->bytes + function->name;

	if (function->name >= table->size || !memchr(name, '\0', table->size - function->name))
		return "";
	return name;
}

/* "runtime.mcall", and with the suffix of an assembly function's ABI. */
static bool is_named(const char *name, const char *wanted)
{
	size_t n = strlen(wanted);

	return !strncmp(name, wanted, n) && (!name[n] || !strcmp(name + n, ".abi0"));
}

static enum go_function_kind kind_of(const char *name, uint8_t flag)
{
	if (is_named(name, "runtime.sigreturn__sigaction") || is_named(name, "runtime.sigreturn"))
		return GO_SIGNAL_RETURN;
	/* Marked as the top, but a signal's frame lies above it. */
	if (is_named(name, "runtime.sigtramp"))
		return GO_PLAIN;
	if (flag & FLAG_TOP_FRAME || is_named(name, "runtime.mcall") ||
	    is_named(name, "runtime.morestack") || is_named(name, "runtime.morestack_noctxt"))
		return GO_OUTERMOST;
	return flag & FLAG_WRITES_SP ? GO_WRITES_SP : GO_PLAIN;
}

struct parse {
	struct reader reader;
	struct layout layout;
	struct go_table *table;
	uint64_t text;
	uint64_t names, deltas, functions; /* offsets of the parts */
	uint64_t count;
};

static void read_header(struct parse *parse)
{
	struct reader *reader = &parse->reader;

	reader->at = HEADER_WORDS_AT;
	parse->count = reader_u64(reader);
	reader_u64(reader); /* files */
	/* Left out since 1.26, and relocated in PIE: the section's own counts. */
	if (parse->layout.has_text)
		reader_u64(reader);
	parse->names = reader_u64(reader);
	reader_u64(reader); /* compilation units */
	reader_u64(reader); /* files' names */
	parse->deltas = reader_u64(reader);
	parse->functions = reader_u64(reader);
	if (parse->count > FUNCTIONS_MAX)
		reader_fail(reader, "more functions than there can be");
	if (parse->names >= reader->size || parse->deltas >= reader->size ||
	    parse->functions >= reader->size)
		reader_fail(reader, "a part that begins behind the end");
}

/* A word of the table at any place; 0 and a failure outside. */
static uint64_t read_at(struct reader *reader, uint64_t at, uint32_t bytes)
{
	if (at > reader->size) {
		reader_fail(reader, "an offset behind the end");
		return 0;
	}
	reader->at = (size_t)at;
	return bytes == 8   ? reader_u64(reader)
	       : bytes == 4 ? reader_u32(reader)
			    : reader_u8(reader);
}

static uint64_t entry_at(struct parse *parse, uint64_t index)
{
	uint32_t bytes = parse->layout.entry;
	uint64_t entry = read_at(&parse->reader, parse->functions + index * 2 * bytes, bytes);

	return parse->layout.has_text ? parse->text + entry : entry;
}

static int read_function(struct parse *parse, uint64_t index)
{
	uint32_t bytes = parse->layout.entry;
	struct reader *reader = &parse->reader;
	struct go_function function = {.start = entry_at(parse, index),
				       .end = entry_at(parse, index + 1)};
	uint64_t at = parse->functions +
		      read_at(reader, parse->functions + (index * 2 + 1) * bytes, bytes);
	/* The words after the entry's address. */
	uint64_t words = at + bytes - FUNC_NAME;
	uint64_t pcsp = read_at(reader, words + FUNC_PCSP, 4);

	function.name = (uint32_t)(parse->names + read_at(reader, words + FUNC_NAME, 4));
	function.deltas = pcsp ? (uint32_t)(parse->deltas + pcsp) : 0;
	function.kind = kind_of(go_table_name(parse->table, &function),
				(uint8_t)read_at(reader, at + parse->layout.flag, 1));
	if (!reader_ok(reader) || function.end < function.start) {
		reader_fail(reader, "functions out of order");
		return 0;
	}
	/* Nobody calls it: its "call" is looked up in the byte before it. */
	if (function.kind == GO_SIGNAL_RETURN && parse->table->functions.count) {
		struct go_function *before =
			&parse->table->functions.items[parse->table->functions.count - 1];

		before->end -= before->end == function.start && before->end > before->start;
		function.start = before->end;
	}
	return vec_push(&parse->table->functions, function);
}

int go_table_parse(uint8_t *bytes, size_t size, uint64_t text, struct error *error,
		   struct go_table *ret)
{
	struct go_table table = {.bytes = bytes, .size = size};
	struct parse parse = {.table = &table, .text = text};
	int r = 0;

	reader_init(&parse.reader, bytes, size);
	if (!find_layout(reader_u32(&parse.reader), &parse.layout)) {
		go_table_deinit(&table);
		return error_set(error, -ENOENT, "section .gopclntab is of another version of Go");
	}
	table.quantum = (uint8_t)read_at(&parse.reader, 6, 1);
	if (read_at(&parse.reader, 7, 1) != 8)
		reader_fail(&parse.reader, "pointers of another size");
	if (reader_ok(&parse.reader))
		read_header(&parse);
	for (uint64_t i = 0; i < parse.count && !r && reader_ok(&parse.reader); i++)
		r = read_function(&parse, i);
	if (!reader_ok(&parse.reader))
		r = error_set(error, -EINVAL, "section .gopclntab, offset 0x%zx: %s",
			      parse.reader.bad_at, parse.reader.bad);
	else if (r < 0)
		error_set(error, r, "out of memory for Go's functions");
	if (r < 0)
		go_table_deinit(&table);
	else
		*ret = table;
	return r;
}

static Elf_Scn *find_section(const struct elf_image *image, const char *wanted,
			     GElf_Shdr *ret_header)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(image->elf, &names))
		return NULL;
	while ((scn = elf_nextscn(image->elf, scn))) {
		const char *name;

		if (!gelf_getshdr(scn, ret_header) || ret_header->sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(image->elf, names, ret_header->sh_name);
		if (name && !strcmp(name, wanted))
			return scn;
	}
	return NULL;
}

int go_table_read(const struct elf_image *image, struct error *error, struct go_table *ret)
{
	GElf_Shdr header, text;
	Elf_Scn *scn = find_section(image, ".gopclntab", &header);
	Elf_Data *data;
	uint8_t *bytes;

	if (!scn) /* position-independent programs have it there */
		scn = find_section(image, ".data.rel.ro.gopclntab", &header);
	if (!scn || !find_section(image, ".text", &text))
		return error_set(error, -ENOENT, "no section .gopclntab");
	if (header.sh_size > GO_TABLE_SIZE_MAX)
		return error_set(error, -E2BIG, "section .gopclntab has more than %llu bytes",
				 GO_TABLE_SIZE_MAX);
	if (header.sh_offset > image->file_size ||
	    header.sh_size > image->file_size - header.sh_offset)
		return error_set(error, -EINVAL,
				 "section .gopclntab reaches past the end of the file");
	data = elf_rawdata(scn, NULL);
	if (!data || !data->d_buf)
		return error_set(error, -EIO, "section .gopclntab cannot be read: %s",
				 elf_errmsg(-1));
	bytes = malloc(data->d_size ? data->d_size : 1);
	if (!bytes)
		return error_set(error, -ENOMEM, "out of memory for section .gopclntab");
	memcpy(bytes, data->d_buf, data->d_size);
	return go_table_parse(bytes, data->d_size, text.sh_addr, error, ret);
}

static struct unwind_rule rule_for(const struct go_function *function, int32_t delta)
{
	struct unwind_rule rule = {.cfa = UNWIND_CFA_REGISTER,
				   .reg = UNWIND_RSP,
				   .ra = UNWIND_AT_CFA,
				   .offset = delta + RA_BYTES};

	if (function->kind == GO_OUTERMOST)
		return cfi_rule_plain(UNWIND_CFA_END, 0);
	if (function->kind == GO_SIGNAL_RETURN)
		return cfi_rule_plain(UNWIND_CFA_SIGNAL, 0);
	if (function->kind == GO_WRITES_SP) {
		/* By rbp, whatever became of rsp: with a frame of its own (since Go 1.21),
		 * or the caller's. */
		rule.cfa = UNWIND_CFA_SWITCH;
		rule.reg = UNWIND_RBP;
		rule.offset = 2 * RA_BYTES;
	}
	if (delta >= RA_BYTES || function->kind == GO_WRITES_SP) {
		rule.rbp = UNWIND_AT_CFA;
		rule.rbp_offset = -2 * RA_BYTES;
	}
	return rule;
}

/* At its entry a function that will change stacks has not done so. */
static struct unwind_rule rule_at(const struct go_function *function, uint64_t location,
				  int32_t delta)
{
	struct go_function plain = *function;

	if (function->kind == GO_WRITES_SP && location == function->start && !delta)
		plain.kind = GO_PLAIN;
	return rule_for(&plain, delta);
}

/* runtime/symtab.go, step(): pairs of numbers until a zero: the change of the value
 * (zigzag), and for how many bytes of code it holds. */
int go_table_rows(const struct go_table *table, const struct go_function *function, uint64_t from,
		  uint64_t to, cfi_row_fn *row, void *context, struct error *error)
{
	uint64_t location = function->start;
	struct reader reader;
	int64_t delta = -1;
	int r = 0;

	reader_init(&reader, table->bytes, table->size);
	reader.at = function->deltas;
	if (!function->deltas || function->deltas >= table->size ||
	    function->kind == GO_OUTERMOST || function->kind == GO_SIGNAL_RETURN) {
		struct unwind_rule rule =
			function->kind == GO_PLAIN || function->kind == GO_WRITES_SP
				? cfi_rule_plain(UNWIND_CFA_NONE, 0)
				: rule_for(function, 0);

		return row(context, from, &rule);
	}
	while (location < to && !r) {
		uint64_t change = leb128_unsigned(&reader), end;
		struct unwind_rule rule;

		if (!reader_ok(&reader) || (!change && location != function->start))
			break;
		change = change >> 1 ^ (0 - (change & 1));
		if (__builtin_add_overflow(delta, (int64_t)change, &delta) ||
		    delta != (int32_t)delta)
			reader_fail(&reader, "a frame larger than any");
		end = location + leb128_unsigned(&reader) * table->quantum;
		if (!reader_ok(&reader) || end < location)
			break;
		rule = rule_at(function, location, (int32_t)delta);
		if (end > from)
			r = row(context, location > from ? location : from, &rule);
		location = end;
	}
	if (!reader_ok(&reader))
		return error_set(error, -EINVAL, "section .gopclntab, offset 0x%zx: %s",
				 reader.bad_at, reader.bad);
	return r;
}
