/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/profile_wire.h"
#include "tests/unit/profile_text.h"

static void encode(const struct profile *profile, struct strbuf *bytes)
{
	ck_assert_int_eq(profile_encode(profile, bytes), 0);
}

/* A profile that came out whole is encoded to the same bytes: ids are dense and in
 * the order of their first use in both. */
START_TEST(what_was_encoded_comes_back)
{
	struct profile *profile = profile_from_seed((unsigned)_i), *back = NULL;
	struct strbuf bytes = {0}, again = {0};
	struct error error = {0};

	profile->title = profile_string(profile, "a title");
	profile->host = profile_string_n(profile, "h\0st", 4);
	profile->frequency_hz = 499;
	encode(profile, &bytes);
	ck_assert_msg(!profile_decode(bytes.data, bytes.length, &error, &back), "%s", error.text);
	ck_assert_uint_eq(back->samples.count, profile->samples.count);
	ck_assert_uint_eq(profile_total(back, 1), profile_total(profile, 1));
	ck_assert_uint_eq(strtab_length(&back->strings, back->host), 4);
	encode(back, &again);
	ck_assert_uint_eq(bytes.length, again.length);
	ck_assert_int_eq(memcmp(bytes.data, again.data, bytes.length), 0);
	profile_destroy(back);
	profile_destroy(profile);
	strbuf_deinit(&bytes);
	strbuf_deinit(&again);
}
END_TEST

START_TEST(an_empty_profile_comes_back)
{
	struct profile *profile = profile_create(), *back = NULL;
	struct strbuf bytes = {0};

	encode(profile, &bytes);
	ck_assert_int_eq(profile_decode(bytes.data, bytes.length, NULL, &back), 0);
	ck_assert_uint_eq(back->samples.count, 0);
	ck_assert_uint_eq(back->stack_ends.count, 1);
	profile_destroy(back);
	profile_destroy(profile);
	strbuf_deinit(&bytes);
}
END_TEST

START_TEST(no_part_of_it_is_enough)
{
	struct profile *profile = profile_from_seed(3), *back = NULL;
	struct strbuf bytes = {0};
	struct error error;

	encode(profile, &bytes);
	for (size_t n = 0; n < bytes.length; n++) {
		/* A copy of that size, so that a sanitizer sees a read beyond it. */
		char *part = malloc(n + 1);

		memcpy(part, bytes.data, n);
		ck_assert_int_eq(profile_decode(part, n, &error, &back), -EBADMSG);
		ck_assert_ptr_nonnull(strstr(error.text, "byte"));
		free(part);
	}
	strbuf_putc(&bytes, 'x');
	ck_assert_int_eq(profile_decode(bytes.data, bytes.length, &error, &back), -EBADMSG);
	ck_assert_ptr_null(back);
	profile_destroy(profile);
	strbuf_deinit(&bytes);
}
END_TEST

/* Whatever a changed byte makes of it: refused, or a profile that can be used. */
START_TEST(changed_bytes_do_no_harm)
{
	struct profile *profile = profile_from_seed(5);
	struct strbuf bytes = {0};
	unsigned seed = 17, taken = 0, refused = 0;

	encode(profile, &bytes);
	for (unsigned i = 0; i < 20000; i++) {
		size_t at = (size_t)rand_r(&seed) % bytes.length;
		char old = bytes.data[at];
		struct profile *back = NULL;

		bytes.data[at] = (char)(i % 3 ? old ^ (1 << rand_r(&seed) % 8) : 0xff);
		if (profile_decode(bytes.data, bytes.length, NULL, &back)) {
			ck_assert_ptr_null(back);
			refused++;
		} else {
			char *text;

			if (!profile_render(back, "folded", NULL, NULL, &text))
				free(text);
			taken++;
		}
		profile_destroy(back);
		bytes.data[at] = old;
	}
	ck_assert_uint_gt(taken, 100);
	ck_assert_uint_gt(refused, 100);
	profile_destroy(profile);
	strbuf_deinit(&bytes);
}
END_TEST

/* The head of a profile with nothing in it but the empty string. */
static void put_head(struct strbuf *bytes)
{
	strbuf_append(bytes, "PFDP", 4);
	strbuf_u32(bytes, PROFILE_WIRE_VERSION);
	strbuf_u32(bytes, 1);
	strbuf_u32(bytes, 0);
}

START_TEST(numbers_beyond_the_bytes_are_not_believed)
{
	struct strbuf bytes = {0};
	struct profile *back = NULL;
	struct error error;

	put_head(&bytes);
	strbuf_u32(&bytes, 0xfffffffe); /* frames: 4 billion announced, none there */
	ck_assert_int_eq(profile_decode(bytes.data, bytes.length, &error, &back), -EBADMSG);
	ck_assert_str_eq(error.text, "malformed profile: more records announced than there are "
				     "bytes at byte 20 of 20");
	strbuf_deinit(&bytes);
}
END_TEST

START_TEST(an_id_out_of_range_is_named)
{
	struct strbuf bytes = {0};
	struct profile *back = NULL;
	struct error error;

	put_head(&bytes);
	strbuf_u32(&bytes, 1);
	strbuf_u32(&bytes, 1); /* frame: name is string 1 of 1 */
	for (int i = 0; i < 6; i++)
		strbuf_u32(&bytes, 0);
	ck_assert_int_eq(profile_decode(bytes.data, bytes.length, &error, &back), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.text, "string id out of range at byte 24"));
	strbuf_deinit(&bytes);
}
END_TEST

/* Found by the fuzzer: pointer arithmetic on a table that is not there. */
START_TEST(samples_without_a_value_type_are_refused)
{
	struct strbuf bytes = {0};
	struct profile *back = NULL;
	struct error error;

	put_head(&bytes);
	for (int i = 0; i < 5; i++) /* frames, stacks, processes, value types, default */
		strbuf_u32(&bytes, 0);
	strbuf_u32(&bytes, 1); /* a sample */
	strbuf_u32(&bytes, 0);
	strbuf_u32(&bytes, PROFILE_NONE);
	strbuf_u64(&bytes, 0);
	ck_assert_int_eq(profile_decode(bytes.data, bytes.length, &error, &back), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.text, "samples without a value type at byte 40"));
	strbuf_deinit(&bytes);
}
END_TEST

START_TEST(other_bytes_and_versions_are_refused)
{
	struct profile *back = NULL;
	struct error error;

	ck_assert_int_eq(profile_decode("hello world", 11, &error, &back), -EBADMSG);
	ck_assert_ptr_nonnull(strstr(error.text, "not a profile"));
	ck_assert_int_eq(profile_decode("PFDP\x09\0\0\0", 8, &error, &back), -EPROTONOSUPPORT);
	ck_assert_ptr_nonnull(strstr(error.text, "version 9"));
	ck_assert_int_eq(profile_decode(NULL, 0, &error, &back), -EBADMSG);
}
END_TEST

static Suite *wire_suite(void)
{
	Suite *suite = suite_create("profile_wire");
	TCase *tc = tcase_create("wire");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, what_was_encoded_comes_back, 1, 50);
	tcase_add_test(tc, an_empty_profile_comes_back);
	tcase_add_test(tc, no_part_of_it_is_enough);
	tcase_add_test(tc, changed_bytes_do_no_harm);
	tcase_add_test(tc, numbers_beyond_the_bytes_are_not_believed);
	tcase_add_test(tc, an_id_out_of_range_is_named);
	tcase_add_test(tc, samples_without_a_value_type_are_refused);
	tcase_add_test(tc, other_bytes_and_versions_are_refused);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(wire_suite());
}
