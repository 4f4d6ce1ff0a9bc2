/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/pprof.h"
#include "flamegraph/protobuf.h"
#include "tests/unit/read_text.h"

static const char golden[] = "title app\nstart 1700000000000000000\nduration 2000000000\n"
			     "frequency 100\nvalue cpu-clock nanoseconds\nvalue samples count\n"
			     "process 12 1 app\nof 0 0\n"
			     "stack app;main@/bin/app@0x10;f@/bin/app@0x20;g_[i];h_[i] 30 3\n"
			     "stack app;main@/bin/app@0x10;vfs_read_[k] 20 2\n"
			     "of 0 1\nstack app;main@/bin/app@0x10;vfs_read_[k] 1 1\n"
			     "of -1 0\nstack ;x\\x3by@lib 4 4\n";

static struct profile *round_trip(const struct profile *profile, const char *format)
{
	struct profile *again = NULL;
	struct error error = {0};
	size_t size;
	char *bytes = NULL;
	FILE *out = open_memstream(&bytes, &size);

	ck_assert_int_eq(format_write(format_find(format), profile, NULL, out, &error), 0);
	fclose(out);
	ck_assert_msg(!read_bytes(NULL, bytes, size, NULL, &error, &again), "%s", error.text);
	free(bytes);
	return again;
}

START_TEST(what_is_written_is_read)
{
	struct profile *profile = profile_from_text(golden);
	struct profile *again = round_trip(profile, "pprof");
	char *want = profile_must_render(profile, "folded");
	const struct profile_frame *frame;

	check_folded(again, want);
	ck_assert_uint_eq(again->default_value, 1); /* the drawn one is the last */
	ck_assert_str_eq(profile_text(again, again->value_types[1].name), "cpu_clock");
	ck_assert_uint_eq(profile_total(again, 0), 10);
	ck_assert_uint_eq(again->start_ns, profile->start_ns);
	ck_assert_uint_eq(again->duration_ns, profile->duration_ns);
	ck_assert_uint_eq(again->frequency_hz, 100);
	ck_assert_uint_eq(again->samples.count, 3);
	ck_assert_uint_eq(again->processes.count, 1);
	ck_assert_uint_eq(again->processes.items[0].pid, 12);
	frame = &again->frames.items[again->stack_frames.items[0]];
	ck_assert_str_eq(profile_text(again, frame->name), "x;y");
	ck_assert_str_eq(profile_text(again, frame->module), "lib");
	free(want);
	profile_destroy(profile);
	profile_destroy(again);
}
END_TEST

static void put_message(struct strbuf *out, uint32_t number, const struct strbuf *message)
{
	protobuf_put_bytes(out, number, message->data, message->length);
}

/* Strings behind what names them, numbers not packed, an address without a function, a
 * location that is not there, a value below nothing. */
START_TEST(other_writers_are_read)
{
	static const char *const strings[] = {"", "alloc", "bytes", "f", "/bin/x"};
	struct strbuf bytes = {0}, message = {0}, line = {0};
	struct profile *profile = NULL;
	struct error error = {0};

	for (uint64_t id = 1; id <= 4; id++) {
		strbuf_clear(&message);
		protobuf_put_u64(&message, PPROF_SAMPLE_LOCATION, id == 3 ? 99 : 7);
		protobuf_put_u64(&message, PPROF_SAMPLE_LOCATION, 8);
		protobuf_put_u64(&message, PPROF_SAMPLE_VALUE, id == 4 ? (uint64_t)-5 : id * 10);
		put_message(&bytes, PPROF_SAMPLE, &message);
	}
	strbuf_clear(&message);
	protobuf_put_u64(&message, PPROF_VALUE_TYPE_TYPE, 1);
	protobuf_put_u64(&message, PPROF_VALUE_TYPE_UNIT, 2);
	put_message(&bytes, PPROF_SAMPLE_TYPE, &message);
	strbuf_clear(&message);
	protobuf_put_u64(&message, PPROF_LOCATION_ID, 7);
	protobuf_put_u64(&message, PPROF_LOCATION_MAPPING, 1);
	protobuf_put_u64(&message, PPROF_LOCATION_ADDRESS, 0x5012);
	put_message(&bytes, PPROF_LOCATION, &message);
	strbuf_clear(&message);
	protobuf_put_u64(&message, PPROF_LOCATION_ID, 8);
	protobuf_put_u64(&line, PPROF_LINE_FUNCTION, 3);
	protobuf_put_u64(&line, PPROF_LINE_LINE, 42);
	put_message(&message, PPROF_LOCATION_LINE, &line);
	put_message(&bytes, PPROF_LOCATION, &message);
	strbuf_clear(&message);
	protobuf_put_u64(&message, PPROF_FUNCTION_ID, 3);
	protobuf_put_u64(&message, PPROF_FUNCTION_NAME, 3);
	put_message(&bytes, PPROF_FUNCTION, &message);
	strbuf_clear(&message);
	protobuf_put_u64(&message, PPROF_MAPPING_ID, 1);
	protobuf_put_u64(&message, PPROF_MAPPING_START, 0x5000);
	protobuf_put_u64(&message, PPROF_MAPPING_OFFSET, 0x1000);
	protobuf_put_u64(&message, PPROF_MAPPING_FILENAME, 4);
	put_message(&bytes, PPROF_MAPPING, &message);
	for (size_t i = 0; i < 5; i++)
		protobuf_put_bytes(&bytes, PPROF_STRING_TABLE, strings[i], strlen(strings[i]));
	ck_assert_msg(!read_bytes(NULL, bytes.data, bytes.length, NULL, &error, &profile), "%s",
		      error.text);
	check_folded(profile, "f;0x1012 30\n");
	ck_assert_str_eq(malformed_text(profile),
			 "not understood and skipped: samples 3, 4 (the first: it has a location "
			 "that is not there)");
	profile_destroy(profile);
	strbuf_deinit(&bytes);
	strbuf_deinit(&message);
	strbuf_deinit(&line);
}
END_TEST

START_TEST(a_cut_message_says_where)
{
	struct profile *profile = NULL;
	struct error error = {0};

	ck_assert_int_eq(read_bytes("pprof", "\x0a\x7fxx", 4, NULL, &error, &profile), -EBADMSG);
	ck_assert_str_eq(error.text, "pprof: damaged at byte 2 of the message: end of data");
	ck_assert_int_eq(read_bytes("pprof", "\x32\x01x", 3, NULL, &error, &profile), -EBADMSG);
	ck_assert_str_eq(error.text, "pprof: no sample types in it");
	ck_assert_int_eq(read_bytes("pprof", "\x0b", 1, NULL, &error, &profile), -EBADMSG);
	ck_assert_str_eq(error.text,
			 "pprof: damaged at byte 1 of the message: an unknown wire type");
}
END_TEST

START_TEST(a_damaged_perfd_file_says_where)
{
	struct error error = {0};
	struct profile *profile = NULL;

	ck_assert_int_eq(read_bytes(NULL, "PFDP\x02\0\0\0\xff\xff", 10, NULL, &error, &profile),
			 -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.text, "at byte 8 of 10"));
	ck_assert_int_eq(read_bytes("perfd", "PFDP\x63\0\0\0", 8, NULL, &error, &profile),
			 -EPROTONOSUPPORT);
	ck_assert_int_eq(read_bytes("perfd", "a;b 5\n", 6, NULL, &error, &profile), -EBADMSG);
}
END_TEST

START_TEST(varints)
{
	static const uint64_t values[] = {0, 1, 127, 128, 300, UINT32_MAX, INT64_MAX, UINT64_MAX};
	struct reader reader;

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		struct strbuf bytes = {0};

		protobuf_put_varint(&bytes, values[i]);
		reader_init(&reader, bytes.data, bytes.length);
		ck_assert_uint_eq(protobuf_varint(&reader), values[i]);
		ck_assert_uint_eq(reader_left(&reader), 0);
		reader_init(&reader, bytes.data, bytes.length - 1);
		protobuf_varint(&reader);
		ck_assert(!reader_ok(&reader));
		strbuf_deinit(&bytes);
	}
	reader_init(&reader, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11);
	protobuf_varint(&reader);
	ck_assert(!reader_ok(&reader));
}
END_TEST

/* Random profiles: totals of all values, and what runs where, come back. */
START_TEST(properties)
{
	struct profile *profile = profile_from_seed((unsigned)_i);
	struct profile *again = round_trip(profile, "pprof");

	ck_assert_uint_eq(profile_total(again, 0), profile_total(profile, 0));
	ck_assert_uint_eq(profile_total(again, 1), profile_total(profile, 1));
	profile_destroy(again);
	again = round_trip(profile, "perf");
	ck_assert_uint_eq(profile_total(again, again->default_value), profile_total(profile, 1));
	profile_destroy(again);
	again = round_trip(profile, "perfd");
	ck_assert_uint_eq(profile_total(again, 0), profile_total(profile, 0));
	ck_assert_uint_eq(profile_total(again, 1), profile_total(profile, 1));
	ck_assert_uint_eq(again->samples.count, profile->samples.count);
	ck_assert_uint_eq(again->marks.count, profile->marks.count);
	ck_assert_uint_eq(again->series.count, profile->series.count);
	ck_assert_uint_eq(again->bucket_ns, profile->bucket_ns);
	profile_destroy(again);
	again = round_trip(profile, "folded");
	ck_assert_uint_eq(profile_total(again, 0), profile_total(profile, 1));
	profile_destroy(again);
	profile_destroy(profile);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pprof");
	TCase *tc = tcase_create("pprof");

	tcase_add_test(tc, what_is_written_is_read);
	tcase_add_test(tc, other_writers_are_read);
	tcase_add_test(tc, a_cut_message_says_where);
	tcase_add_test(tc, varints);
	tcase_add_test(tc, a_damaged_perfd_file_says_where);
	tcase_add_loop_test(tc, properties, 0, 100);
	suite_add_tcase(suite, tc);
	return run_suite(suite);
}
