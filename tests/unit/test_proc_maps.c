/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/strbuf.h"
#include "symbolizer/lines.h"
#include "symbolizer/proc_maps.h"
#include "tests/unit/workshop.h"

static struct proc_map parse_line(const char *text, char *buffer, size_t size)
{
	struct proc_map map = {0};

	snprintf(buffer, size, "%s", text);
	ck_assert_msg(proc_maps_line(buffer, strlen(buffer), &map), "refused: %s", text);
	return map;
}

START_TEST(a_file)
{
	char buffer[256];
	struct proc_map map = parse_line("7f01a2b3c000-7f01a2b5e000 r-xp 00028000 fe:01 "
					 "1049123                    /usr/lib/libc.so.6",
					 buffer, sizeof(buffer));

	ck_assert_uint_eq(map.start, 0x7f01a2b3c000);
	ck_assert_uint_eq(map.end, 0x7f01a2b5e000);
	ck_assert_uint_eq(map.offset, 0x28000);
	ck_assert_uint_eq(map.dev_major, 0xfe);
	ck_assert_uint_eq(map.dev_minor, 1);
	ck_assert_uint_eq(map.inode, 1049123);
	ck_assert(map.readable && !map.writable && map.executable && !map.shared);
	ck_assert(!map.deleted);
	ck_assert_str_eq(map.path, "/usr/lib/libc.so.6");
}
END_TEST

START_TEST(names_of_all_kinds)
{
	static const struct {
		const char *text, *path;
		bool deleted;
	} cases[] = {
		{"", "", false},
		{" ", "", false},
		{" [heap]", "[heap]", false},
		{" [vdso]", "[vdso]", false},
		{" [anon:my pool]", "[anon:my pool]", false},
		{" //anon", "//anon", false},
		{" anon_inode:[perf_event]", "anon_inode:[perf_event]", false},
		{" /tmp/with space", "/tmp/with space", false},
		{" /tmp/new\\012line", "/tmp/new\nline", false},
		/* A backslash in a name is written as it is. */
		{" /tmp/back\\040slash\\", "/tmp/back\\040slash\\", false},
		{" /tmp/gone (deleted)", "/tmp/gone", true},
		{" /memfd:jit (deleted)", "/memfd:jit", true},
		{" (deleted)", "(deleted)", false},
		{" /tmp/\303\244\377", "/tmp/\303\244\377", false},
	};
	char text[256], buffer[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proc_map map;

		snprintf(text, sizeof(text), "1000-2000 rw-s 00000000 00:00 0%s", cases[i].text);
		map = parse_line(text, buffer, sizeof(buffer));
		ck_assert_str_eq(map.path, cases[i].path);
		ck_assert_uint_eq(map.path_length, strlen(cases[i].path));
		ck_assert_int_eq(map.deleted, cases[i].deleted);
		ck_assert(map.shared);
	}
}
END_TEST

START_TEST(what_is_no_line)
{
	static const char *const bad[] = {
		"",
		"1000",
		"1000-2000",
		"1000-2000 r-xp",
		"2000-1000 r-xp 00000000 00:00 0",
		"1000-2000 r-xp 00000000 00:00",
		"1000-2000 r-xp 00000000 00:00 ",
		"1000-2000 rwx 00000000 00:00 0",
		"1000-2000 qwxp 00000000 00:00 0",
		"1000-2000 r-xp 00000000 0000 0",
		"10000000000000000-2 r-xp 00000000 00:00 0",
		"1000-2000 r-xp 00000000 00:00 99999999999999999999999",
		"1000-2000 r-xp 00000000 00:00 0x",
		" 1000-2000 r-xp 00000000 00:00 0",
		"1000-2000 r-xp 00000000 ffffffffff:00 0",
	};
	struct proc_map map;
	char buffer[256];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(buffer, sizeof(buffer), "%s", bad[i]);
		ck_assert_msg(!proc_maps_line(buffer, strlen(buffer), &map), "taken: %s", bad[i]);
	}
	/* A NUL inside. */
	snprintf(buffer, sizeof(buffer), "1000-2000 r-xp 00000000 00:00 0 /a.b");
	buffer[34] = '\0';
	ck_assert(!proc_maps_line(buffer, 36, &map));
}
END_TEST

struct counted {
	size_t maps;
	uint64_t last;
	bool own_code;
	const char *stop_at;
};

static int count(void *context, const struct proc_map *map)
{
	struct counted *counted = context;
	uint64_t here = (uint64_t)(uintptr_t)&count;

	ck_assert_uint_ge(map->start, counted->last);
	counted->last = map->end;
	counted->maps++;
	counted->own_code |= here >= map->start && here < map->end && map->executable;
	return counted->stop_at && !strcmp(map->path, counted->stop_at) ? -EINTR : 0;
}

START_TEST(this_process)
{
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	struct counted counted = {0};
	struct error error = {0};

	ck_assert_int_ge(fd, 0);
	ck_assert_msg(!proc_maps_parse(fd, count, &counted, &error), "%s", error.text);
	ck_assert_uint_gt(counted.maps, 10);
	ck_assert(counted.own_code);
	close(fd);
}
END_TEST

START_TEST(two_hundred_thousand_lines)
{
	struct strbuf text = {0};
	struct counted counted = {0};
	struct error error = {0};
	int fd;

	for (unsigned i = 0; i < 200000; i++)
		strbuf_printf(&text, "%x-%x rw-p 00000000 00:00 0 %s\n", i * 8192 / 2 + 0x1000,
			      i * 8192 / 2 + 0x2000, i % 3 ? "" : "[anon:pool]");
	fd = workshop_text(strbuf_text(&text), text.length);
	ck_assert_msg(!proc_maps_parse(fd, count, &counted, &error), "%s", error.text);
	ck_assert_uint_eq(counted.maps, 200000);
	close(fd);
	strbuf_deinit(&text);
}
END_TEST

START_TEST(damage_and_overlong_lines)
{
	static const char good[] = "1000-2000 r-xp 00000000 00:00 0 /a\n";
	struct counted counted = {0};
	struct error error = {0};
	struct strbuf text = {0};
	int fd = workshop_text("1000-2000 r-xp 00000000 00:00 0 /a\nnonsense\n", 44);

	ck_assert_int_eq(proc_maps_parse(fd, count, &counted, &error), -EBADMSG);
	ck_assert_msg(strstr(error.text, "line 2 "), "%s", error.text);
	ck_assert_uint_eq(counted.maps, 1);
	close(fd);

	strbuf_puts(&text, good);
	strbuf_puts(&text, "3000-4000 r-xp 00000000 00:00 0 /");
	for (size_t i = 0; i < LINES_LENGTH_MAX; i++)
		strbuf_putc(&text, 'x');
	fd = workshop_text(strbuf_text(&text), text.length);
	counted = (struct counted){0};
	ck_assert_int_eq(proc_maps_parse(fd, count, &counted, &error), -EMSGSIZE);
	ck_assert_uint_eq(counted.maps, 1);
	close(fd);
	strbuf_deinit(&text);
}
END_TEST

START_TEST(the_callback_may_stop)
{
	static const char text[] = "1000-2000 r-xp 00000000 00:00 0 /a\n"
				   "2000-3000 r-xp 00000000 00:00 0 /b\n"
				   "3000-4000 r-xp 00000000 00:00 0 /c"; /* no newline */
	struct counted counted = {.stop_at = "/b"};
	struct error error = {0};
	int fd = workshop_text(text, strlen(text));

	ck_assert_int_eq(proc_maps_parse(fd, count, &counted, &error), -EINTR);
	ck_assert_uint_eq(counted.maps, 2);
	close(fd);
	fd = workshop_text(text, strlen(text));
	counted = (struct counted){0};
	ck_assert_int_eq(proc_maps_parse(fd, count, &counted, &error), 0);
	ck_assert_uint_eq(counted.maps, 3);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("proc_maps");
	TCase *tcase = tcase_create("proc_maps");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, a_file);
	tcase_add_test(tcase, names_of_all_kinds);
	tcase_add_test(tcase, what_is_no_line);
	tcase_add_test(tcase, this_process);
	tcase_add_test(tcase, two_hundred_thousand_lines);
	tcase_add_test(tcase, damage_and_overlong_lines);
	tcase_add_test(tcase, the_callback_may_stop);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
