/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a file says of its debug file: read, and held against one by a worker.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "symbolizer/debug_link.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/workshop.h"

static struct workshop shop;

static const char *parsed(const void *bytes, size_t size, uint32_t *ret_crc)
{
	static struct debug_link link;

	debug_link_parse(bytes, size, &link);
	*ret_crc = link.crc;
	return link.name;
}

START_TEST(what_a_link_says)
{
	uint8_t long_name[300] = {0};
	uint32_t crc;

	ck_assert_str_eq(parsed("a.debug\0\x78\x56\x34\x12", 12, &crc), "a.debug");
	ck_assert_uint_eq(crc, 0x12345678);
	ck_assert_str_eq(parsed("a.b\0\1\0\0\0", 8, &crc), "a.b");
	ck_assert_uint_eq(crc, 1);
	for (size_t size = 0; size < 12; size++)
		ck_assert_str_eq(parsed("a.debug\0\x78\x56\x34\x12", size, &crc), "");
	ck_assert_str_eq(parsed("a/debug\0\1\0\0\0", 12, &crc), "");
	ck_assert_str_eq(parsed("..\0\0\1\0\0\0", 8, &crc), "");
	ck_assert_str_eq(parsed(".\0\0\0\1\0\0\0", 8, &crc), "");
	ck_assert_str_eq(parsed("\0\0\0\0\1\0\0\0", 8, &crc), "");
	memset(long_name, 'x', 255);
	ck_assert_uint_eq(strlen(parsed(long_name, 260, &crc)), 255);
	long_name[255] = 'x';
	ck_assert_str_eq(parsed(long_name, 264, &crc), "");
}
END_TEST

static const char source[] =
	"#include <stdlib.h>\n"
	"static __attribute__((noinline)) int hidden(int a) { return rand() * a + 2; }\n"
	"int main(int argc, char **argv) { (void)argv; return hidden(argc); }\n";

struct files {
	int linked, stripped; /* without a build id; with a link, and without */
	int debug, other; /* the debug file, and one of other bytes */
	uint64_t hidden; /* file offset */
};

static int open_in_shop(const char *name)
{
	char path[256];
	int fd;

	workshop_path(&shop, name, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void files_build(struct files *ret)
{
	char whole[256], command[2048];
	unsigned long long address = 0;
	FILE *pipe;

	workshop_build(&shop, "tool", ".c", source, "-O1 -pie -fPIE -Wl,--build-id=none", whole);
	snprintf(command, sizeof(command),
		 "cd '%s' && nm tool | grep -w hidden && objcopy --only-keep-debug tool tool.debug "
		 "&& strip -o stripped tool && "
		 "objcopy --add-gnu-debuglink=tool.debug stripped linked && "
		 "cp tool.debug other && printf x >>other",
		 shop.folder);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_int_eq(fscanf(pipe, "%llx", &address), 1);
	ck_assert_int_eq(pclose(pipe), 0);
	*ret = (struct files){.linked = open_in_shop("linked"),
			      .stripped = open_in_shop("stripped"),
			      .debug = open_in_shop("tool.debug"),
			      .other = open_in_shop("other"),
			      .hidden = address};
}

/* Without a build id it is the checksum that tells. */
START_TEST(held_against_a_file)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers;
	struct files files;
	int debug;

	files_build(&files);
	debug = dup(files.debug);
	ck_assert_int_eq(add(symbolizer, 1, files.linked, &answers), 0);
	ck_assert_str_eq(answers.image.debug_name, "tool.debug");
	ck_assert_str_eq(name_of(symbolizer, 1, files.hidden, &answers), "");
	ck_assert_int_eq(symbolizer_add_debug(symbolizer, 1, files.other), 0);
	ck_assert_str_eq(name_of(symbolizer, 1, files.hidden, &answers), "");
	ck_assert_uint_eq(stats_of(symbolizer).debug_refused, 1);
	ck_assert_int_eq(symbolizer_add_debug(symbolizer, 1, files.debug), 0);
	ck_assert_str_eq(name_of(symbolizer, 1, files.hidden, &answers), "hidden");
	ck_assert_uint_eq(stats_of(symbolizer).debug_refused, 1);
	/* No build id and no link: nothing says whose it is. */
	ck_assert_int_eq(add(symbolizer, 2, files.stripped, &answers), 0);
	ck_assert_str_eq(answers.image.debug_name, "");
	ck_assert_int_eq(symbolizer_add_debug(symbolizer, 2, debug), 0);
	ck_assert_str_eq(name_of(symbolizer, 2, files.hidden, &answers), "");
	ck_assert_uint_eq(stats_of(symbolizer).debug_refused, 2);
	symbolizer_destroy(symbolizer);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("debug_link");
	TCase *tcase = tcase_create("debug_link");
	SRunner *runner;
	bool tools = workshop_has_compiler() && !system("objcopy --version >/dev/null 2>&1");
	int failed;

	symbolizer_be_worker(argc, argv);
	log_init("test_debug_link", LOG_LEVEL_ERROR);
	workshop_open(&shop);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, what_a_link_says);
	workshop_add(tcase, tools, "no gcc or objcopy", held_against_a_file);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	workshop_close(&shop);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
