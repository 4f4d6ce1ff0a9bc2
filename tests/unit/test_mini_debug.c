/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Symbols that are packed into a program (.gnu_debugdata): as a worker uses them, and
 * what is none.
 */
#include <check.h>
#include <errno.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "symbolizer/mini_debug.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/workshop.h"

static struct workshop shop;

static const char source[] =
	"#include <stdlib.h>\n"
	"static __attribute__((noinline)) int hidden(int a) { return rand() * a + 2; }\n"
	"int __attribute__((noinline)) exported(int a) { return a * 3 + rand(); }\n"
	"int main(int argc, char **argv) { (void)argv; return hidden(argc) + exported(argc); }\n";

/* Packs bytes as xz(1) does; the caller's. */
static uint8_t *pack(const void *bytes, size_t size, size_t *ret_size)
{
	size_t room = lzma_stream_buffer_bound(size);
	uint8_t *packed = malloc(room);

	*ret_size = 0;
	ck_assert_ptr_nonnull(packed);
	ck_assert_int_eq(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC64, NULL, bytes, size, packed,
						 ret_size, room),
			 LZMA_OK);
	return packed;
}

struct program {
	char packed[256]; /* stripped, with its symbols packed into it */
	uint64_t hidden, exported; /* file offsets */
};

static uint64_t offset_of(const char *path, const char *symbol)
{
	unsigned long long address = 0;
	char command[512];
	FILE *pipe;

	snprintf(command, sizeof(command), "nm '%s' | grep -w '%s$'", path, symbol);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_int_eq(fscanf(pipe, "%llx", &address), 1);
	pclose(pipe);
	return address;
}

static void program_build(struct program *ret)
{
	char whole[256], command[2048];
	uint8_t *bytes, *packed;
	size_t size, packed_size;

	workshop_build(&shop, "program", ".c", source, "-O1 -pie -fPIE -rdynamic", whole);
	ret->hidden = offset_of(whole, "hidden");
	ret->exported = offset_of(whole, "exported");
	workshop_path(&shop, "packed", ret->packed);
	snprintf(command, sizeof(command), "objcopy --only-keep-debug '%s' '%s.mini'", whole,
		 whole);
	ck_assert_int_eq(system(command), 0);
	snprintf(command, sizeof(command), "%.200s.mini", whole);
	bytes = workshop_read(command, &size);
	packed = pack(bytes, size, &packed_size);
	snprintf(command, sizeof(command), "%.200s.xz", whole);
	workshop_write(command, packed, packed_size);
	snprintf(command, sizeof(command),
		 "strip -o '%s.stripped' '%s' && "
		 "objcopy --add-section .gnu_debugdata='%s.xz' '%s.stripped' '%s'",
		 whole, whole, whole, whole, ret->packed);
	ck_assert_int_eq(system(command), 0);
	free(packed);
	free(bytes);
}

START_TEST(a_worker_has_its_names)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers;
	struct program program;
	char bare[256];
	int fd;

	program_build(&program);
	fd = open(program.packed, O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(add(symbolizer, 1, fd, NULL), 0);
	ck_assert_str_eq(name_of(symbolizer, 1, program.hidden + 1, &answers), "hidden");
	ck_assert_str_eq(name_of(symbolizer, 1, program.exported + 1, &answers), "exported");
	/* And they are from there. */
	workshop_path(&shop, "program.stripped", bare);
	ck_assert_int_eq(add(symbolizer, 2, open(bare, O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_str_eq(name_of(symbolizer, 2, program.hidden + 1, &answers), "");
	ck_assert_str_eq(name_of(symbolizer, 2, program.exported + 1, &answers), "exported");
	symbolizer_destroy(symbolizer);
}
END_TEST

/* The file keeps the names that it has. */
START_TEST(damaged_in_a_worker)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers;
	struct program program;
	char damaged[256], command[1024];

	program_build(&program);
	workshop_path(&shop, "damaged", damaged);
	snprintf(command, sizeof(command),
		 "objcopy --update-section .gnu_debugdata=/etc/os-release '%s' '%s'",
		 program.packed, damaged);
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(add(symbolizer, 1, open(damaged, O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_str_eq(name_of(symbolizer, 1, program.hidden + 1, &answers), "");
	ck_assert_str_eq(name_of(symbolizer, 1, program.exported + 1, &answers), "exported");
	symbolizer_destroy(symbolizer);
}
END_TEST

static int refusal(const void *packed, size_t size)
{
	struct mini_debug mini = {0};
	struct error error = {0};
	int r = mini_debug_init_packed(&mini, packed, size, &error);

	ck_assert_int_lt(r, 0);
	ck_assert_ptr_nonnull(strstr(error.text, ".gnu_debugdata"));
	ck_assert_ptr_null(mini.bytes);
	return r;
}

START_TEST(what_is_none)
{
	static const char text[] = "#!/bin/sh, and no ELF file";
	size_t size, large = (size_t)MINI_DEBUG_UNPACKED_MAX + 1;
	uint8_t *packed = pack(text, sizeof(text), &size), *bomb, *zeros = calloc(1, large);

	ck_assert_int_eq(refusal(packed, size), -ENOEXEC);
	for (size_t i = 0; i < size; i++)
		ck_assert_int_eq(refusal(packed, i), -EINVAL);
	packed[size / 2] ^= 1;
	ck_assert_int_eq(refusal(packed, size), -EINVAL);
	ck_assert_int_eq(refusal(text, sizeof(text)), -EINVAL);
	free(packed);
	ck_assert_ptr_nonnull(zeros);
	bomb = pack(zeros, large, &size);
	ck_assert_uint_lt(size, 65536);
	ck_assert_int_eq(refusal(bomb, size), -E2BIG);
	ck_assert_int_eq(refusal(zeros, (size_t)MINI_DEBUG_PACKED_MAX + 1), -E2BIG);
	free(bomb);
	free(zeros);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("mini_debug");
	TCase *tcase = tcase_create("mini_debug");
	SRunner *runner;
	bool tools = workshop_has_compiler() && !system("objcopy --version >/dev/null 2>&1");
	int failed;

	symbolizer_be_worker(argc, argv);
	log_init("test_mini_debug", LOG_LEVEL_ERROR);
	workshop_open(&shop);
	tcase_set_timeout(tcase, 60);
	workshop_add(tcase, tools, "no gcc or objcopy", a_worker_has_its_names);
	workshop_add(tcase, tools, "no gcc or objcopy", damaged_in_a_worker);
	tcase_add_test(tcase, what_is_none);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	workshop_close(&shop);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
