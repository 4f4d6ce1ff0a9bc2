/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Jit dumps: what each record means, while it is written and when it is damaged, and
 * what a worker answers from one.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/log.h"
#include "symbolizer/jit_dump.h"
#include "tests/unit/jit_dump_text.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/workshop.h"

static const char *at(const struct jit_dump *dump, uint64_t address)
{
	static char text[256];
	struct jit_dump_place place;

	if (!jit_dump_find(dump, address, &place))
		return "-";
	snprintf(text, sizeof(text), place.file[0] ? "%s %s:%u" : "%s", place.name, place.file,
		 place.line);
	return text;
}

static int update_text(struct jit_dump *dump, const struct strbuf *text, struct error *error)
{
	int fd = workshop_text(text->data, text->length);
	int r = jit_dump_update(dump, fd, error);

	close(fd);
	return r;
}

static void fill(struct jit_dump *dump, const struct strbuf *text)
{
	struct error error = {0};

	ck_assert_msg(!update_text(dump, text, &error), "%s", error.text);
}

START_TEST(functions_and_lines)
{
	struct strbuf text = {0};
	struct jit_dump dump = {0};

	dump_header(&text);
	dump_load(&text, 0x1000, 0x100, 1, "without");
	dump_lines(&text, 0x2000, 0x2000, 0x2020, "/a/b.js");
	dump_prefix(&text, 4, 8); /* how to unwind it: not read */
	strbuf_u64(&text, 0);
	dump_load(&text, 0x2000, 0x80, 2, "with lines");
	fill(&dump, &text);
	ck_assert_str_eq(at(&dump, 0xfff), "-");
	ck_assert_str_eq(at(&dump, 0x10ff), "without");
	ck_assert_str_eq(at(&dump, 0x1100), "-");
	ck_assert_str_eq(at(&dump, 0x2000), "with lines /a/b.js:10");
	ck_assert_str_eq(at(&dump, 0x201f), "with lines /a/b.js:10");
	ck_assert_str_eq(at(&dump, 0x207f), "with lines /a/b.js:20");
	jit_dump_deinit(&dump);
	strbuf_deinit(&text);
}
END_TEST

START_TEST(lines_as_v8_has_them)
{
	struct strbuf text = {0};
	struct jit_dump dump = {0};

	dump_header(&text);
	dump_lines(&text, 0x2000, 0x2050, 0x2060, "b.js");
	dump_load(&text, 0x2000, 0x80, 2, "f");
	fill(&dump, &text);
	ck_assert_str_eq(at(&dump, 0x200f), "f");
	ck_assert_str_eq(at(&dump, 0x2010), "f b.js:10");
	ck_assert_str_eq(at(&dump, 0x2020), "f b.js:20");
	jit_dump_deinit(&dump);
	strbuf_deinit(&text);
}
END_TEST

START_TEST(code_that_goes)
{
	struct strbuf text = {0};
	struct jit_dump dump = {0};

	dump_header(&text);
	dump_lines(&text, 0x1000, 0x1000, 0x1040, "f.js");
	dump_load(&text, 0x1000, 0x80, 7, "moved");
	dump_move(&text, 0x1000, 0x5000, 0x80, 7);
	dump_move(&text, 0x5000, 0x5010, 0x80, 7); /* over itself */
	dump_load(&text, 0x3000, 0x80, 8, "replaced");
	dump_load(&text, 0x3010, 0x10, 9, "later");
	dump_move(&text, 0x8000, 0x3080, 0x10, 99); /* nobody knows it */
	fill(&dump, &text);
	ck_assert_str_eq(at(&dump, 0x1000), "moved f.js:10");
	ck_assert_str_eq(at(&dump, 0x500f), "moved f.js:10");
	ck_assert_str_eq(at(&dump, 0x5010), "moved f.js:10");
	ck_assert_str_eq(at(&dump, 0x5050), "moved f.js:20");
	ck_assert_str_eq(at(&dump, 0x508f), "moved f.js:20");
	ck_assert_str_eq(at(&dump, 0x300f), "replaced");
	ck_assert_str_eq(at(&dump, 0x3010), "later");
	ck_assert_str_eq(at(&dump, 0x3020), "replaced");
	ck_assert_str_eq(at(&dump, 0x3080), "-");
	jit_dump_deinit(&dump);
	strbuf_deinit(&text);
}
END_TEST

/* Each beginning of a dump is one that is being written. */
START_TEST(while_it_is_written)
{
	struct strbuf text = {0};
	struct jit_dump dump = {0}, whole = {0};
	struct error error = {0};
	int fd = workshop_text("", 0);

	dump_header(&text);
	dump_lines(&text, 0x1000, 0x1000, 0x1040, "f.js");
	dump_load(&text, 0x1000, 0x80, 7, "first");
	dump_load(&text, 0x2000, 0x80, 8, "second");
	dump_prefix(&text, 3, 0);
	dump_load(&text, 0x3000, 0x80, 9, "behind the end");
	for (size_t i = 0; i < text.length; i++) {
		ck_assert_int_eq(pwrite(fd, text.data + i, 1, (off_t)i), 1);
		ck_assert_msg(!jit_dump_update(&dump, fd, &error), "%zu: %s", i, error.text);
	}
	ck_assert_str_eq(at(&dump, 0x1000), "first f.js:10");
	ck_assert_str_eq(at(&dump, 0x2000), "second");
	ck_assert_str_eq(at(&dump, 0x3000), "-");
	/* Another file, and one that has become shorter: read anew. */
	ck_assert_int_eq(ftruncate(fd, 40), 0);
	ck_assert_int_eq(jit_dump_update(&dump, fd, &error), 0);
	ck_assert_str_eq(at(&dump, 0x1000), "-");
	fill(&whole, &text);
	ck_assert_int_eq(jit_dump_update(&whole, fd, &error), 0);
	ck_assert_str_eq(at(&whole, 0x1000), "-");
	close(fd);
	jit_dump_deinit(&dump);
	jit_dump_deinit(&whole);
	strbuf_deinit(&text);
}
END_TEST

static const struct damage {
	size_t at; /* of the byte that is changed, behind a header and a function */
	uint8_t to;
	const char *want;
} damages[] = {
	{4, 0, "the jit dump, offset 114: a record that is shorter than its own head"},
	{4, 40, "the jit dump, offset 114: a record that is too short for code"},
	{4, 56 + 6, "the jit dump, offset 114: code whose name has no end"},
};

START_TEST(damaged_records)
{
	const struct damage *damage = &damages[_i];
	struct strbuf text = {0};
	struct jit_dump dump = {0};
	struct error error = {0};
	size_t begin;

	dump_header(&text);
	dump_load(&text, 0x1000, 16, 1, "f");
	begin = text.length;
	ck_assert_uint_eq(begin, 114);
	dump_load(&text, 0x2000, 16, 1, "damaged");
	text.data[begin + damage->at] = (char)damage->to;
	ck_assert_int_eq(update_text(&dump, &text, &error), -EINVAL);
	ck_assert_str_eq(error.text, damage->want);
	ck_assert_str_eq(at(&dump, 0x1000), "f"); /* what came before stays */
	ck_assert_str_eq(at(&dump, 0x2000), "-");
	jit_dump_deinit(&dump);
	strbuf_deinit(&text);
}
END_TEST

static const struct {
	size_t at;
	uint8_t to;
	const char *want;
} headers[] = {
	{0, 'x', "the jit dump, offset 0: no jit dump"},
	{4, 2, "the jit dump, offset 4: of another version than 1"},
	{8, 39, "the jit dump, offset 8: a header that is too short"},
};

START_TEST(damaged_headers)
{
	struct strbuf text = {0};
	struct jit_dump dump = {0};
	struct error error = {0};

	dump_header(&text);
	text.data[headers[_i].at] = (char)headers[_i].to;
	ck_assert_int_eq(update_text(&dump, &text, &error), -EINVAL);
	ck_assert_str_eq(error.text, headers[_i].want);
	jit_dump_deinit(&dump);
	strbuf_deinit(&text);
}
END_TEST

START_TEST(lines_that_lie)
{
	struct strbuf text = {0};
	struct jit_dump dump = {0};
	struct error error = {0};
	size_t begin;

	dump_header(&text);
	dump_load(&text, 0x1000, 16, 1, "f");
	begin = text.length;
	dump_lines(&text, 0x2000, 0x2000, 0x2020, "f.js");
	text.data[begin + 24] = 3; /* one more than there are */
	ck_assert_int_eq(update_text(&dump, &text, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.text, "a line whose record ends before it"));
	ck_assert_str_eq(at(&dump, 0x1000), "f");
	text.data[begin + 30] = 1; /* very many more */
	jit_dump_deinit(&dump);
	ck_assert_int_eq(update_text(&dump, &text, &error), -EINVAL);
	ck_assert_ptr_nonnull(strstr(error.text, "more lines than its record has room for"));
	jit_dump_deinit(&dump);
	strbuf_deinit(&text);
}
END_TEST

START_TEST(wraps_around)
{
	struct strbuf text = {0};
	struct jit_dump dump = {0};

	dump_header(&text);
	dump_load(&text, UINT64_MAX - 4, 16, 1, "wraps");
	dump_load(&text, 0x2000, 0, 2, "empty");
	dump_load(&text, 0x3000, 16, 3, "good");
	dump_load(&text, 0x3004, 4, 4, ""); /* nothing is known of it: not the one before */
	fill(&dump, &text);
	ck_assert_uint_eq(dump.functions.items.count, 2);
	ck_assert_str_eq(at(&dump, 0x3000), "good");
	ck_assert_str_eq(at(&dump, 0x3004), "-");
	ck_assert_str_eq(at(&dump, 0x3008), "good");
	jit_dump_deinit(&dump);
	strbuf_deinit(&text);
}
END_TEST

START_TEST(by_a_worker)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers = {0};
	struct strbuf text = {0};
	uint64_t address = 0x2004;
	int fd;

	dump_header(&text);
	dump_load(&text, 0x2000, 0x80, 2, "a name");
	dump_prefix(&text, 0, 40); /* damage */
	for (int i = 0; i < 40; i++)
		strbuf_u8(&text, 0xee);
	fd = workshop_text(text.data, text.length);
	ck_assert_int_eq(
		symbolizer_jit_names(symbolizer, 3, dup(fd), &address, 1, on_names, &answers), 0);
	wait_for(symbolizer, &answers, 1);
	ck_assert_str_eq(answers.name, "a name");
	/* The file is a list of lines now: nothing is left of the dump. */
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(pwrite(fd, "2004 1 line\n", 12, 0), 12);
	ck_assert_int_eq(symbolizer_jit_names(symbolizer, 3, fd, &address, 1, on_names, &answers),
			 0);
	wait_for(symbolizer, &answers, 2);
	ck_assert_str_eq(answers.name, "line");
	symbolizer_destroy(symbolizer);
	strbuf_deinit(&text);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("jit_dump");
	TCase *tcase = tcase_create("jit_dump");
	SRunner *runner;
	int failed;

	symbolizer_be_worker(argc, argv);
	log_init("test_jit_dump", LOG_LEVEL_ERROR);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, functions_and_lines);
	tcase_add_test(tcase, lines_as_v8_has_them);
	tcase_add_test(tcase, code_that_goes);
	tcase_add_test(tcase, while_it_is_written);
	tcase_add_loop_test(tcase, damaged_records, 0, sizeof(damages) / sizeof(damages[0]));
	tcase_add_loop_test(tcase, damaged_headers, 0, sizeof(headers) / sizeof(headers[0]));
	tcase_add_test(tcase, lines_that_lie);
	tcase_add_test(tcase, wraps_around);
	tcase_add_test(tcase, by_a_worker);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
