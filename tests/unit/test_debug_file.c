/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Separate debug files: found by build id or name, and used by a real worker.
 */
#include <check.h>
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "symbolizer/debug_file.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/workshop.h"

#define FOLDER "usr/lib/debug/.build-id"

static struct workshop shop;
static const uint8_t id[20] = {0xab, 0xcd, 0xef};
static const char id_path[] = FOLDER "/ab/cdef0000000000000000000000000000000000.debug";

/* A program of a named function between nameless ones, once stripped: where they
 * are is told by the linker's map of the whole program. */
static const char source[] =
	"#include <stdio.h>\n"
	"#include <stdlib.h>\n"
	"static __attribute__((noinline)) int hidden_one(int a) { return puts(\"one\") + a; }\n"
	"static __attribute__((noinline)) int hidden_two(int a) { return rand() * a + 2; }\n"
	"int __attribute__((noinline)) exported(int a) { return a * 3 + rand(); }\n"
	"int main(int argc, char **argv)\n"
	"{ (void)argv; return hidden_one(argc) + hidden_two(argc) + exported(argc); }\n";

struct program {
	char whole[256], stripped[256], debug[256];
	uint64_t one, two, exported; /* file offsets */
	uint64_t size_two;
};

static void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *format, ...)
{
	char command[2048];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(command, sizeof(command), format, arguments);
	va_end(arguments);
	ck_assert_msg(system(command) == 0, "%s", command);
}

/* The symbol's ELF address; the linker is told to make it the file offset too. */
static uint64_t address_of(const char *path, const char *symbol, uint64_t *ret_size)
{
	char command[512];
	unsigned long long address = 0, size = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "nm -S '%s' | grep -w '%s$'", path, symbol);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_int_eq(fscanf(pipe, "%llx %llx", &address, &size), 2);
	pclose(pipe);
	if (ret_size)
		*ret_size = size;
	return address;
}

static void program_build(struct program *ret, const char *name, const char *flags)
{
	char all_flags[256];

	snprintf(all_flags, sizeof(all_flags), "-O1 -pie -fPIE -rdynamic %s", flags);
	workshop_build(&shop, name, ".c", source, all_flags, ret->whole);
	snprintf(ret->stripped, sizeof(ret->stripped), "%.200s.stripped", ret->whole);
	snprintf(ret->debug, sizeof(ret->debug), "%.200s.debug", ret->whole);
	run("objcopy --only-keep-debug '%s' '%s' && strip -o '%s' '%s'", ret->whole, ret->debug,
	    ret->stripped, ret->whole);
	ret->one = address_of(ret->whole, "hidden_one", NULL);
	ret->two = address_of(ret->whole, "hidden_two", &ret->size_two);
	ret->exported = address_of(ret->whole, "exported", NULL);
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_msg(fd >= 0, "%s", path);
	return fd;
}

/* --- Finding -------------------------------------------------------------- */

static void put(const char *root, const char *text)
{
	run("mkdir -p '%s/%s/%s/ab' && printf %%s '%s' >'%s/%s/%s'", shop.folder, root, FOLDER,
	    text, shop.folder, root, id_path);
}

static int find(pid_t pid, char ret[16])
{
	char proc[256], host[256];
	struct debug_file_places places = {.proc = proc, .host_root = host, .folder = FOLDER};
	int fd = -1, r;

	workshop_path(&shop, "proc", proc);
	workshop_path(&shop, "host", host);
	run("mkdir -p '%s' '%s'", proc, host);
	r = debug_file_open_in(&places, pid, id, sizeof(id), &fd);
	if (r)
		return r;
	memset(ret, 0, 16);
	ck_assert_int_gt(read(fd, ret, 15), 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
	close(fd);
	return 0;
}

static void sweep(void)
{
	run("rm -rf '%s/proc' '%s/host'", shop.folder, shop.folder);
}

START_TEST(the_targets_before_the_hosts)
{
	char text[16];

	ck_assert_int_eq(find(0, text), -ENOENT);
	ck_assert_int_eq(find(42, text), -ENOENT);
	put("host", "host");
	ck_assert_int_eq(find(0, text), 0);
	ck_assert_str_eq(text, "host");
	ck_assert_int_eq(find(42, text), 0);
	ck_assert_str_eq(text, "host");
	put("proc/42/root", "target");
	ck_assert_int_eq(find(42, text), 0);
	ck_assert_str_eq(text, "target");
	ck_assert_int_eq(find(43, text), 0);
	ck_assert_str_eq(text, "host");
	sweep();
}
END_TEST

START_TEST(what_is_no_debug_file)
{
	char text[16];

	put("host", "");
	ck_assert_int_eq(find(0, text), -ENOEXEC);
	run("cd '%s/host' && rm '%s' && mkfifo '%s'", shop.folder, id_path, id_path);
	ck_assert_int_eq(find(0, text), -ENOEXEC); /* and it does not block */
	run("cd '%s/host' && rm '%s' && mkdir '%s'", shop.folder, id_path, id_path);
	ck_assert_int_eq(find(0, text), -ENOEXEC);
	ck_assert_int_eq(debug_file_open(0, id, 1, &(int){0}), -EINVAL);
	ck_assert_int_eq(debug_file_open(0, id, 0, &(int){0}), -EINVAL);
	ck_assert_int_eq(debug_file_open(0, id, 65, &(int){0}), -EINVAL);
	ck_assert_int_eq(debug_file_open(getpid(), id, 20, &(int){0}), -ENOENT);
	sweep();
}
END_TEST

/* A container's links lead nowhere but into the container. */
START_TEST(links_stay_below_the_root)
{
	char text[16];

	put("proc/42/root", "x");
	run("cd '%s/proc/42/root' && echo -n inside >file && rm '%s' && ln -s /file '%s'",
	    shop.folder, id_path, id_path);
	ck_assert_int_eq(find(42, text), 0);
	ck_assert_str_eq(text, "inside");
	run("cd '%s/proc/42/root' && echo -n out >../outside && ln -sf "
	    "../../../../../../../outside '%s'",
	    shop.folder, id_path);
	ck_assert_int_eq(find(42, text), -ENOENT);
	run("ln -sf /proc/self/exe '%s/proc/42/root/%s'", shop.folder, id_path);
	ck_assert_int_eq(find(42, text), -ENOENT);
	sweep();
}
END_TEST

static const char *find_link(const char *path, const char *name, char text[16])
{
	char proc[256], host[256];
	struct debug_file_places places = {
		.proc = proc, .host_root = host, .debug = "usr/lib/debug", .folder = FOLDER};
	int fd = -1, r;

	workshop_path(&shop, "proc", proc);
	workshop_path(&shop, "host", host);
	memset(text, 0, 16);
	r = debug_file_open_link_in(&places, 42, path, name, &fd);
	if (r)
		return strerrorname_np(-r);
	ck_assert_int_gt(read(fd, text, 15), 0);
	close(fd);
	return text;
}

START_TEST(by_the_name_in_a_program)
{
	static const char *const places[] = {"host/usr/lib/debug/usr/bin", "host/usr/bin/.debug",
					     "proc/42/root/usr/lib/debug/usr/bin",
					     "proc/42/root/usr/bin/.debug", "proc/42/root/usr/bin"};
	static const char *const wanted[] = {"0", "1", "1", "3", "4"};
	char text[16];

	run("mkdir -p '%s/host' '%s/proc/42/root/usr/bin'", shop.folder, shop.folder);
	ck_assert_str_eq(find_link("/usr/bin/tool", "tool.debug", text), "ENOENT");
	for (int i = 0; i < 5; i++) {
		run("cd '%s' && mkdir -p '%s' && printf %d >'%s/tool.debug'", shop.folder,
		    places[i], i, places[i]);
		ck_assert_str_eq(find_link("/usr/bin/tool", "tool.debug", text), wanted[i]);
	}
	/* Not the program itself, by whatever path. */
	run("cd '%s/proc/42/root/usr/bin' && printf x >tool && ln tool again", shop.folder);
	ck_assert_str_eq(find_link("/usr/bin/tool", "tool", text), "ENOENT");
	ck_assert_str_eq(find_link("/usr/bin/tool", "again", text), "ENOENT");
	ck_assert_str_eq(find_link("usr/bin/tool", "tool.debug", text), "EINVAL");
	ck_assert_str_eq(find_link("/usr/bin/tool", "../bin/tool.debug", text), "EINVAL");
	ck_assert_str_eq(find_link("/usr/bin/tool", "..", text), "EINVAL");
	ck_assert_str_eq(find_link("/usr/bin/tool", "", text), "EINVAL");
	run("cd '%s/proc/42/root/usr/bin' && rm tool.debug && mkfifo tool.debug && "
	    "rm -r .debug ../lib ../../../../../host/usr",
	    shop.folder);
	ck_assert_str_eq(find_link("/usr/bin/tool", "tool.debug", text), "ENOEXEC");
	sweep();
}
END_TEST

/* --- Using ---------------------------------------------------------------- */

START_TEST(names_out_of_a_debug_file)
{
	struct symbolizer *symbolizer = create(&plain);
	struct program program;
	struct answers answers;

	program_build(&program, "with_debug", "");
	ck_assert_int_eq(add(symbolizer, 1, open_file(program.stripped), NULL), 0);
	ck_assert_str_eq(name_of(symbolizer, 1, program.one + 1, &answers), "");
	ck_assert_str_eq(name_of(symbolizer, 1, program.exported + 1, &answers), "exported");
	ck_assert_int_eq(symbolizer_add_debug(symbolizer, 1, open_file(program.debug)), 0);
	ck_assert_int_eq(symbolizer_add_debug(symbolizer, 1, open_file(program.debug)), -EEXIST);
	ck_assert_int_eq(symbolizer_add_debug(symbolizer, 2, open_file(program.debug)), -ENOENT);
	ck_assert_uint_eq(stats_of(symbolizer).debug_files, 1);
	ck_assert_str_eq(name_of(symbolizer, 1, program.one + 1, &answers), "hidden_one");
	ck_assert_str_eq(name_of(symbolizer, 1, program.two + 1, &answers), "hidden_two");
	ck_assert_str_eq(name_of(symbolizer, 1, program.exported + 1, &answers), "exported");
	ck_assert_uint_eq(answers.start, program.exported);
	/* A new worker is given both again. */
	ck_assert_int_eq(kill(stats_of(symbolizer).pid, SIGKILL), 0);
	ck_assert_str_eq(name_of(symbolizer, 1, program.one + 1, &answers), "hidden_one");
	ck_assert_uint_eq(stats_of(symbolizer).debug_refused, 0);
	symbolizer_drop_image(symbolizer, 1);
	ck_assert_uint_eq(stats_of(symbolizer).debug_files, 0);
	symbolizer_destroy(symbolizer);
}
END_TEST

START_TEST(an_image_let_go_of_comes_back_with_it)
{
	struct symbolizer_config narrow = plain;
	struct symbolizer *symbolizer;
	struct program program;
	struct answers answers;

	narrow.images_max = 1;
	symbolizer = create(&narrow);
	program_build(&program, "evicted", "");
	for (unsigned round = 1; round <= 3; round++) {
		ck_assert_int_eq(add(symbolizer, round, open_file(program.stripped), NULL), 0);
		ck_assert_int_eq(symbolizer_add_debug(symbolizer, round, open_file(program.debug)),
				 0);
	}
	for (unsigned round = 0; round < 9; round++) {
		ck_assert_str_eq(name_of(symbolizer, 1 + round % 3, program.one, &answers),
				 "hidden_one");
	}
	ck_assert_uint_eq(stats_of(symbolizer).debug_files, 3);
	ck_assert_uint_eq(stats_of(symbolizer).debug_refused, 0);
	symbolizer_destroy(symbolizer);
}
END_TEST

START_TEST(of_another_build_or_no_elf_file)
{
	struct symbolizer *symbolizer = create(&plain);
	struct program program, other;
	struct answers answers;
	unsigned refused = 0;
	char none[256];
	int fds[3];

	program_build(&program, "this_build", "");
	program_build(&other, "other_build", "-DOTHER -Wl,--build-id=0x0102030405060708");
	workshop_path(&shop, "none.debug", none);
	run("objcopy -R .note.gnu.build-id '%s' '%s'", program.debug, none);
	fds[0] = open_file(other.debug);
	fds[1] = open_file(none);
	fds[2] = workshop_text("#!/bin/sh\n", 10);
	ck_assert_int_eq(add(symbolizer, 1, open_file(program.stripped), NULL), 0);
	for (size_t i = 0; i < 3; i++) {
		ck_assert_int_eq(symbolizer_add_debug(symbolizer, 1, fds[i]), 0);
		ck_assert_str_eq(name_of(symbolizer, 1, program.one, &answers), "");
		ck_assert_int_eq(answers.error, 0);
		ck_assert_uint_eq(stats_of(symbolizer).debug_refused, ++refused);
		ck_assert_uint_eq(stats_of(symbolizer).debug_files, 0);
		ck_assert_int_lt(fcntl(fds[i], F_GETFD), 0);
	}
	ck_assert_str_eq(name_of(symbolizer, 1, program.exported, &answers), "exported");
	/* The right one may still come. */
	ck_assert_int_eq(symbolizer_add_debug(symbolizer, 1, open_file(program.debug)), 0);
	ck_assert_str_eq(name_of(symbolizer, 1, program.one, &answers), "hidden_one");
	symbolizer_destroy(symbolizer);
}
END_TEST

/* Hangs over its debug file: that goes, the image keeps its names. */
START_TEST(a_worker_that_hangs_over_one)
{
	struct symbolizer_config hasty = plain;
	struct symbolizer *symbolizer;
	struct program program;
	struct answers answers = {0};

	hasty.deadline_ns = 300 * NSEC_PER_MSEC;
	symbolizer = create(&hasty);
	program_build(&program, "hangs", "");
	ck_assert_int_eq(add(symbolizer, 1, open_file(program.stripped), NULL), 0);
	ck_assert_int_eq(kill(stats_of(symbolizer).pid, HANG_SIGNAL), 0);
	ck_assert_int_eq(symbolizer_add_debug(symbolizer, 1, open_file(program.debug)), 0);
	ck_assert_str_eq(name_of(symbolizer, 1, program.exported, &answers), "exported");
	ck_assert_uint_eq(stats_of(symbolizer).debug_refused, 1);
	ck_assert_uint_eq(stats_of(symbolizer).quarantined, 0);
	ck_assert_uint_eq(stats_of(symbolizer).restarts, 1);
	symbolizer_destroy(symbolizer);
}
END_TEST

/* --- Without one ---------------------------------------------------------- */

START_TEST(stripped_functions_have_beginnings)
{
	static const char *const flags[] = {"", "-Wl,-z,noseparate-code", "-m32", "-fuse-ld=gold"};
	struct symbolizer *symbolizer = create(&plain);
	struct program program;
	struct answers answers;
	char name[32];

	snprintf(name, sizeof(name), "stripped_%d", _i);
	program_build(&program, name, flags[_i]);
	ck_assert_int_eq(add(symbolizer, 1, open_file(program.stripped), NULL), 0);
	for (uint64_t at = 0; at < program.size_two; at++) {
		ck_assert_str_eq(name_of(symbolizer, 1, program.two + at, &answers), "");
		ck_assert_uint_eq(answers.start, program.two);
		ck_assert_uint_eq(answers.size, program.size_two);
	}
	name_of(symbolizer, 1, program.one, &answers);
	ck_assert_uint_eq(answers.start, program.one);
	name_of(symbolizer, 1, program.exported, &answers);
	ck_assert_str_eq(answers.name, "exported");
	ck_assert_uint_eq(answers.start, program.exported);
	ck_assert_uint_gt(answers.size, 0);
	name_of(symbolizer, 1, 1ULL << 40, &answers);
	ck_assert_uint_eq(answers.start, 0);
	symbolizer_destroy(symbolizer);
}
END_TEST

/* Without section headers there is still the program header. */
START_TEST(no_section_headers)
{
	struct symbolizer *symbolizer = create(&plain);
	struct program program;
	struct answers answers;
	Elf64_Ehdr *header;
	uint8_t *bytes;
	size_t size;

	program_build(&program, "bare", "");
	bytes = workshop_read(program.stripped, &size);
	header = (void *)bytes;
	header->e_shoff = 0;
	header->e_shnum = header->e_shstrndx = 0;
	ck_assert_int_eq(add(symbolizer, 1, workshop_text((char *)bytes, size), NULL), 0);
	name_of(symbolizer, 1, program.two + program.size_two - 1, &answers);
	ck_assert_uint_eq(answers.start, program.two);
	name_of(symbolizer, 1, program.two + program.size_two, &answers);
	ck_assert_uint_ne(answers.start, program.two);
	free(bytes);
	symbolizer_destroy(symbolizer);
}
END_TEST

/* Every stub that objdump knows by a name has that name here. */
START_TEST(stubs_of_other_files_functions)
{
	static const char *const flags[] = {"-Wl,-z,lazy", "-Wl,-z,now", "-fcf-protection=full",
					    "-Wl,-z,now -fcf-protection=full -Wl,-z,ibtplt"};
	struct symbolizer *symbolizer = create(&plain);
	unsigned long long address;
	struct program program;
	struct answers answers;
	char command[512], line[512], name[64], wanted[72];
	unsigned seen = 0;
	FILE *pipe;

	snprintf(name, sizeof(name), "stubs_%d", _i);
	program_build(&program, name, flags[_i]);
	ck_assert_int_eq(add(symbolizer, 1, open_file(program.stripped), NULL), 0);
	snprintf(command, sizeof(command), "objdump -d '%s'", program.stripped);
	pipe = popen(command, "r");
	while (pipe && fgets(line, sizeof(line), pipe)) {
		int end = 0;

		if (sscanf(line, "%llx <%50[a-z_]@plt>:%n", &address, name, &end) != 2 || !end)
			continue;
		snprintf(wanted, sizeof(wanted), "%s@plt", name);
		ck_assert_str_eq(name_of(symbolizer, 1, address + 1, &answers), wanted);
		seen++;
	}
	pclose(pipe);
	ck_assert_uint_ge(seen, 2);
	symbolizer_destroy(symbolizer);
}
END_TEST

/* --- The system's C library ----------------------------------------------- */

static int open_libc(void)
{
	int fd = open("/lib/x86_64-linux-gnu/libc.so.6", O_RDONLY | O_CLOEXEC);

	return fd >= 0 ? fd : open("/lib64/libc.so.6", O_RDONLY | O_CLOEXEC);
}

struct found {
	unsigned variants, versioned, named;
	bool done;
};

static void count_names(void *context, int error, const char *text,
			const struct symbolizer_name *names, size_t count)
{
	struct found *found = context;

	ck_assert_msg(!error, "%s", text);
	for (size_t i = 0; i < count; i++) {
		if (!names[i].frame_count)
			continue;
		found->named++;
		/* memmove() as it is on one kind of machine: never in .dynsym. */
		found->variants += strstr(names[i].frames[0].name, "_avx_unaligned") != NULL;
		found->versioned += strstr(names[i].frames[0].name, "@@") != NULL;
	}
	found->done = true;
}

static struct found survey(struct symbolizer *symbolizer)
{
	static uint64_t offsets[SYMBOLIZER_ADDRESSES_MAX / 8];
	struct answers answers = {0};
	struct found found = {0};

	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		offsets[i] = i * 16;
	ck_assert_int_eq(symbolizer_names(symbolizer, 1, offsets,
					  sizeof(offsets) / sizeof(offsets[0]), count_names,
					  &found),
			 0);
	name_of(symbolizer, 1, 0, &answers); /* answers come in order */
	ck_assert(found.done);
	return found;
}

static bool libc_has_debug_file(void)
{
	return system("test -n \"$(find /usr/lib/debug/.build-id -name '*.debug' 2>/dev/null |"
		      " head -1)\"") == 0 &&
	       system("dpkg-query -W libc6-dbg >/dev/null 2>&1") == 0;
}

START_TEST(the_c_librarys_debug_file)
{
	struct symbolizer *symbolizer = create(&plain);
	struct found before, after;
	struct answers answers;
	int fd = -1;

	ck_assert_int_eq(add(symbolizer, 1, open_libc(), &answers), 0);
	before = survey(symbolizer);
	ck_assert_int_eq(
		debug_file_open(getpid(), answers.image.build_id, answers.image.build_id_size, &fd),
		0);
	ck_assert_int_eq(symbolizer_add_debug(symbolizer, 1, fd), 0);
	after = survey(symbolizer);
	ck_assert_uint_eq(before.variants, 0);
	ck_assert_uint_gt(after.variants, 10);
	ck_assert_uint_gt(after.named, before.named);
	ck_assert_uint_eq(after.versioned, 0);
	ck_assert_uint_eq(stats_of(symbolizer).debug_refused, 0);
	symbolizer_destroy(symbolizer);
}
END_TEST

static bool can_build(const char *flags)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "echo 'int main(void) { return 0; }' | gcc %s -x c - -o /dev/null 2>/dev/null",
		 flags);
	return system(command) == 0;
}

static void add_tests(TCase *tcase)
{
	bool tools = workshop_has_compiler() && !system("objcopy --version >/dev/null 2>&1");
	bool x86_64 = tools && can_build("-fcf-protection=full");

	tcase_add_test(tcase, the_targets_before_the_hosts);
	tcase_add_test(tcase, what_is_no_debug_file);
	tcase_add_test(tcase, links_stay_below_the_root);
	tcase_add_test(tcase, by_the_name_in_a_program);
	workshop_add(tcase, tools, "no gcc or objcopy", names_out_of_a_debug_file);
	workshop_add(tcase, tools, "no gcc or objcopy", an_image_let_go_of_comes_back_with_it);
	workshop_add(tcase, tools, "no gcc or objcopy", of_another_build_or_no_elf_file);
	workshop_add(tcase, tools, "no gcc or objcopy", a_worker_that_hangs_over_one);
	workshop_add(tcase, tools, "no gcc or objcopy", no_section_headers);
	if (tools)
		tcase_add_loop_test(tcase, stripped_functions_have_beginnings, 0, 2);
	else
		workshop_skip("stripped_functions_have_beginnings", "no gcc or objcopy");
	if (tools && can_build("-m32 -pie -fPIE"))
		tcase_add_loop_test(tcase, stripped_functions_have_beginnings, 2, 3);
	else
		workshop_skip("stripped_functions_have_beginnings (32 bits)", "gcc has no -m32");
	if (tools && can_build("-fuse-ld=gold"))
		tcase_add_loop_test(tcase, stripped_functions_have_beginnings, 3, 4);
	else
		workshop_skip("stripped_functions_have_beginnings (gold)", "no such linker");
	if (x86_64)
		tcase_add_loop_test(tcase, stubs_of_other_files_functions, 0, 4);
	else
		workshop_skip("stubs_of_other_files_functions", "no gcc for x86-64");
	workshop_add(tcase, libc_has_debug_file(), "libc6-dbg is not installed",
		     the_c_librarys_debug_file);
}

int main(int argc, char **argv)
{
	Suite *suite = suite_create("debug_file");
	TCase *tcase = tcase_create("debug_file");
	SRunner *runner;
	int failed;

	symbolizer_be_worker(argc, argv);
	log_init("test_debug_file", LOG_LEVEL_ERROR);
	workshop_open(&shop);
	tcase_set_timeout(tcase, 60);
	add_tests(tcase);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	workshop_close(&shop);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
