/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The client with a real worker: the right names for all sorts of files.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "daemon/base/log.h"
#include "symbolizer/client.h"
#include "symbolizer/opener.h"
#include "symbolizer/vdso.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/workshop.h"

static struct workshop shop;

/* A program that says where in its file target_function() is, by its own
 * /proc/self/maps, and waits until its input ends. */
static const char target_source[] =
	"#include <stdio.h>\n"
	"int __attribute__((noinline, used)) target_function(int a) { return a * 3 + 1; }\n"
	"int main(void)\n"
	"{\n"
	"	unsigned long at = (unsigned long)&target_function + 2, start, end, offset;\n"
	"	char line[512];\n"
	"	FILE *maps = fopen(\"/proc/self/maps\", \"r\");\n"
	"	while (maps && fgets(line, sizeof(line), maps))\n"
	"		if (sscanf(line, \"%lx-%lx %*s %lx\", &start, &end, &offset) == 3 &&\n"
	"		    at >= start && at < end)\n"
	"			printf(\"%lx %lx %lx\\n\", start, end, at - start + offset);\n"
	"	fflush(stdout);\n"
	"	getchar();\n"
	"	return 0;\n"
	"}\n";

struct target {
	pid_t pid;
	int input;
	uint64_t start, end, offset;
};

static void target_start(const char *path, struct target *ret)
{
	unsigned long start, end, offset;
	int in[2], out[2];
	char line[128] = "";

	ck_assert_int_eq(pipe2(in, O_CLOEXEC), 0);
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	ret->pid = fork();
	ck_assert_int_ge(ret->pid, 0);
	if (!ret->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		execl(path, path, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	ret->input = in[1];
	ck_assert_int_gt(read(out[0], line, sizeof(line) - 1), 0);
	close(out[0]);
	ck_assert_int_eq(sscanf(line, "%lx %lx %lx", &start, &end, &offset), 3);
	ret->start = start;
	ret->end = end;
	ret->offset = offset;
}

static void target_end(struct target *target)
{
	close(target->input);
	ck_assert_int_eq(waitpid(target->pid, NULL, 0), target->pid);
}

static const struct {
	const char *name, *flags;
} layouts[] = {
	{"pie", "-O1 -pie -fPIE"},
	{"non_pie", "-O1 -no-pie"},
	{"static", "-O1 -static"},
	{"static_pie", "-O1 -static-pie -fPIE"},
	{"prelinked", "-O1 -no-pie -Wl,-Ttext-segment=0x31000000"},
	{"prelinked_pie", "-O1 -pie -fPIE -Wl,-Ttext-segment=0x32000000"},
	{"few_pages", "-O1 -pie -fPIE -Wl,-z,noseparate-code"},
	{"only_dynamic_symbols", "-O1 -pie -fPIE -rdynamic -s"},
};

START_TEST(each_layout_of_a_program)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers;
	struct target target;
	char path[256];

	workshop_build(&shop, layouts[_i].name, ".c", target_source, layouts[_i].flags, path);
	target_start(path, &target);
	ck_assert_int_eq(add(symbolizer, 1, open(path, O_RDONLY | O_CLOEXEC), &answers), 0);
	ck_assert_uint_eq(answers.image.build_id_size, 20);
	ck_assert_uint_gt(answers.image.symbols, 0);
	ck_assert_str_eq(name_of(symbolizer, 1, target.offset, &answers), "target_function");
	ck_assert_str_eq(answers.module, "");
	target_end(&target);
	symbolizer_destroy(symbolizer);
}
END_TEST

START_TEST(a_deleted_program)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers;
	struct target target;
	struct error error = {0};
	char path[256];
	int fd = -1;

	workshop_build(&shop, "deleted", ".c", target_source, "-O1", path);
	target_start(path, &target);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_msg(!opener_open(target.pid, target.start, target.end, path, NULL, &error, &fd),
		      "%s", error.text);
	ck_assert_int_eq(add(symbolizer, 1, fd, NULL), 0);
	target_end(&target); /* the name does not need it */
	ck_assert_str_eq(name_of(symbolizer, 1, target.offset, &answers), "target_function");
	symbolizer_destroy(symbolizer);
}
END_TEST

START_TEST(a_shared_library)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers;
	char path[256];

	workshop_build(&shop, "liblone.so", ".s",
		       ".text\n.globl lone\n.type lone,@function\n"
		       "lone: .fill 64,1,0x90\n.size lone,64\n",
		       "-shared -nostdlib -Wl,-Ttext=0x5000 -s", path);
	ck_assert_int_eq(add(symbolizer, 7, open(path, O_RDONLY | O_CLOEXEC), NULL), 0);
	/* The linker puts a segment at the same place in the page of the file. */
	for (uint64_t page = 0; page < 8; page++) {
		if (*name_of(symbolizer, 7, page * 4096 + 20, &answers))
			break;
	}
	ck_assert_str_eq(answers.name, "lone");
	symbolizer_destroy(symbolizer);
}
END_TEST

static uint64_t address_of(const char *function, const char *wanted_module)
{
	FILE *list = fopen("/proc/kallsyms", "r");
	unsigned long long address, found = 0;
	char type, name[256], line[512];

	while (list && fgets(line, sizeof(line), list)) {
		if (sscanf(line, "%llx %c %255s", &address, &type, name) == 3 &&
		    !strcmp(name, function) && !strchr(line, '[') == !*wanted_module)
			found = address;
	}
	if (list)
		fclose(list);
	return found;
}

START_TEST(the_kernel)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers = {0};
	uint64_t addresses[] = {address_of("schedule", "") + 4, 4096, UINT64_MAX};

	ck_assert_int_eq(symbolizer_preload_kernel(symbolizer), 0);
	ck_assert_int_eq(symbolizer_kernel_names(symbolizer, addresses, 3, on_names, &answers), 0);
	wait_for(symbolizer, &answers, 1);
	ck_assert_int_eq(answers.error, 0);
	ck_assert_uint_eq(answers.count, 3);
	ck_assert_uint_eq(answers.named, 1);
	ck_assert_str_eq(answers.name, "schedule");
	ck_assert_str_eq(answers.module, "");
	ck_assert(!symbolizer_kernel_restricted(symbolizer));
	symbolizer_destroy(symbolizer);
}
END_TEST

START_TEST(the_vdso)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers = {0};
	uint64_t offsets[16384];
	bool seen = false;

	ck_assert_int_eq(add(symbolizer, 3, vdso_image_open(), &answers), 0);
	for (uint64_t offset = 0; offset < 16384 && !seen; offset += 16)
		seen = !strcmp(name_of(symbolizer, 3, offset, &answers), "__vdso_clock_gettime");
	ck_assert(seen);
	for (size_t i = 0; i < 16384; i++)
		offsets[i] = i;
	answers = (struct answers){0};
	ck_assert_int_eq(symbolizer_names(symbolizer, 3, offsets, 16384, on_names, &answers), 0);
	wait_for(symbolizer, &answers, 1);
	ck_assert_uint_eq(answers.count, 16384);
	ck_assert_uint_gt(answers.named, 100);
	symbolizer_destroy(symbolizer);
}
END_TEST

static void on_maps(void *context, int error, const char *text,
		    const struct symbolizer_mapping *mappings, size_t count)
{
	uint64_t here = (uint64_t)(uintptr_t)&on_maps;
	struct answers *answers = context;
	char self[256] = "";

	take(answers, error, text);
	answers->count = count;
	ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof(self) - 1), 0);
	for (size_t i = 0; i < count; i++) {
		if (here - mappings[i].start >= mappings[i].length)
			continue;
		ck_assert(mappings[i].executable && !mappings[i].deleted);
		ck_assert_str_eq(mappings[i].path, self);
		ck_assert_uint_ne(mappings[i].inode, 0);
		answers->named++;
	}
}

START_TEST(mappings)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers = {0};
	int nonsense = workshop_text("nonsense\n", 9);

	ck_assert_int_eq(symbolizer_maps(symbolizer, open("/proc/self/maps", O_RDONLY | O_CLOEXEC),
					 on_maps, &answers),
			 0);
	wait_for(symbolizer, &answers, 1);
	ck_assert_int_eq(answers.error, 0);
	ck_assert_uint_gt(answers.count, 10);
	ck_assert_uint_eq(answers.named, 1);
	ck_assert_int_eq(symbolizer_maps(symbolizer, nonsense, on_maps, &answers), 0);
	wait_for(symbolizer, &answers, 2);
	ck_assert_int_eq(answers.error, -EBADMSG);
	symbolizer_destroy(symbolizer);
}
END_TEST

START_TEST(files_that_are_none)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers;
	size_t size;
	uint8_t *own = workshop_read("/proc/self/exe", &size);
	int pid;

	ck_assert_int_eq(add(symbolizer, 1, workshop_text("#!/bin/sh\n", 10), &answers), -ENOEXEC);
	pid = stats_of(symbolizer).pid;
	ck_assert_msg(strstr(answers.text, "not an ELF file"), "%s", answers.text);
	/* Its names fail with the same words. */
	name_of(symbolizer, 1, 0, &answers);
	ck_assert_int_eq(answers.error, -ENOEXEC);
	ck_assert_msg(strstr(answers.text, "not an ELF file"), "%s", answers.text);
	ck_assert_int_eq(add(symbolizer, 2, workshop_text("", 0), &answers), -ENOEXEC);
	ck_assert_int_eq(add(symbolizer, 3, workshop_text((char *)own, 100), &answers), -ENOEXEC);
	for (uint32_t i = 0; i < 32; i++) /* without a part of it: an image or a reason */
		add(symbolizer, 10 + i, workshop_text((char *)own, size * i / 32), &answers);
	ck_assert_int_eq(add(symbolizer, 99, open("/proc/self/exe", O_RDONLY | O_CLOEXEC), NULL),
			 0);
	ck_assert_int_eq(stats_of(symbolizer).pid, pid);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 0);
	free(own);
	symbolizer_destroy(symbolizer);
}
END_TEST

START_TEST(what_is_refused_at_once)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers = {0};
	uint64_t offset = 0;
	int fd;

	ck_assert_int_eq(symbolizer_names(symbolizer, 1, &offset, 1, on_names, &answers), -ENOENT);
	ck_assert_int_eq(symbolizer_add_image(symbolizer, 0, open("/", O_PATH), on_image, NULL),
			 -EINVAL);
	ck_assert_int_eq(add(symbolizer, 1, open("/proc/self/exe", O_RDONLY), NULL), 0);
	fd = open("/proc/self/exe", O_RDONLY);
	ck_assert_int_eq(symbolizer_add_image(symbolizer, 1, fd, on_image, NULL), -EEXIST);
	ck_assert_int_lt(fcntl(fd, F_GETFD), 0); /* taken, on error too */
	ck_assert_int_eq(symbolizer_names(symbolizer, 1, &offset, SYMBOLIZER_ADDRESSES_MAX + 1,
					  on_names, &answers),
			 -E2BIG);
	symbolizer_drop_image(symbolizer, 1);
	ck_assert_int_eq(symbolizer_names(symbolizer, 1, &offset, 1, on_names, &answers), -ENOENT);
	ck_assert_uint_eq(answers.total, 0);
	ck_assert_int_eq(add(symbolizer, 1, open("/proc/self/exe", O_RDONLY), NULL), 0);
	symbolizer_destroy(symbolizer);
}
END_TEST

START_TEST(more_files_than_the_worker_keeps)
{
	struct symbolizer_config narrow = plain;
	struct symbolizer *symbolizer;
	struct answers answers;

	narrow.images_max = 2;
	symbolizer = create(&narrow);
	for (uint32_t id = 1; id <= 8; id++)
		ck_assert_int_eq(add(symbolizer, id, vdso_image_open(), NULL), 0);
	for (unsigned round = 0; round < 3; round++) {
		for (uint32_t id = 1; id <= 8; id++) {
			name_of(symbolizer, id, 0, &answers);
			ck_assert_msg(!answers.error, "%s", answers.text);
		}
	}
	/* A ninth: the one not asked for longest is let go of, and says so. */
	ck_assert_int_eq(add(symbolizer, 9, vdso_image_open(), NULL), 0);
	ck_assert_uint_eq(stats_of(symbolizer).images, 8);
	name_of(symbolizer, 1, 0, &answers);
	ck_assert_int_eq(answers.error, -ESTALE);
	name_of(symbolizer, 2, 0, &answers);
	ck_assert_int_eq(answers.error, 0);
	symbolizer_drop_image(symbolizer, 1);
	ck_assert_int_eq(add(symbolizer, 1, vdso_image_open(), NULL), 0);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 0);
	symbolizer_destroy(symbolizer);
}
END_TEST

static bool find_crashers(char path[256])
{
	static const char *const places[] = {"../shared/crashers", "../../shared/crashers"};

	for (size_t i = 0; i < 2; i++) {
		snprintf(path, 256, "%s", places[i]);
		if (access(path, R_OK | X_OK) == 0)
			return true;
	}
	return false;
}

/* Files that made other ELF readers crash or loop: each gets a verdict. */
START_TEST(files_that_crashed_others)
{
	struct symbolizer *symbolizer = create(&plain);
	struct answers answers;
	char folder_path[256];
	struct dirent *entry;
	uint32_t id = 0;
	DIR *folder;

	ck_assert(find_crashers(folder_path));
	folder = opendir(folder_path);
	while ((entry = readdir(folder))) {
		int fd = openat(dirfd(folder), entry->d_name, O_RDONLY | O_CLOEXEC);

		if (entry->d_name[0] == '.') {
			close(fd);
			continue;
		}
		if (!add(symbolizer, ++id, fd, &answers)) {
			uint64_t offsets[4096];

			for (size_t i = 0; i < 4096; i++)
				offsets[i] = i * 8;
			answers = (struct answers){0};
			ck_assert_int_eq(
				symbolizer_names(symbolizer, id, offsets, 4096, on_names, &answers),
				0);
			wait_for(symbolizer, &answers, 1);
		}
		ck_assert_msg(!answers.error || *answers.text, "%s: no reason", entry->d_name);
	}
	closedir(folder);
	ck_assert_uint_gt(id, 0);
	/* And the worker goes on. */
	ck_assert_int_eq(add(symbolizer, ++id, vdso_image_open(), NULL), 0);
	symbolizer_destroy(symbolizer);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("symbolizer");
	TCase *tcase = tcase_create("symbolizer");
	bool compiler = workshop_has_compiler();
	char path[256];
	SRunner *runner;
	int failed;

	symbolizer_be_worker(argc, argv);
	log_init("test_symbolizer", LOG_LEVEL_ERROR);
	workshop_open(&shop);
	tcase_set_timeout(tcase, 60);
	if (compiler)
		tcase_add_loop_test(tcase, each_layout_of_a_program, 0,
				    sizeof(layouts) / sizeof(layouts[0]));
	else
		workshop_skip("each_layout_of_a_program", "no gcc");
	workshop_add(tcase, compiler, "no gcc", a_deleted_program);
	workshop_add(tcase, compiler, "no gcc", a_shared_library);
	workshop_add(tcase, address_of("schedule", ""), "kernel addresses cannot be seen",
		     the_kernel);
	tcase_add_test(tcase, the_vdso);
	tcase_add_test(tcase, mappings);
	tcase_add_test(tcase, files_that_are_none);
	tcase_add_test(tcase, what_is_refused_at_once);
	tcase_add_test(tcase, more_files_than_the_worker_keeps);
	workshop_add(tcase, find_crashers(path), "the files are not there",
		     files_that_crashed_others);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	workshop_close(&shop);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
