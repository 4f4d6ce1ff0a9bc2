/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/go_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/strbuf.h"
#include "tests/unit/suite.h"

#define TEXT 0x401000ULL
#define MAGIC_120 0xfffffff1u
#define MAGIC_118 0xfffffff0u
#define MAGIC_116 0xfffffffau

#define NAMES 72
#define DELTAS 256
#define FUNCTIONS 320

struct made_up {
	const char *name;
	uint32_t start; /* from TEXT */
	uint8_t flag;
};

/* 0 at entry, 8 from byte 1 on, 40 from byte 5, back to 0 at byte 28, to byte 32. */
static const uint8_t deltas[] = {2, 1, 16, 4, 64, 23, 79, 4, 0};

static void put(uint8_t *bytes, size_t at, uint64_t value, size_t size)
{
	memcpy(bytes + at, &value, size);
}

/* A table of these functions; the last entry is the end. */
static uint8_t *make(uint32_t magic, const struct made_up *functions, size_t count,
		     size_t *ret_size)
{
	size_t entry = magic == MAGIC_116 ? 8 : 4, at = NAMES, header = 8;
	size_t records = FUNCTIONS + (count * 2 + 1) * entry;
	size_t flag = magic == MAGIC_118 ? 37 : 41;
	size_t size = records + count * 64;
	uint8_t *bytes = calloc(1, size);
	const uint64_t words[] = {count - 1, 0, TEXT, NAMES, 0, 0, DELTAS, FUNCTIONS};

	ck_assert_ptr_nonnull(bytes);
	put(bytes, 0, magic, 4);
	bytes[6] = 1;
	bytes[7] = 8;
	for (size_t i = 0; i < 8; i++) {
		if (i == 2 && magic == MAGIC_116)
			continue;
		put(bytes, header, words[i], 8);
		header += 8;
	}
	memcpy(bytes + DELTAS + 1, deltas, sizeof(deltas));
	for (size_t i = 0; i < count; i++) {
		size_t place = FUNCTIONS + i * 2 * entry, record = records + i * 64;

		put(bytes, place, functions[i].start + (entry == 8 ? TEXT : 0), entry);
		if (i + 1 == count)
			break;
		put(bytes, place + entry, record - FUNCTIONS, entry);
		put(bytes, record, functions[i].start + (entry == 8 ? TEXT : 0), entry);
		put(bytes, record + entry, at - NAMES, 4);
		put(bytes, record + entry + 12, 1, 4);
		bytes[record + flag] = functions[i].flag;
		strcpy((char *)bytes + at, functions[i].name);
		at += strlen(functions[i].name) + 1;
	}
	*ret_size = size;
	return bytes;
}

static const struct made_up program[] = {
	{"main.main", 0, 0},
	{"runtime.systemstack.abi0", 32, 2},
	{"runtime.sigreturn__sigaction.abi0", 64, 0},
	{"runtime.mcall", 96, 2},
	{"runtime.goexit.abi0", 128, 1},
	{"runtime.sigtramp.abi0", 160, 1},
	{"end", 192, 0},
};
enum { COUNT = sizeof(program) / sizeof(program[0]) };

struct rows {
	uint64_t start[16];
	struct unwind_rule rule[16];
	size_t count;
};

static int add(void *context, uint64_t start, const struct unwind_rule *rule)
{
	struct rows *rows = context;

	ck_assert_uint_lt(rows->count, 16);
	rows->start[rows->count] = start;
	rows->rule[rows->count++] = *rule;
	return 0;
}

static struct rows rows_of(const struct go_table *table, size_t index)
{
	const struct go_function *function = &table->functions.items[index];
	struct rows rows = {0};
	struct error error = {0};

	ck_assert_int_eq(
		go_table_rows(table, function, function->start, function->end, add, &rows, &error),
		0);
	return rows;
}

static void check_program(uint32_t magic)
{
	struct error error = {0};
	struct go_table table;
	struct rows rows;
	size_t size;
	uint8_t *bytes = make(magic, program, COUNT, &size);

	ck_assert_msg(!go_table_parse(bytes, size, TEXT, &error, &table), "%s", error.text);
	ck_assert_uint_eq(table.functions.count, COUNT - 1);
	for (size_t i = 0; i + 1 < COUNT; i++)
		ck_assert_str_eq(go_table_name(&table, &table.functions.items[i]), program[i].name);
	rows = rows_of(&table, 0);
	ck_assert_uint_eq(rows.count, 4);
	ck_assert_uint_eq(rows.start[2], TEXT + 5);
	ck_assert_int_eq(rows.rule[0].offset, 8);
	ck_assert_int_eq(rows.rule[0].rbp, UNWIND_SAME);
	ck_assert_int_eq(rows.rule[1].offset, 16);
	ck_assert_int_eq(rows.rule[1].rbp_offset, -16);
	ck_assert_int_eq(rows.rule[2].offset, 48);
	ck_assert_int_eq(rows.rule[2].rbp, UNWIND_AT_CFA);
	ck_assert_int_eq(rows.rule[3].offset, 8);
	/* It changes stacks: by rbp, but at its entry. */
	rows = rows_of(&table, 1);
	ck_assert_int_eq(rows.rule[0].cfa, UNWIND_CFA_REGISTER);
	ck_assert_int_eq(rows.rule[2].cfa, UNWIND_CFA_SWITCH);
	ck_assert_int_eq(rows.rule[2].reg, UNWIND_RBP);
	/* From a byte before it on: nobody called it. */
	ck_assert_uint_eq(table.functions.items[1].end, TEXT + 63);
	ck_assert_uint_eq(table.functions.items[2].start, TEXT + 63);
	ck_assert_int_eq(rows_of(&table, 2).rule[0].cfa, UNWIND_CFA_SIGNAL);
	ck_assert_int_eq(rows_of(&table, 3).rule[0].cfa, UNWIND_CFA_END);
	ck_assert_int_eq(rows_of(&table, 4).rule[0].cfa, UNWIND_CFA_END);
	ck_assert_int_eq(rows_of(&table, 5).rule[0].cfa, UNWIND_CFA_REGISTER);
	go_table_deinit(&table);
}

START_TEST(every_version)
{
	check_program(MAGIC_120);
	check_program(MAGIC_118);
	check_program(MAGIC_116);
}
END_TEST

START_TEST(a_part_of_a_function)
{
	struct error error = {0};
	struct go_table table;
	struct rows rows = {0};
	size_t size;
	uint8_t *bytes = make(MAGIC_120, program, COUNT, &size);

	ck_assert_int_eq(go_table_parse(bytes, size, TEXT, &error, &table), 0);
	ck_assert_int_eq(go_table_rows(&table, &table.functions.items[0], TEXT + 10, TEXT + 20, add,
				       &rows, &error),
			 0);
	ck_assert_uint_eq(rows.count, 1);
	ck_assert_uint_eq(rows.start[0], TEXT + 10);
	ck_assert_int_eq(rows.rule[0].offset, 48);
	go_table_deinit(&table);
}
END_TEST

static int parse_with(size_t at, uint64_t value, size_t width, const char *expected)
{
	struct error error = {0};
	struct go_table table = {0};
	size_t size;
	uint8_t *bytes = make(MAGIC_120, program, COUNT, &size);
	int r;

	put(bytes, at, value, width);
	r = go_table_parse(bytes, size, TEXT, &error, &table);
	if (r)
		ck_assert_msg(strstr(error.text, expected) != NULL, "%s", error.text);
	go_table_deinit(&table);
	return r;
}

START_TEST(damaged)
{
	ck_assert_int_eq(parse_with(8, COUNT - 1, 8, ""), 0);
	ck_assert_int_eq(parse_with(0, 0x12345678, 4, "version"), -ENOENT);
	ck_assert_int_eq(parse_with(7, 4, 1, "another size"), -EINVAL);
	ck_assert_int_eq(parse_with(8, UINT64_MAX, 8, "more functions"), -EINVAL);
	ck_assert_int_eq(parse_with(8, 100000, 8, "offset 0x"), -EINVAL);
	ck_assert_int_eq(parse_with(32, UINT64_MAX, 8, "behind the end"), -EINVAL);
	ck_assert_int_eq(parse_with(56, UINT64_MAX - 8, 8, "behind the end"), -EINVAL);
	ck_assert_int_eq(parse_with(64, UINT64_MAX - 64, 8, "behind the end"), -EINVAL);
	ck_assert_int_eq(parse_with(FUNCTIONS, 4096, 4, "out of order"), -EINVAL);
	ck_assert_int_eq(parse_with(FUNCTIONS + 4, UINT32_MAX, 4, "behind the end"), -EINVAL);
}
END_TEST

/* The deltas run into the end of the table, or grow beyond any frame. */
START_TEST(damaged_deltas)
{
	struct error error = {0};
	struct go_table table;
	struct rows rows = {0};
	size_t size;
	uint8_t *bytes = make(MAGIC_120, program, COUNT, &size);

	ck_assert_int_eq(go_table_parse(bytes, size, TEXT, &error, &table), 0);
	memset(bytes + DELTAS, 0xff, size - DELTAS);
	ck_assert_int_eq(go_table_rows(&table, &table.functions.items[0], TEXT, TEXT + 32, add,
				       &rows, &error),
			 -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.text, ".gopclntab, offset 0x"));
	table.functions.items[0].deltas = UINT32_MAX;
	rows = rows_of(&table, 0);
	ck_assert_uint_eq(rows.count, 1);
	ck_assert_int_eq(rows.rule[0].cfa, UNWIND_CFA_NONE);
	table.functions.items[0].name = UINT32_MAX;
	ck_assert_str_eq(go_table_name(&table, &table.functions.items[0]), "");
	go_table_deinit(&table);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("go_table");

	SUITE_CASE(suite, "go_table", every_version, a_part_of_a_function, damaged, damaged_deltas);
	return suite_main(suite);
}
