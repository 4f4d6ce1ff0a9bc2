/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/protocol.h"

#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct error error;
static struct strbuf buf;

static void setup(void)
{
	error = (struct error){0};
}

static void teardown(void)
{
	strbuf_deinit(&buf);
}

/* Decodes the frame in buf, whose payload is moved to a block of its exact size,
 * so that the sanitizers see a read past its end. */
static int decode(struct message *ret, void **ret_block)
{
	struct protocol_header header;
	int r;

	ck_assert_uint_ge(buf.length, PROTOCOL_HEADER_SIZE);
	protocol_header_decode(buf.data, &header);
	ck_assert_uint_eq(header.length, buf.length - PROTOCOL_HEADER_SIZE);
	*ret_block = malloc(header.length ? header.length : 1);
	memcpy(*ret_block, buf.data + PROTOCOL_HEADER_SIZE, header.length);
	r = message_decode(&header, *ret_block, ret, &error);
	return r;
}

static void refuses(const char *want)
{
	struct message message = {.serial = 4711};
	void *block;

	ck_assert_int_eq(decode(&message, &block), -EBADMSG);
	ck_assert_str_eq(error.text, want);
	ck_assert_uint_eq(message.serial, 4711); /* unchanged on failure */
	free(block);
}

START_TEST(round_trip)
{
	struct message message;
	void *block;
	size_t begin = message_begin(&buf, MESSAGE_OPEN, 0xdeadbeef);

	message_put_number(&buf, FIELD_PID, 1234);
	message_put_number(&buf, FIELD_WAIT_EXEC, 1);
	message_put_number(&buf, FIELD_DURATION, 0x1122334455667788);
	message_put_text(&buf, FIELD_TITLE, "a title");
	message_put_text(&buf, FIELD_EVENT, "");
	message_end(&buf, begin);
	ck_assert_msg(!decode(&message, &block), "%s", error.text);
	ck_assert_int_eq(message.info->type, MESSAGE_OPEN);
	ck_assert_uint_eq(message.serial, 0xdeadbeef);
	ck_assert_uint_eq(message_u32(&message, FIELD_PID), 1234);
	ck_assert_uint_eq(message_u64(&message, FIELD_WAIT_EXEC), 1);
	ck_assert_uint_eq(message_u64(&message, FIELD_DURATION), 0x1122334455667788);
	ck_assert_str_eq(message_text(&message, FIELD_TITLE), "a title");
	ck_assert_str_eq(message_text(&message, FIELD_EVENT), "");
	ck_assert(message_has(&message, FIELD_EVENT));
	ck_assert(!message_has(&message, FIELD_BACKGROUND));
	ck_assert_uint_eq(message_u64(&message, FIELD_BACKGROUND), 0);
	free(block);
}
END_TEST

START_TEST(bytes_round_trip)
{
	struct message message;
	void *block;
	size_t begin = message_begin(&buf, MESSAGE_PROFILE, 1), bytes;

	message_put_number(&buf, FIELD_SESSION, 3);
	message_put_text(&buf, FIELD_END, "exit");
	bytes = message_begin_bytes(&buf, FIELD_PROFILE);
	strbuf_append(&buf, "a\0b", 3);
	message_end_bytes(&buf, bytes);
	message_end(&buf, begin);
	ck_assert_msg(!decode(&message, &block), "%s", error.text);
	ck_assert_uint_eq(message.values[FIELD_PROFILE].size, 3);
	ck_assert_mem_eq(message.values[FIELD_PROFILE].bytes, "a\0b", 3);
	free(block);
}
END_TEST

START_TEST(second_message_in_a_buffer)
{
	struct protocol_header header;
	size_t begin;

	message_end(&buf, message_begin(&buf, MESSAGE_OK, 1));
	begin = message_begin(&buf, MESSAGE_ERROR, 2);
	message_put_number(&buf, FIELD_CODE, 5);
	message_end(&buf, begin);
	protocol_header_decode(buf.data, &header);
	ck_assert_uint_eq(header.length, 0);
	protocol_header_decode(buf.data + begin, &header);
	ck_assert_uint_eq(header.length, buf.length - begin - PROTOCOL_HEADER_SIZE);
}
END_TEST

START_TEST(long_text_is_cut)
{
	char text[600];
	struct message message;
	void *block;
	size_t begin = message_begin(&buf, MESSAGE_OPEN, 1);

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	message_put_number(&buf, FIELD_PID, 1);
	message_put_text(&buf, FIELD_TITLE, text);
	message_end(&buf, begin);
	ck_assert_msg(!decode(&message, &block), "%s", error.text);
	ck_assert_uint_eq(message.values[FIELD_TITLE].size, 255);
	free(block);
}
END_TEST

START_TEST(header_limits)
{
	struct protocol_header header = {.version = PROTOCOL_VERSION, .length = 65536};

	ck_assert_int_eq(protocol_header_check(&header, PROTOCOL_REQUEST_MAX, &error), 0);
	header.length++;
	ck_assert_int_eq(protocol_header_check(&header, PROTOCOL_REQUEST_MAX, &error), -EMSGSIZE);
	ck_assert_str_eq(error.text, "a frame of 65537 bytes: at most 65536 are taken");
	header.version = 77; /* said first: of another version the length may mean anything */
	ck_assert_int_eq(protocol_header_check(&header, PROTOCOL_REQUEST_MAX, &error), -EPROTO);
	ck_assert_ptr_nonnull(strstr(error.text, "version 77"));
	ck_assert_ptr_nonnull(strstr(error.text, "version 1"));
}
END_TEST

START_TEST(bad_fields)
{
	size_t begin = message_begin(&buf, MESSAGE_STOP, 1);

	message_end(&buf, begin);
	refuses("stop: field \"session\" is missing");

	message_put_number(&buf, FIELD_SESSION, 1);
	message_put_number(&buf, FIELD_SESSION, 1);
	message_end(&buf, begin);
	refuses("stop: field \"session\" is there twice");

	buf.length = PROTOCOL_HEADER_SIZE;
	message_put_number(&buf, FIELD_PID, 1);
	message_end(&buf, begin);
	refuses("stop: unknown field 8 (pid)");

	buf.length = PROTOCOL_HEADER_SIZE;
	strbuf_u16(&buf, 60000);
	strbuf_u32(&buf, 0);
	message_end(&buf, begin);
	refuses("stop: unknown field 60000 (no such tag)");

	buf.length = PROTOCOL_HEADER_SIZE;
	strbuf_u16(&buf, FIELD_SESSION);
	strbuf_u32(&buf, 2);
	strbuf_u16(&buf, 1);
	message_end(&buf, begin);
	refuses("stop: field \"session\" has 2 bytes, not 4");

	buf.length = PROTOCOL_HEADER_SIZE;
	strbuf_u16(&buf, FIELD_SESSION);
	strbuf_u32(&buf, 0xffffffff);
	strbuf_u32(&buf, 1);
	message_end(&buf, begin);
	refuses("stop: field \"session\" claims 4294967295 bytes, the frame has 4 left");

	buf.length = PROTOCOL_HEADER_SIZE;
	strbuf_u16(&buf, FIELD_SESSION);
	message_end(&buf, begin);
	refuses("stop: 0 bytes after the last whole field");
}
END_TEST

static void put_raw(enum protocol_field field, const char *bytes, size_t n)
{
	size_t begin = message_begin_bytes(&buf, field);

	strbuf_append(&buf, bytes, n);
	message_end_bytes(&buf, begin);
}

START_TEST(bad_values)
{
	static const char *const no_text =
		"hello: field \"program\" is no text with one NUL, at its end";
	size_t begin = message_begin(&buf, MESSAGE_HELLO, 1);

	put_raw(FIELD_PROGRAM, "no nul", 6);
	message_end(&buf, begin);
	refuses(no_text);
	buf.length = PROTOCOL_HEADER_SIZE;
	put_raw(FIELD_PROGRAM, "two\0nuls", 9);
	message_end(&buf, begin);
	refuses(no_text);
	buf.length = PROTOCOL_HEADER_SIZE;
	put_raw(FIELD_PROGRAM, "", 0);
	message_end(&buf, begin);
	refuses(no_text);

	strbuf_clear(&buf);
	begin = message_begin(&buf, MESSAGE_OPEN, 1);
	message_put_number(&buf, FIELD_PID, 1);
	put_raw(FIELD_BACKGROUND, "\2", 1);
	message_end(&buf, begin);
	refuses("open: field \"background\" is neither 0 nor 1");
}
END_TEST

START_TEST(unknown_type)
{
	message_end(&buf, message_begin(&buf, (enum message_type)999, 1));
	refuses("unknown message type 999");
}
END_TEST

/* Every message of the table, with all its fields, and each of its bytes and
 * lengths disturbed: refused or taken, but never read past its end (the
 * sanitizers' part), and never with a field the table does not allow. */
START_TEST(mutations)
{
	static const enum field_type types[] = {
#define X(name, tag, type, max, text, meaning) [tag] = FIELD_TYPE_##type,
		PROTOCOL_FIELDS(X)
#undef X
	};

	for (uint16_t type = 0; type < 256; type++) {
		const struct message_info *info = message_info(type);
		size_t begin, whole;

		if (!info)
			continue;
		strbuf_clear(&buf);
		begin = message_begin(&buf, info->type, 1);
		for (unsigned int field = 1; field < FIELD_END_OF_TAGS; field++) {
			if (!((info->must | info->may) >> field & 1))
				continue;
			if (field == FIELD_PROFILE)
				put_raw(FIELD_PROFILE, "xyz", 3);
			else if (types[field] == FIELD_TYPE_TEXT)
				message_put_text(&buf, field, "text");
			else
				message_put_number(&buf, field, 1);
		}
		message_end(&buf, begin);
		whole = buf.length;
		for (size_t at = PROTOCOL_HEADER_SIZE; at <= whole; at++) {
			for (unsigned int flip = 0; flip < 256; flip += at < whole ? 1 : 256) {
				struct message message = {0};
				void *block;

				if (at < whole)
					buf.data[at] ^= (char)flip;
				if (!decode(&message, &block)) {
					ck_assert(!(info->must & ~message.present));
					ck_assert(!(message.present & ~(info->must | info->may)));
				} else {
					ck_assert_msg(at < whole && flip, "%s: %s", info->name,
						      error.text);
				}
				free(block);
				if (at < whole)
					buf.data[at] ^= (char)flip;
			}
		}
		for (size_t cut = PROTOCOL_HEADER_SIZE; cut < whole; cut++) {
			struct message message;
			void *block;

			buf.length = cut;
			message_end(&buf, begin);
			decode(&message, &block);
			free(block);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("protocol");
	TCase *tcase = tcase_create("codec");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, round_trip);
	tcase_add_test(tcase, bytes_round_trip);
	tcase_add_test(tcase, second_message_in_a_buffer);
	tcase_add_test(tcase, long_text_is_cut);
	tcase_add_test(tcase, header_limits);
	tcase_add_test(tcase, bad_fields);
	tcase_add_test(tcase, bad_values);
	tcase_add_test(tcase, unknown_type);
	tcase_add_test(tcase, mutations);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
