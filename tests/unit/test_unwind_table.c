/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "symbolizer/unwind_build.h"
#include "symbolizer/unwind_table.h"
#include "tests/unit/suite.h"

#define HEADER 40 /* bytes; the first array of the form begins there */

static struct unwind_rule rsp(int32_t offset)
{
	return (struct unwind_rule){.cfa = UNWIND_CFA_REGISTER,
				    .reg = UNWIND_RSP,
				    .ra = UNWIND_AT_CFA,
				    .offset = offset};
}

static const struct unwind_rule none = {.cfa = UNWIND_CFA_NONE, .ra = UNWIND_AT_CFA};

static void add(struct unwind_build *build, uint64_t offset, struct unwind_rule rule)
{
	ck_assert_int_eq(unwind_build_add(build, offset, &rule), 0);
}

static int32_t offset_at(const struct unwind_table *table, uint64_t offset)
{
	const struct unwind_rule *rule = unwind_table_find(table, offset);

	ck_assert_ptr_nonnull(rule);
	ck_assert_int_eq(rule->cfa, UNWIND_CFA_REGISTER);
	return rule->offset;
}

static bool is_none(const struct unwind_table *table, uint64_t offset)
{
	const struct unwind_rule *rule = unwind_table_find(table, offset);

	return !rule || rule->cfa == UNWIND_CFA_NONE;
}

/* Two functions with a hole of many blocks between them. */
static struct unwind_table small_table(void)
{
	struct unwind_build build = {0};
	struct unwind_table table;

	add(&build, 0x1234, rsp(8));
	add(&build, 0x1235, rsp(16));
	add(&build, 0x12ff, rsp(24));
	add(&build, 0x1300, rsp(32));
	add(&build, 0x1380, none);
	add(&build, 0x9000, rsp(8));
	add(&build, 0x9001, none);
	ck_assert_int_eq(unwind_build_finish(&build, &table), 0);
	unwind_build_deinit(&build);
	return table;
}

START_TEST(rows_hold_up_to_the_next)
{
	struct unwind_table table = small_table();

	ck_assert_uint_eq(table.row_count, 7);
	ck_assert_uint_eq(table.rule_count, 5); /* rsp + 8 once */
	ck_assert_ptr_null(unwind_table_find(&table, 0));
	ck_assert_ptr_null(unwind_table_find(&table, 0x11ff));
	ck_assert(is_none(&table, 0x1200));
	ck_assert(is_none(&table, 0x1233));
	ck_assert_int_eq(offset_at(&table, 0x1234), 8);
	ck_assert_int_eq(offset_at(&table, 0x1235), 16);
	ck_assert_int_eq(offset_at(&table, 0x12fe), 16);
	ck_assert_int_eq(offset_at(&table, 0x12ff), 24);
	ck_assert_int_eq(offset_at(&table, 0x1300), 32);
	ck_assert_int_eq(offset_at(&table, 0x137f), 32);
	for (uint64_t at = 0x1380; at < 0x9000; at++)
		ck_assert(is_none(&table, at));
	ck_assert_int_eq(offset_at(&table, 0x9000), 8);
	ck_assert(is_none(&table, 0x9001));
	ck_assert(is_none(&table, 0x90ff));
	ck_assert_ptr_null(unwind_table_find(&table, 0x9100));
	ck_assert_ptr_null(unwind_table_find(&table, UINT64_MAX));
	unwind_table_deinit(&table);
}
END_TEST

START_TEST(like_neighbours_merge_and_the_later_of_two_wins)
{
	struct unwind_build build = {0};
	struct unwind_table table;
	struct unwind_rule back = rsp(8);

	add(&build, 0x100, rsp(8));
	add(&build, 0x180, rsp(8));
	add(&build, 0x200, none); /* the end of one function: */
	add(&build, 0x200, rsp(8)); /* and at once the next one */
	add(&build, 0x300, none);
	ck_assert_int_eq(unwind_build_add(&build, 0x2ff, &back), -EINVAL);
	ck_assert_int_eq(unwind_build_finish(&build, &table), 0);
	ck_assert_uint_eq(table.row_count, 2);
	ck_assert_uint_eq(table.block_count, 3);
	ck_assert_int_eq(offset_at(&table, 0x2ff), 8);
	ck_assert(is_none(&table, 0x300));
	unwind_table_deinit(&table);
}
END_TEST

START_TEST(limits_of_a_table)
{
	struct unwind_build build = {0};
	struct unwind_rule rule = rsp(0);
	int r = 0;

	add(&build, 0, rsp(8));
	ck_assert_int_eq(unwind_build_add(&build, 1ULL << 40, &rule), 0);
	/* A row is written when the next one is known. */
	ck_assert_int_eq(unwind_build_add(&build, 1ULL << 41, &none), -E2BIG);
	unwind_build_deinit(&build);
	for (uint32_t i = 0; i <= UNWIND_RULES_MAX && !r; i++) {
		rule.offset = (int32_t)i * 8;
		r = unwind_build_add(&build, i, &rule);
		ck_assert_msg(!r || i == UNWIND_RULES_MAX, "%d at %u", r, i);
	}
	ck_assert_int_eq(r, -E2BIG);
	ck_assert_uint_eq(build.rules.count, UNWIND_RULES_MAX);
	unwind_build_deinit(&build);
}
END_TEST

START_TEST(what_is_encoded_decodes)
{
	struct unwind_table table = small_table(), again = {0};
	struct strbuf bytes = {0}, twice = {0};
	struct error error = {0};

	strbuf_puts(&bytes, "before"); /* it appends */
	ck_assert_int_eq(unwind_table_encode(&table, &bytes), 0);
	ck_assert_msg(!unwind_table_decode(bytes.data + 6, bytes.length - 6, &error, &again), "%s",
		      error.text);
	ck_assert_uint_eq(again.first_block, table.first_block);
	ck_assert_int_eq(unwind_table_encode(&again, &twice), 0);
	ck_assert_uint_eq(twice.length, bytes.length - 6);
	ck_assert_mem_eq(twice.data, bytes.data + 6, twice.length);
	strbuf_deinit(&bytes);
	strbuf_deinit(&twice);
	unwind_table_deinit(&table);
	unwind_table_deinit(&again);
}
END_TEST

START_TEST(empty_table)
{
	struct unwind_build build = {0};
	struct unwind_table table, again = {0};
	struct strbuf bytes = {0};

	ck_assert_int_eq(unwind_build_finish(&build, &table), 0);
	ck_assert_int_eq(unwind_table_encode(&table, &bytes), 0);
	ck_assert_int_eq(unwind_table_decode(bytes.data, bytes.length, NULL, &again), 0);
	ck_assert_ptr_null(unwind_table_find(&again, 0));
	strbuf_deinit(&bytes);
	unwind_table_deinit(&table);
	unwind_table_deinit(&again);
}
END_TEST

START_TEST(a_damaged_table_is_refused)
{
	struct unwind_table table = small_table(), untouched = {.row_count = 77};
	struct strbuf bytes = {0};
	struct error error;

	ck_assert_int_eq(unwind_table_encode(&table, &bytes), 0);
	for (size_t i = 0; i < bytes.length; i++) {
		ck_assert_int_eq(unwind_table_decode(bytes.data, i, &error, &untouched), -EBADMSG);
		bytes.data[i] ^= 0x10;
		ck_assert_int_eq(unwind_table_decode(bytes.data, bytes.length, &error, &untouched),
				 -EBADMSG);
		ck_assert_ptr_nonnull(strstr(error.text, "at byte "));
		bytes.data[i] ^= 0x10;
	}
	strbuf_putc(&bytes, 0);
	ck_assert_int_eq(unwind_table_decode(bytes.data, bytes.length, &error, &untouched),
			 -EBADMSG);
	ck_assert_uint_eq(untouched.row_count, 77);
	strbuf_deinit(&bytes);
	unwind_table_deinit(&table);
}
END_TEST

/* Bytes that lie, under a checksum that is right. */
static int decode_with(size_t at, const void *bytes, size_t n, const char *expected)
{
	struct unwind_table table = small_table(), again = {0};
	struct strbuf encoded = {0};
	struct error error = {0};
	uint64_t checksum;
	int r;

	ck_assert_int_eq(unwind_table_encode(&table, &encoded), 0);
	memcpy(encoded.data + at, bytes, n);
	checksum = htole64(XXH3_64bits(encoded.data + 16, encoded.length - 16));
	memcpy(encoded.data + 8, &checksum, sizeof(checksum));
	r = unwind_table_decode(encoded.data, encoded.length, &error, &again);
	if (r)
		ck_assert_msg(strstr(error.text, expected) != NULL, "%s", error.text);
	unwind_table_deinit(&again);
	unwind_table_deinit(&table);
	strbuf_deinit(&encoded);
	return r;
}

START_TEST(lies_under_a_good_checksum)
{
	const size_t blocks = HEADER + 5 * sizeof(struct unwind_rule);
	const size_t rows = blocks + (0x90 - 0x12 + 2) * sizeof(uint32_t);
	struct unwind_rule rule = rsp(8);
	uint32_t word;

	ck_assert_int_eq(decode_with(HEADER, &rule, sizeof(rule), ""), 0);
	rule.cfa = UNWIND_CFA_COUNT;
	ck_assert_int_eq(decode_with(HEADER, &rule, sizeof(rule), "a rule"), -EBADMSG);
	rule = rsp(8);
	rule.reg = UNWIND_REGISTERS;
	ck_assert_int_eq(decode_with(HEADER, &rule, sizeof(rule), "a rule"), -EBADMSG);
	rule = rsp(8);
	rule.rbp = UNWIND_IN_REGISTER;
	ck_assert_int_eq(decode_with(HEADER, &rule, sizeof(rule), "a rule"), -EBADMSG);
	rule = rsp(8);
	rule.ra = UNWIND_IN_REGISTER;
	rule.extra = -1;
	ck_assert_int_eq(decode_with(HEADER, &rule, sizeof(rule), "a rule"), -EBADMSG);
	rule.extra = 16;
	ck_assert_int_eq(decode_with(HEADER, &rule, sizeof(rule), ""), 0);
	word = htole32(UNWIND_TABLE_VERSION + 1);
	ck_assert_int_eq(decode_with(16, &word, 4, "version"), -EBADMSG);
	word = htole32(1); /* a block that begins behind the next one's rows */
	ck_assert_int_eq(decode_with(blocks, &word, 4, "blocks"), -EBADMSG);
	word = htole32(8);
	ck_assert_int_eq(decode_with(blocks + 4, &word, 4, "blocks"), -EBADMSG);
	word = htole32(UNWIND_ROW(0x34, 5)); /* no such rule */
	ck_assert_int_eq(decode_with(rows, &word, 4, "rows"), -EBADMSG);
	word = htole32(UNWIND_ROW(0x35, 0)); /* twice the same address */
	ck_assert_int_eq(decode_with(rows, &word, 4, "rows"), -EBADMSG);
	word = htole32(UNWIND_ROW(0x34, 0) | 1u << 24);
	ck_assert_int_eq(decode_with(rows, &word, 4, "rows"), -EBADMSG);
	word = UINT32_MAX; /* counts that overflow a size */
	for (size_t at = 20; at < 32; at += 4)
		ck_assert_int_eq(decode_with(at, &word, 4, ""), -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("unwind_table");

	SUITE_CASE(suite, "build", rows_hold_up_to_the_next,
		   like_neighbours_merge_and_the_later_of_two_wins, limits_of_a_table);
	SUITE_CASE(suite, "form", what_is_encoded_decodes, empty_table, a_damaged_table_is_refused,
		   lies_under_a_good_checksum);
	return suite_main(suite);
}
