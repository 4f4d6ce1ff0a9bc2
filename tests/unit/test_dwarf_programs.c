/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Programs whose truth is known, their debug information split and shared in the ways
 * that compilers and dwz do it, or silent about where its code is, asked by a real worker.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/log.h"
#include "symbolizer/debug_part.h"
#include "symbolizer/dwarf_index.h"
#include "tests/unit/suite.h"
#include "tests/unit/symbolizer_fixture.h"
#include "tests/unit/workshop.h"

#define MEMORY (64u << 20)

static struct workshop shop;

#define run(...) ck_assert_int_eq(workshop_command(__VA_ARGS__), 0)

/* ---- programs ---- */

static const char one_c[] =
	"static inline __attribute__((always_inline)) int inner(int a)\n"
	"{ __asm__ volatile(\".globl mark_one\\nmark_one: nop\"); return a * 3; }\n"
	"__attribute__((noinline)) int outer(int a)\n"
	"{ return inner(a) + 7; }\n";
static const char two_c[] =
	"int outer(int a);\n"
	"static inline __attribute__((always_inline)) int deep(int a)\n"
	"{ __asm__ volatile(\".globl mark_two\\nmark_two: nop\"); return a * 5; }\n"
	"int main(int argc, char **argv)\n"
	"{ (void)argv; return outer(argc) + deep(argc); }\n";

/* The whole of it: "function:line" of each frame, leaf first. */
static const char *const whole[] = {"inner:2 outer:4", "deep:3 main:5"};
/* By skeletons without functions: the symbol, and the leaf's line. */
static const char *const skeleton[] = {"outer:2", "main:3"};
/* Where the names of what is inlined are elsewhere. */
static const char *const shared_away[] = {"outer:4", "main:5"};

struct reply {
	struct answers answers;
	char text[2][256];
};

static void on_frames(void *context, int error, const char *text,
		      const struct symbolizer_name *names, size_t count)
{
	struct reply *reply = context;

	take(&reply->answers, error, text);
	for (size_t i = 0; !error && i < count && i < 2; i++) {
		reply->text[i][0] = '\0';
		for (uint32_t j = 0; j < names[i].frame_count; j++) {
			size_t at = strlen(reply->text[i]);

			snprintf(reply->text[i] + at, sizeof(reply->text[i]) - at, "%s%s:%u",
				 at ? " " : "", names[i].frames[j].name, names[i].frames[j].line);
		}
	}
}

struct asked { /* by the worker, for files */
	struct symbolizer *symbolizer;
	const char *path; /* of the program */
	unsigned asked;
	bool later; /* not inside of the question */
	uint32_t numbers[16];
	int fds[16];
};

static void find_part(void *context, uint32_t image, const struct symbolizer_part *part)
{
	struct asked *asked = context;
	int fd = -1;

	ck_assert_uint_lt(asked->asked, 16);
	ck_assert_uint_eq(part->owner, geteuid());
	debug_part_open(0, asked->path, part, &fd);
	asked->numbers[asked->asked] = part->number;
	asked->fds[asked->asked++] = fd;
	if (!asked->later)
		ck_assert_int_eq(symbolizer_add_part(asked->symbolizer, image, part->number, fd),
				 0);
}

static void place_of(const char *path, const char *mark, uint64_t *ret)
{
	char command[512];
	unsigned long long address = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "nm '%s' | grep -w %s", path, mark);
	pipe = popen(command, "r");
	ck_assert_ptr_nonnull(pipe);
	ck_assert_int_eq(fscanf(pipe, "%llx", &address), 1);
	pclose(pipe);
	*ret = address;
}

/* Has a worker tell both marks' functions. */
static struct symbolizer_stats ask(const char *path, bool later, const char *const want[2])
{
	struct asked asked = {.path = path, .later = later};
	struct symbolizer_config config = plain;
	struct reply reply = {0};
	struct symbolizer_stats stats;
	uint64_t places[2];

	config.flags = SYMBOLIZER_ELF_ADDRESSES;
	config.find_part = find_part;
	config.part_context = &asked;
	asked.symbolizer = create(&config);
	place_of(path, "mark_one", &places[0]);
	place_of(path, "mark_two", &places[1]);
	ck_assert_int_eq(add(asked.symbolizer, 1, open(path, O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(symbolizer_names(asked.symbolizer, 1, places, 2, on_frames, &reply), 0);
	for (unsigned given = 0; later && !reply.answers.total;) {
		struct pollfd ready = {.fd = symbolizer_fd(asked.symbolizer), .events = POLLIN};

		if (given < asked.asked) {
			ck_assert_int_eq(symbolizer_add_part(asked.symbolizer, 1,
							     asked.numbers[given],
							     asked.fds[given]),
					 0);
			given++;
		}
		poll(&ready, 1, 250);
		symbolizer_dispatch(asked.symbolizer);
	}
	wait_for(asked.symbolizer, &reply.answers, 1);
	ck_assert_msg(!reply.answers.error, "%s", reply.answers.text);
	for (int i = 0; i < 2; i++)
		ck_assert_str_eq(reply.text[i], want[i]);
	/* Nobody asks twice. */
	ck_assert_int_eq(symbolizer_names(asked.symbolizer, 1, places, 2, on_frames, &reply), 0);
	wait_for(asked.symbolizer, &reply.answers, 2);
	ck_assert_int_eq(symbolizer_add_part(asked.symbolizer, 1, 0, -1), -ENOENT);
	stats = stats_of(asked.symbolizer);
	ck_assert_uint_eq(stats.parts + stats.parts_absent + stats.parts_refused, asked.asked);
	ck_assert_uint_eq(stats.restarts, 0);
	symbolizer_destroy(asked.symbolizer);
	return stats;
}

static void sources(const char *folder, char path[256])
{
	char file[512];

	snprintf(path, 256, "%s/%s", shop.folder, folder);
	run("mkdir '%s'", path);
	snprintf(file, sizeof(file), "%s/one.c", path);
	workshop_write(file, one_c, strlen(one_c));
	snprintf(file, sizeof(file), "%s/two.c", path);
	workshop_write(file, two_c, strlen(two_c));
}

static const struct split {
	const char *name, *compiler, *flags, *packer;
} splits[] = {
	{"gcc4", "gcc", "-gdwarf-4", "dwp"},
	{"gcc5", "gcc", "-gdwarf-5", NULL}, /* neither dwp 2.40 nor llvm-dwp 14 survives it */
	{"clang4", "clang", "-gdwarf-4", "llvm-dwp"},
	{"clang5", "clang", "-gdwarf-5", "llvm-dwp"},
	{"types", "gcc", "-gdwarf-4 -fdebug-types-section", "dwp"},
	{"packed", "gcc", "-gdwarf-4 -gz=zlib", NULL},
};
#define SPLITS ((int)(sizeof(splits) / sizeof(splits[0])))

START_TEST(split_units)
{
	const struct split *split = &splits[_i];
	char folder[256], path[300];
	struct symbolizer_stats stats;

	sources(split->name, folder);
	snprintf(path, sizeof(path), "%s/p", folder);
	run("cd '%s' && %s -O2 %s -gsplit-dwarf -c one.c two.c && %s one.o two.o -o p", folder,
	    split->compiler, split->flags, split->compiler);
	stats = ask(path, false, whole);
	ck_assert_uint_eq(stats.parts, 2);
	ck_assert_uint_eq(stats.parts_absent, 1); /* the package */
	ask(path, true, whole);
	/* Moved away together: found beside the program. */
	run("cd '%s' && mkdir moved && mv p *.dwo moved", folder);
	snprintf(path, sizeof(path), "%s/moved/p", folder);
	ask(path, false, whole);
	if (split->packer && !workshop_command("%s --version >/dev/null 2>&1", split->packer)) {
		run("cd '%s' && mv moved/* . && timeout 20 %s -e p -o p.dwp && rm *.dwo", folder,
		    split->packer);
		snprintf(path, sizeof(path), "%s/p", folder);
		ck_assert_uint_eq(ask(path, false, whole).parts, 1);
		run("cd '%s' && mv p p.dwp moved", folder);
		snprintf(path, sizeof(path), "%s/moved/p", folder);
		ask(path, false, whole);
		run("cd '%s' && head -c 300 moved/p.dwp >cut && mv cut moved/p.dwp", folder);
		ck_assert_uint_eq(ask(path, false, skeleton).parts_refused, 1);
	}
	run("rm -r '%s'", folder);
}
END_TEST

/* One of another build, none, and one that is no ELF file: by the skeletons. */
START_TEST(halves_that_do_not_fit)
{
	char folder[256], path[300];
	struct symbolizer_stats stats;

	sources("unfit", folder);
	snprintf(path, sizeof(path), "%s/p", folder);
	run("cd '%s' && gcc -O2 -g -gsplit-dwarf -c one.c two.c && gcc one.o two.o -o p && "
	    "sed s/7/8/ one.c >three.c && gcc -O2 -g -gsplit-dwarf -c three.c && "
	    "mv three.dwo one.dwo && echo no ELF file >two.dwo",
	    folder);
	stats = ask(path, false, skeleton);
	ck_assert_uint_eq(stats.parts, 0);
	ck_assert_uint_eq(stats.parts_refused, 2);
	run("rm '%s'/*.dwo && mkfifo '%s/one.dwo'", folder, folder);
	stats = ask(path, false, skeleton);
	ck_assert_uint_eq(stats.parts_absent, 3);
	run("rm -r '%s'", folder);
}
END_TEST

static void share(const char *folder, const char *flags)
{
	run("cd '%s' && for i in 1 2 3; do sed s/9/$i/ two.c >two$i.c; "
	    "gcc -O2 -g one.c two$i.c -o p$i || exit 1; done && dwz %s -m shared p1 p2 p3",
	    folder, flags);
}

START_TEST(what_programs_share)
{
	static const char *const flags[] = {"", "-r", "-5"};
	char folder[256], path[300];

	sources("dwz", folder);
	snprintf(path, sizeof(path), "%s/p1", folder);
	share(folder, flags[_i]);
	ck_assert_uint_eq(ask(path, false, whole).parts, 1);
	ask(path, true, whole);
	/* Without it, and with another program's. */
	run("mv '%s/shared' '%s/kept'", folder, folder);
	ck_assert_uint_eq(ask(path, false, shared_away).parts_absent, 1);
	run("cd '%s' && cp p1 shared", folder);
	ck_assert_uint_eq(ask(path, false, shared_away).parts_refused, 1);
	/* Root's own secrets are not read because a program names them. */
	run("cd '%s' && mv kept shared && chmod 600 shared", folder);
	if (!geteuid())
		ck_assert_uint_eq(ask(path, false, shared_away).parts_absent, 1);
	run("rm -r '%s'", folder);
}
END_TEST

/* The worker waits for no owner that does not answer. */
START_TEST(an_owner_that_drops_the_file)
{
	struct asked asked = {.later = true};
	struct symbolizer_config config = plain;
	struct reply reply = {0};
	char folder[256], path[300];
	uint64_t place = 0x1000;

	sources("drop", folder);
	snprintf(path, sizeof(path), "%s/p", folder);
	asked.path = path;
	run("cd '%s' && gcc -O2 -g -gsplit-dwarf one.c two.c -o p", folder);
	config.find_part = find_part;
	config.part_context = &asked;
	asked.symbolizer = create(&config);
	ck_assert_int_eq(add(asked.symbolizer, 1, open(path, O_RDONLY | O_CLOEXEC), NULL), 0);
	ck_assert_int_eq(symbolizer_names(asked.symbolizer, 1, &place, 1, on_frames, &reply), 0);
	while (!asked.asked) {
		struct pollfd ready = {.fd = symbolizer_fd(asked.symbolizer), .events = POLLIN};

		poll(&ready, 1, 250);
		symbolizer_dispatch(asked.symbolizer);
	}
	ck_assert_uint_eq(symbolizer_pending(asked.symbolizer), 1);
	symbolizer_drop_image(asked.symbolizer, 1);
	wait_for(asked.symbolizer, &reply.answers, 1);
	ck_assert_int_eq(reply.answers.error, -ENOENT);
	ck_assert_int_eq(symbolizer_add_part(asked.symbolizer, 1, asked.numbers[0], -1), -ENOENT);
	symbolizer_destroy(asked.symbolizer);
	run("rm -r '%s'", folder);
}
END_TEST

/* ---- units that do not say where their code is ---- */

START_TEST(units_without_ranges)
{
	static const char assembly[] =
		"	.text\n	.globl one, two\none: nop\n	ret\ntwo: nop\n	ret\n.Lend:\n"
		"	.section .debug_info\n	.long .Li - .Lb\n.Lb:	.value 4\n"
		"	.long .Lab\n	.byte 8\n	.byte 1\n	.asciz \"silent.c\"\n"
		"	.byte 2\n	.asciz \"first\"\n	.quad one\n	.quad 2\n"
		"	.byte 2\n	.asciz \"second\"\n	.quad two\n	.quad 2\n"
		"	.byte 0\n.Li:\n"
		"	.section .debug_abbrev\n.Lab:	.byte 1, 0x11, 1, 3, 8, 0, 0\n"
		"	.byte 2, 0x2e, 0, 3, 8, 0x11, 1, 0x12, 7, 0, 0, 0\n";
	static const char ranges[] =
		"	.section .debug_aranges\n	.long 0x2c\n	.value 2\n	.long 0\n"
		"	.byte 8, 0\n	.long 0\n	.quad one, .Lend - one, 0, 0\n";
	static const struct dwarf_bounds everywhere = {1, UINT64_MAX};
	char source[256], path[256];
	struct dwarf_frame frames[4];
	struct dwarf_file *file = malloc(sizeof(*file));
	struct dwarf_index index;
	struct error error = {0};
	uint64_t one, two;
	FILE *out;

	snprintf(source, sizeof(source), "%s/silent%d.s", shop.folder, _i);
	snprintf(path, sizeof(path), "%s/silent%d", shop.folder, _i);
	out = fopen(source, "w");
	ck_assert(out && file);
	fprintf(out, "%s%s", assembly, _i ? ranges : "");
	fclose(out);
	run("gcc -c '%s' -o '%s.o' && ld -e one -o '%s' '%s.o'", source, path, path, path);
	place_of(path, "one", &one);
	place_of(path, "two", &two);
	ck_assert_msg(!dwarf_file_init(file, open(path, O_RDONLY | O_CLOEXEC), DWARF_WHOLE, &error),
		      "%s", error.text);
	ck_assert_msg(!dwarf_index_init(&index, file, &everywhere, MEMORY, &error), "%s",
		      error.text);
	ck_assert_uint_eq(index.silent.count, _i ? 0 : 1);
	ck_assert_uint_eq(dwarf_index_find(&index, two + 1, frames, 4), 1);
	ck_assert_str_eq(frames[0].name, "second");
	ck_assert_uint_eq(dwarf_index_find(&index, one, frames, 4), 1);
	ck_assert_str_eq(frames[0].name, "first");
	ck_assert_uint_eq(dwarf_index_find(&index, one - 1, frames, 4), 0);
	ck_assert_uint_eq(index.silent.count, 0);
	close(file->fd);
	dwarf_index_deinit(&index);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite = suite_create("dwarf_programs");
	TCase *tcase = tcase_create("dwarf_programs");
	bool gcc = workshop_has_compiler(),
	     dwz = !workshop_command("dwz --version >/dev/null 2>&1");
	bool clang = !workshop_command("clang --version >/dev/null 2>&1");
	int failed;

	symbolizer_be_worker(argc, argv);
	log_init("test_dwarf_programs", LOG_LEVEL_ERROR);
	workshop_open(&shop);
	tcase_set_timeout(tcase, 90);
	for (int i = 0; i < SPLITS; i++) {
		if (splits[i].compiler[0] == 'g' ? gcc : clang)
			tcase_add_loop_test(tcase, split_units, i, i + 1);
		else
			workshop_skip(splits[i].name, "its compiler is not there");
	}
	workshop_add(tcase, gcc, "no gcc", halves_that_do_not_fit);
	workshop_add(tcase, gcc, "no gcc", an_owner_that_drops_the_file);
	if (gcc && dwz)
		tcase_add_loop_test(tcase, what_programs_share, 0, 3);
	else
		workshop_skip("what_programs_share", "no gcc or dwz");
	if (gcc)
		tcase_add_loop_test(tcase, units_without_ranges, 0, 2);
	suite_add_tcase(suite, tcase);
	failed = suite_main(suite);
	workshop_close(&shop);
	return failed;
}
