/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Tables of functions' beginnings, made by hand: both widths of addresses, and
 * all that can be wrong with them. Real files are in test_debug_file.c.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/strbuf.h"
#include "symbolizer/function_starts.h"

#define HEADER 0x5000u /* ELF addresses */
#define FRAMES 0x6000u
#define CODE 0x1000u
#define CODE_END 0x3000u
#define CIE_SIZE 20u
#define FDE_SIZE 17u

struct function {
	uint32_t start, size;
};

static const struct function three[] = {{0x1000, 0x20}, {0x1040, 0x100}, {0x1140, 7}};

/* One CIE, "zR" with addresses relative to their own place, and an FDE each. */
static void put_frames(struct strbuf *out, const struct function *functions, size_t count)
{
	static const uint8_t cie[CIE_SIZE] = {CIE_SIZE - 4, 0,   0, 0,    0,    0,    0, 0,   1,
					      'z',          'R', 0, 0x01, 0x78, 0x10, 1, 0x1b};

	strbuf_append(out, cie, sizeof(cie));
	for (size_t i = 0; i < count; i++) {
		strbuf_u32(out, FDE_SIZE - 4);
		strbuf_u32(out, (uint32_t)out->length);
		strbuf_u32(out, functions[i].start - (FRAMES + (uint32_t)out->length));
		strbuf_u32(out, functions[i].size);
		strbuf_u8(out, 0);
	}
	strbuf_u32(out, 0);
}

static void put_header(struct strbuf *out, const struct function *functions, size_t count)
{
	strbuf_append(out, (uint8_t[]){1, 0x1b, 0x03, 0x3b}, 4);
	strbuf_u32(out, FRAMES - (HEADER + 4));
	strbuf_u32(out, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		strbuf_u32(out, functions[i].start - HEADER);
		strbuf_u32(out, FRAMES + CIE_SIZE + (uint32_t)i * FDE_SIZE - HEADER);
	}
}

struct sections {
	struct strbuf header, frames;
	struct function_starts_input input;
};

static void make(struct sections *ret, const struct function *functions, size_t count)
{
	*ret = (struct sections){0};
	put_header(&ret->header, functions, count);
	put_frames(&ret->frames, functions, count);
	ret->input = (struct function_starts_input){.header = ret->header.data,
						    .header_size = ret->header.length,
						    .header_address = HEADER,
						    .frames = ret->frames.data,
						    .frames_size = ret->frames.length,
						    .frames_address = FRAMES,
						    .code_start = CODE,
						    .code_end = CODE_END,
						    .is_64 = true};
}

static void sections_free(struct sections *sections)
{
	strbuf_deinit(&sections->header);
	strbuf_deinit(&sections->frames);
}

static size_t count_of(const struct sections *sections)
{
	struct function_starts starts;
	size_t count;

	ck_assert_int_eq(function_starts_parse(&starts, &sections->input), 0);
	count = starts.items.count;
	function_starts_deinit(&starts);
	return count;
}

static uint64_t start_of(const struct function_starts *starts, uint64_t address)
{
	uint64_t start = 0;
	uint32_t size = 0;

	if (!function_starts_find(starts, address, &start, &size))
		return 0;
	ck_assert_uint_lt(address - start, size);
	return start;
}

START_TEST(a_table_of_three)
{
	struct function_starts starts;
	struct sections sections;
	uint64_t frames = 0;

	make(&sections, three, 3);
	sections.input.is_64 = _i;
	ck_assert(function_starts_frames_address(&sections.input, &frames));
	ck_assert_uint_eq(frames, FRAMES);
	ck_assert_int_eq(function_starts_parse(&starts, &sections.input), 0);
	ck_assert_uint_eq(starts.items.count, 3);
	ck_assert_uint_eq(start_of(&starts, 0x1000), 0x1000);
	ck_assert_uint_eq(start_of(&starts, 0x101f), 0x1000);
	ck_assert_uint_eq(start_of(&starts, 0x1020), 0); /* padding is nobody's */
	ck_assert_uint_eq(start_of(&starts, 0x113f), 0x1040);
	ck_assert_uint_eq(start_of(&starts, 0x1140), 0x1140);
	ck_assert_uint_eq(start_of(&starts, 0x1147), 0);
	ck_assert_uint_eq(start_of(&starts, 0xfff), 0);
	ck_assert_uint_eq(start_of(&starts, UINT64_MAX), 0);
	function_starts_deinit(&starts);
	sections_free(&sections);
}
END_TEST

START_TEST(an_unsorted_table_is_none)
{
	struct function turned[] = {three[1], three[0], three[2]};
	struct sections sections;

	make(&sections, turned, 3);
	ck_assert_uint_eq(count_of(&sections), 0);
	sections_free(&sections);
}
END_TEST

START_TEST(what_overlaps_ends_earlier)
{
	static const struct function functions[] = {{0x1000, 0x50}, {0x1040, 0x10}, {0x1040, 9}};
	struct function_starts starts;
	struct sections sections;

	make(&sections, functions, 3);
	ck_assert_int_eq(function_starts_parse(&starts, &sections.input), 0);
	ck_assert_uint_eq(starts.items.count, 2);
	ck_assert_uint_eq(start_of(&starts, 0x103f), 0x1000);
	ck_assert_uint_eq(start_of(&starts, 0x1040), 0x1040);
	function_starts_deinit(&starts);
	sections_free(&sections);
}
END_TEST

START_TEST(ranges_that_are_no_code)
{
	static const struct function functions[] = {
		{0x800, 0x20}, {0x1000, 0}, {0x1010, 0x20}, {0x2ff0, 0x11}, {0x3000, 1}};
	struct sections sections;

	make(&sections, functions, 5);
	ck_assert_uint_eq(count_of(&sections), 1);
	sections_free(&sections);
}
END_TEST

/* An FDE of another function than its entry says is not believed. */
START_TEST(entries_that_do_not_agree)
{
	struct sections sections;

	make(&sections, three, 3);
	sections.frames.data[CIE_SIZE + FDE_SIZE + 8] ^= 4; /* its address */
	ck_assert_uint_eq(count_of(&sections), 2);
	sections.frames.data[CIE_SIZE + 2 * FDE_SIZE + 4] ^= 1; /* its CIE */
	ck_assert_uint_eq(count_of(&sections), 1);
	sections.frames.data[9] = 'x'; /* an augmentation that nobody knows */
	ck_assert_uint_eq(count_of(&sections), 0);
	sections_free(&sections);
}
END_TEST

START_TEST(cut_anywhere)
{
	struct sections sections;

	make(&sections, three, 3);
	for (size_t n = 0; n < sections.header.length; n++) {
		sections.input.header_size = n;
		ck_assert_uint_eq(count_of(&sections), 0);
	}
	sections.input.header_size = sections.header.length;
	for (size_t n = 0; n < sections.frames.length; n++) {
		size_t whole = n < CIE_SIZE ? 0 : (n - CIE_SIZE) / FDE_SIZE;

		sections.input.frames_size = n;
		ck_assert_uint_eq(count_of(&sections), whole < 3 ? whole : 3);
	}
	sections_free(&sections);
}
END_TEST

/* Nobody asks for the beginning of what has a name. */
START_TEST(named_functions_are_left_out)
{
	struct symtab_range ranges[] = {{.address = 0x1000, .size = 0x20},
					{.address = 0x1040, .size = 0x80}};
	struct symtab symtab = {.ranges = {.items = ranges, .count = 2},
				.names = {.items = (char[]){"name"}, .count = 5}};
	struct function_starts starts;
	struct sections sections;

	make(&sections, three, 3);
	sections.input.symtab = &symtab;
	ck_assert_int_eq(function_starts_parse(&starts, &sections.input), 0);
	ck_assert_uint_eq(starts.items.count, 2);
	ck_assert_uint_eq(start_of(&starts, 0x1000), 0);
	ck_assert_uint_eq(start_of(&starts, 0x10c0), 0x1040); /* named in part only */
	function_starts_deinit(&starts);
	sections_free(&sections);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("function_starts");
	TCase *tcase = tcase_create("function_starts");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, a_table_of_three, 0, 2);
	tcase_add_test(tcase, an_unsorted_table_is_none);
	tcase_add_test(tcase, what_overlaps_ends_earlier);
	tcase_add_test(tcase, ranges_that_are_no_code);
	tcase_add_test(tcase, entries_that_do_not_agree);
	tcase_add_test(tcase, cut_anywhere);
	tcase_add_test(tcase, named_functions_are_left_out);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
