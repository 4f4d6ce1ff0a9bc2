/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/text.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/profile_text.h"

#define BAD "\xef\xbf\xbd"

static void check(struct strbuf *got, const char *want)
{
	ck_assert_str_eq(strbuf_text(got), want);
	strbuf_deinit(got);
}

static void check_clean(const char *bytes, size_t n, const char *want)
{
	struct strbuf out = {0};

	text_put(&out, bytes, n);
	check(&out, want);
}

START_TEST(what_is_no_text_is_replaced)
{
	static const char right_to_left[] = {'\xe2', '\x80', '\xae'};

	check_clean("a\0b", 3, "a" BAD "b");
	check_clean("a\nb\r\t\x7f", 6, "a" BAD "b" BAD BAD BAD);
	check_clean("\xc3\xa9", 2, "\xc3\xa9"); /* é */
	check_clean("\xc3", 1, BAD); /* cut */
	check_clean("\xc0\xaf", 2, BAD BAD); /* overlong / */
	check_clean("\xe0\x80\xaf", 3, BAD BAD BAD);
	check_clean("\xed\xa0\x80", 3, BAD BAD BAD); /* surrogate */
	check_clean("\xf4\x90\x80\x80", 4, BAD BAD BAD BAD); /* above U+10FFFF */
	check_clean("\xf0\x9f\x94\xa5", 4, "\xf0\x9f\x94\xa5");
	check_clean("\xc2\x85", 2, BAD); /* next line */
	check_clean("\xe2\x80\xa8", 3, BAD); /* line separator */
	check_clean(right_to_left, 3, BAD);
	check_clean("\xef\xbf\xbf", 3, BAD); /* no character */
	check_clean("x\xe6\x97", 3, "x" BAD BAD);
	check_clean("", 0, "");
}
END_TEST

static void check_fit(const char *text, size_t cells, const char *want)
{
	struct strbuf out = {0};

	text_put_xml_fit(&out, text, strlen(text), cells);
	check(&out, want);
}

START_TEST(labels_are_cut_by_characters)
{
	check_fit("abcdef", 6, "abcdef");
	check_fit("abcdef", 5, "abc..");
	check_fit("abcdef", 4, "");
	check_fit("ab", 2, "ab");
	check_fit("ab", 1, "");
	check_fit("<<<<<<", 5, "&lt;&lt;&lt;..");
	check_fit("\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5", 9,
		  "\xe6\x97\xa5\xe6\x97\xa5\xe6\x97\xa5..");
}
END_TEST

static void check_value(uint64_t value, const char *unit, const char *want)
{
	struct strbuf out = {0};

	text_put_value(&out, value, unit);
	check(&out, want);
}

START_TEST(values_are_readable)
{
	check_value(0, "nanoseconds", "0 ns");
	check_value(999, "nanoseconds", "999 ns");
	check_value(1000, "nanoseconds", "1.00 µs");
	check_value(999499, "nanoseconds", "999 µs");
	check_value(999999, "nanoseconds", "1.00 ms");
	check_value(12345678, "nanoseconds", "12.3 ms");
	check_value(9960000000, "nanoseconds", "9.96 s");
	check_value(123456789000000, "nanoseconds", "123,457 s");
	check_value(1023, "bytes", "1023 B");
	check_value(1536, "bytes", "1.50 KiB");
	check_value(4194304, "bytes", "4.00 MiB");
	check_value(1234567, "count", "1,234,567");
	check_value(12, "", "12");
	check_value(12, "faults", "12 faults");
	check_value(2500000000, "cycles", "2.50 Gcycles");
	check_value(UINT64_MAX, "count", "18,446,744,073,709,551,615");
}
END_TEST

static void check_percent(uint64_t part, uint64_t whole, const char *want)
{
	struct strbuf out = {0};

	text_put_percent(&out, part, whole);
	check(&out, want);
}

START_TEST(json_strings_are_quoted_and_clean)
{
	struct strbuf out = {0};

	text_put_json(&out, "a\"b\\c\nd\xff", 8);
	check(&out, "\"a\\\"b\\\\c" BAD "d" BAD "\"");
	text_put_json(&out, "", 0);
	check(&out, "\"\"");
}
END_TEST

START_TEST(decimals_keep_every_digit)
{
	struct strbuf out = {0};

	text_put_decimal(&out, 1234567, 6);
	strbuf_putc(&out, ' ');
	text_put_decimal(&out, 5, 6);
	strbuf_putc(&out, ' ');
	text_put_decimal(&out, 2000, 3);
	strbuf_putc(&out, ' ');
	text_put_decimal(&out, UINT64_MAX, 0);
	check(&out, "1.234567 0.000005 2 18446744073709551615");
}
END_TEST

static void check_cells(const char *text, size_t cells, const char *want, size_t want_cells)
{
	struct strbuf out = {0};

	ck_assert_uint_eq(text_put_fit(&out, text, strlen(text), cells), want_cells);
	check(&out, want);
}

START_TEST(texts_fit_their_cells)
{
	check_cells("malloc", 6, "malloc", 6);
	check_cells("malloc", 5, "mal..", 5);
	check_cells("malloc", 3, "m..", 3);
	check_cells("malloc", 2, "", 0);
	check_cells("\xe6\xbc\xa2\xe5\xad\x97x", 4, "\xe6\xbc\xa2..", 4); /* wide: two cells */
	check_cells("", 4, "", 0);
}
END_TEST

START_TEST(shares_are_never_rounded_to_nothing)
{
	check_percent(1, 3, "33.3 %");
	check_percent(1, 1, "100.0 %");
	check_percent(1, 100000, "< 0.01 %");
	check_percent(0, 5, "0 %");
	check_percent(5, 0, "0 %");
	check_percent(1, 30, "3.33 %");
}
END_TEST

static Suite *text_suite(void)
{
	Suite *suite = suite_create("text");
	TCase *tc = tcase_create("text");

	tcase_add_test(tc, what_is_no_text_is_replaced);
	tcase_add_test(tc, labels_are_cut_by_characters);
	tcase_add_test(tc, values_are_readable);
	tcase_add_test(tc, json_strings_are_quoted_and_clean);
	tcase_add_test(tc, decimals_keep_every_digit);
	tcase_add_test(tc, texts_fit_their_cells);
	tcase_add_test(tc, shares_are_never_rounded_to_nothing);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return run_suite(text_suite());
}
