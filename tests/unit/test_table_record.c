/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A record of an unwind table: what goes in comes out, and nothing else does: not
 * a record that is cut off, changed in any byte, or another file's.
 */
#include <check.h>
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "tests/unit/suite.h"
#include "tests/unit/table_fixture.h"

static struct strbuf encode(const struct table_record *record, const void *bytes, size_t size)
{
	struct table_key key = table_key(1);
	struct strbuf out = {0};

	ck_assert_int_eq(table_record_header(record, &key, bytes, size, &out), 0);
	ck_assert_uint_eq(out.length, TABLE_RECORD_HEADER);
	strbuf_append(&out, bytes, size);
	return out;
}

static struct strbuf encode_table(uint32_t rows)
{
	struct strbuf bytes = table_bytes(rows), out;
	struct table_record record = {.build_id = {1, 2, 3}, .build_id_size = 3};

	out = encode(&record, bytes.data, bytes.length);
	strbuf_deinit(&bytes);
	return out;
}

static int parse(const void *bytes, size_t size, struct table_record *ret)
{
	struct table_key key = table_key(1);

	return table_record_parse(bytes, size, &key, ret);
}

START_TEST(a_table_comes_back)
{
	struct strbuf whole = encode_table(1000);
	struct table_record record;

	ck_assert_int_eq(parse(whole.data, whole.length, &record), 0);
	ck_assert_int_eq(record.error, 0);
	ck_assert_uint_eq(record.table.row_count, 1000);
	ck_assert_uint_eq(record.build_id_size, 3);
	ck_assert_uint_eq(record.build_id[2], 3);
	ck_assert_ptr_nonnull(unwind_table_find(&record.table, 100));
	unwind_table_deinit(&record.table);
	strbuf_deinit(&whole);
}
END_TEST

START_TEST(an_error_comes_back)
{
	static const char text[] = "no call frame information";
	struct table_record record = {.error = -ENODATA};
	struct strbuf whole = encode(&record, text, strlen(text));

	ck_assert_int_eq(parse(whole.data, whole.length, &record), 0);
	ck_assert_int_eq(record.error, -ENODATA);
	ck_assert_str_eq(record.text, text);
	ck_assert_ptr_null(record.table.rows);
	strbuf_deinit(&whole);
}
END_TEST

START_TEST(cut_off_anywhere)
{
	struct strbuf whole = encode_table(100);
	struct table_record record;

	for (size_t size = 0; size < whole.length; size++)
		ck_assert_int_eq(parse(whole.data, size, &record), -EBADMSG);
	strbuf_putc(&whole, 0);
	ck_assert_int_eq(parse(whole.data, whole.length, &record), -EBADMSG);
	strbuf_deinit(&whole);
}
END_TEST

START_TEST(any_byte_changed)
{
	struct strbuf whole = encode_table(100);
	struct table_record record;

	for (size_t at = 0; at < whole.length; at++) {
		whole.data[at] = (char)(whole.data[at] ^ 1 << at % 8);
		ck_assert_int_eq(parse(whole.data, whole.length, &record), -EBADMSG);
		whole.data[at] = (char)(whole.data[at] ^ 1 << at % 8);
	}
	strbuf_deinit(&whole);
}
END_TEST

static void make_checksum_right(struct strbuf *whole)
{
	uint64_t sum = XXH3_64bits(whole->data + 16, whole->length - 16);

	memcpy(whole->data + 8, &sum, sizeof(sum));
}

/* Whoever can make a checksum still cannot make these be believed. */
START_TEST(fields_out_of_range)
{
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {
		{16, 2}, /* version */
		{17, 1},    {22, 1}, /* an error beyond all */
		{24, 0xff}, /* size */
		{31, 0xff}, {40, 9}, /* the key's inode */
		{88, 21}, /* size of the build id */
		{95, 0x80}, {TABLE_RECORD_HEADER, 0}, /* the table's own magic */
	};
	struct strbuf whole = encode_table(100);
	struct table_record record;

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		char before = whole.data[changes[i].at];

		whole.data[changes[i].at] = (char)changes[i].value;
		make_checksum_right(&whole);
		ck_assert_msg(parse(whole.data, whole.length, &record) == -EBADMSG, "byte %zu",
			      changes[i].at);
		whole.data[changes[i].at] = before;
	}
	make_checksum_right(&whole);
	ck_assert_int_eq(parse(whole.data, whole.length, &record), 0);
	unwind_table_deinit(&record.table);
	strbuf_deinit(&whole);
}
END_TEST

START_TEST(a_text_of_any_length)
{
	char text[300];
	struct table_record record = {.error = -EINVAL};
	struct strbuf whole;

	memset(text, 'x', sizeof(text));
	whole = encode(&record, text, 255);
	ck_assert_int_eq(parse(whole.data, whole.length, &record), 0);
	ck_assert_uint_eq(strlen(record.text), 255);
	strbuf_deinit(&whole);
	whole = encode(&record, text, 256);
	ck_assert_int_eq(parse(whole.data, whole.length, &record), -EBADMSG);
	strbuf_deinit(&whole);
	whole = encode(&record, text, 0);
	ck_assert_int_eq(parse(whole.data, whole.length, &record), 0);
	ck_assert_str_eq(record.text, "");
	strbuf_deinit(&whole);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("table_record");

	SUITE_CASE(suite, "record", a_table_comes_back, an_error_comes_back, cut_off_anywhere,
		   any_byte_changed, fields_out_of_range, a_text_of_any_length);
	return suite_main(suite);
}
