/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/elf_image.h"
#include "symbolizer/symtab.h"
#include "tests/unit/workshop.h"

#define BASE 0x401000 /* where the linker is told to put .text */

static struct workshop shop;

static void load(struct symtab *symtab, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct error error = {0};
	struct elf_image image;

	ck_assert_int_ge(fd, 0);
	ck_assert_msg(!elf_image_init(&image, fd, &error), "%s: %s", path, error.text);
	ck_assert_msg(!symtab_init(symtab, &image, &error), "%s: %s", path, error.text);
	elf_image_deinit(&image);
	close(fd);
}

static void assemble(struct symtab *symtab, const char *name, const char *source)
{
	char path[256];

	workshop_build(&shop, name, ".s", source,
		       "-nostdlib -static -Wl,-Ttext=0x401000 -Wl,--entry=0x401000", path);
	load(symtab, path);
}

static void expect(const struct symtab *symtab, uint64_t address, const char *name)
{
	const char *got = symtab_find(symtab, address);

	if (!name)
		ck_assert_msg(!got, "%llx has the name %s", (unsigned long long)address, got);
	else
		ck_assert_msg(got && !strcmp(got, name), "%llx is %s, not %s",
			      (unsigned long long)address, got ? got : "nameless", name);
}

/* Sorted, disjoint, not empty, and with names inside the blob. */
static void check_order(const struct symtab *symtab)
{
	uint64_t end = 0;

	for (size_t i = 0; i < symtab->ranges.count; i++) {
		const struct symtab_range *range = &symtab->ranges.items[i];

		ck_assert_uint_ge(range->address, end);
		ck_assert_uint_gt(range->size, 0);
		ck_assert_uint_lt(range->name, symtab->names.count);
		ck_assert_uint_ne(symtab->names.items[range->name], 0);
		ck_assert_ptr_eq(symtab_range_of(symtab, range->address), range);
		ck_assert_ptr_eq(symtab_range_of(symtab, range->address + range->size - 1), range);
		ck_assert(symtab_names_any(symtab, range->address - 1, range->address + 1));
		ck_assert(symtab_names_any(symtab, range->address + range->size - 1, UINT64_MAX));
		ck_assert_int_eq(symtab_names_any(symtab, end, range->address), 0);
		end = range->address + range->size;
	}
}

START_TEST(sizes_and_gaps)
{
	struct symtab symtab;

	assemble(&symtab, "sizes",
		 ".text\n"
		 ".globl first\n .type first,@function\nfirst: .fill 16,1,0x90\n"
		 ".size first,16\n"
		 ".fill 16,1,0x90\n" /* nobody's */
		 ".type unsized,@function\nunsized: .fill 16,1,0x90\n"
		 "plain: .fill 16,1,0x90\n" /* STT_NOTYPE */
		 ".type last,@function\nlast: .fill 8,1,0x90\n"
		 ".data\n.type object,@object\nobject: .quad 1\n.size object,8\n"
		 "data_label: .quad 2\n");
	check_order(&symtab);
	ck_assert_uint_eq(symtab.symbols, 4);
	expect(&symtab, BASE - 1, NULL);
	expect(&symtab, BASE, "first");
	expect(&symtab, BASE + 15, "first");
	expect(&symtab, BASE + 16, NULL);
	expect(&symtab, BASE + 32, "unsized");
	expect(&symtab, BASE + 47, "unsized");
	expect(&symtab, BASE + 48, "plain");
	expect(&symtab, BASE + 64, "last");
	expect(&symtab, BASE + 71, "last");
	expect(&symtab, BASE + 72, NULL);
	expect(&symtab, 0, NULL);
	expect(&symtab, UINT64_MAX, NULL);
	symtab_deinit(&symtab);
}
END_TEST

START_TEST(which_of_several_names)
{
	struct symtab symtab;

	assemble(&symtab, "aliases",
		 ".text\n"
		 ".type a_local,@function\n.type a_weak,@function\n.weak a_weak\n"
		 ".type the_global_one,@function\n.globl the_global_one\n"
		 "a_local: a_weak: the_global_one: .fill 16,1,0x90\n"
		 ".size a_local,16\n.size a_weak,16\n.size the_global_one,16\n"
		 ".globl longer_name\n.globl short\n.globl shrot\n"
		 ".type longer_name,@function\n.type short,@function\n.type shrot,@function\n"
		 "longer_name: shrot: short: .fill 16,1,0x90\n"
		 ".size longer_name,16\n.size short,16\n.size shrot,16\n"
		 ".globl bare\n.globl sized_one\n"
		 ".type bare,@function\n.type sized_one,@function\n"
		 "bare: sized_one: .fill 16,1,0x90\n.size sized_one,16\n");
	ck_assert_uint_eq(symtab.symbols, 3);
	expect(&symtab, BASE, "the_global_one");
	expect(&symtab, BASE + 16, "short");
	expect(&symtab, BASE + 32, "sized_one");
	/* The others are known to be of the same place, and of no other one. */
	ck_assert(symtab_is_also(&symtab, symtab_find(&symtab, BASE + 3), "a_weak"));
	ck_assert(symtab_is_also(&symtab, symtab_find(&symtab, BASE), "a_local"));
	ck_assert(symtab_is_also(&symtab, symtab_find(&symtab, BASE + 16), "longer_name"));
	ck_assert(symtab_is_also(&symtab, symtab_find(&symtab, BASE + 40), "bare"));
	ck_assert(!symtab_is_also(&symtab, symtab_find(&symtab, BASE), "the_global_one"));
	ck_assert(!symtab_is_also(&symtab, symtab_find(&symtab, BASE + 16), "a_weak"));
	symtab_deinit(&symtab);
}
END_TEST

START_TEST(ranges_inside_ranges)
{
	struct symtab symtab;

	assemble(&symtab, "nested",
		 ".text\n"
		 ".type outer,@function\nouter: .fill 16,1,0x90\n"
		 ".type inner,@function\ninner: .fill 16,1,0x90\n.size inner,16\n"
		 "label: .fill 16,1,0x90\n" /* part of outer */
		 ".size outer,48\n"
		 ".type left,@function\nleft: .fill 16,1,0x90\n"
		 ".type right,@function\nright: .fill 16,1,0x90\n"
		 ".size left,24\n.size right,16\n"
		 ".type too_long,@function\ntoo_long: .fill 16,1,0x90\n"
		 ".size too_long,0x1000000\n");
	check_order(&symtab);
	expect(&symtab, BASE, "outer");
	expect(&symtab, BASE + 16, "inner");
	expect(&symtab, BASE + 31, "inner");
	expect(&symtab, BASE + 32, "outer");
	expect(&symtab, BASE + 47, "outer");
	expect(&symtab, BASE + 48, "left");
	expect(&symtab, BASE + 64, "right");
	expect(&symtab, BASE + 79, "right");
	expect(&symtab, BASE + 80, "too_long");
	expect(&symtab, BASE + 96, NULL); /* its section ends there */
	symtab_deinit(&symtab);
}
END_TEST

START_TEST(what_is_no_function)
{
	struct symtab symtab;

	assemble(&symtab, "marks",
		 ".text\n"
		 ".type real,@function\nreal: .fill 16,1,0x90\n"
		 "$x: $d.12: .annobin_thing: .fill 16,1,0x90\n"
		 ".type $dollar,@function\n$dollar: .fill 16,1,0x90\n"
		 ".globl absolute\n.set absolute,0x401008\n");
	expect(&symtab, BASE, "real");
	expect(&symtab, BASE + 8, "real");
	expect(&symtab, BASE + 16, "real"); /* no size: up to the next function */
	expect(&symtab, BASE + 32, "$dollar");
	ck_assert_uint_eq(symtab.symbols, 2);
	symtab_deinit(&symtab);
}
END_TEST

START_TEST(stripped_to_dynamic_symbols)
{
	static const char source[] = "int shown(int a) { return a * 3; }\n"
				     "static int __attribute__((noinline, used)) hidden(int a)\n"
				     "{ return a + 7; }\n"
				     "int shown_too(int a) { return hidden(a); }\n";
	struct symtab whole, stripped;
	char path[256], path_stripped[256];
	size_t names = 0;

	workshop_build(&shop, "libwhole.so", ".c", source, "-O1 -shared -fPIC", path);
	workshop_build(&shop, "libstripped.so", ".c", source, "-O1 -shared -fPIC -s",
		       path_stripped);
	load(&whole, path);
	load(&stripped, path_stripped);
	ck_assert_uint_gt(whole.symbols, stripped.symbols);
	for (size_t i = 0; i < whole.ranges.count; i++) {
		const char *name = whole.names.items + whole.ranges.items[i].name;
		bool dynamic = !strcmp(name, "shown") || !strcmp(name, "shown_too");

		if (dynamic || !strcmp(name, "hidden")) {
			expect(&stripped, whole.ranges.items[i].address, dynamic ? name : NULL);
			names++;
		}
	}
	ck_assert_uint_eq(names, 3);
	symtab_deinit(&whole);
	symtab_deinit(&stripped);
}
END_TEST

struct library {
	const char *name;
	char path[256];
	uint64_t base;
};

static int find_library(struct dl_phdr_info *info, size_t size, void *context)
{
	struct library *library = context;

	(void)size;
	if (!info->dlpi_name || !strstr(info->dlpi_name, library->name))
		return 0;
	snprintf(library->path, sizeof(library->path), "%s", info->dlpi_name);
	library->base = info->dlpi_addr;
	return 1;
}

/* The dynamic loader agrees on where the C library's functions are. */
START_TEST(the_c_library)
{
	static const char *const functions[] = {"malloc", "free", "qsort", "printf", "fopen"};
	struct library library = {.name = "libc.so"};
	struct symtab symtab;

	ck_assert(dl_iterate_phdr(find_library, &library));
	load(&symtab, library.path);
	check_order(&symtab);
	ck_assert_uint_gt(symtab.symbols, 500);
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		void *want = dlsym(RTLD_DEFAULT, functions[i]);
		const char *name;

		Dl_info where;

		/* A sanitizer's malloc() is not the library's. */
		ck_assert(dladdr(want, &where));
		if (!strstr(where.dli_fname, "libc.so"))
			continue;
		name = symtab_find(&symtab, (uint64_t)(uintptr_t)want - library.base);
		ck_assert_ptr_nonnull(name);
		/* Perhaps under another of its names. */
		ck_assert_ptr_eq(dlsym(RTLD_DEFAULT, name), want);
	}
	symtab_deinit(&symtab);
}
END_TEST

START_TEST(no_symbols_at_all)
{
	struct symtab symtab;
	char path[256];

	workshop_build(&shop, "nothing", ".s", ".text\n.fill 16,1,0x90\n",
		       "-nostdlib -static -s -Wl,-Ttext=0x401000 -Wl,--entry=0x401000", path);
	load(&symtab, path);
	ck_assert_uint_eq(symtab.symbols, 0);
	expect(&symtab, BASE, NULL);
	symtab_deinit(&symtab);
}
END_TEST

/* Each byte of the section headers and symbols of a file broken in turn. */
START_TEST(damaged_tables)
{
	char path[256];
	uint8_t *bytes;
	size_t size;

	workshop_build(&shop, "victim", ".s",
		       ".text\n.globl f\n.type f,@function\nf: .fill 16,1,0x90\n.size f,16\n",
		       "-nostdlib -static -Wl,-Ttext=0x401000 -Wl,--entry=0x401000", path);
	bytes = workshop_read(path, &size);
	for (size_t at = 4096 + 16; at < size; at++) {
		static const uint8_t values[] = {0, 1, 0x7f, 0xff};
		uint8_t was = bytes[at];

		for (size_t i = 0; i < sizeof(values); i++) {
			struct error error = {0};
			struct elf_image image;
			struct symtab symtab;

			bytes[at] = values[i];
			if (elf_image_init_memory(&image, bytes, size, &error))
				continue;
			if (!symtab_init(&symtab, &image, &error)) {
				check_order(&symtab);
				symtab_find(&symtab, BASE);
				symtab_deinit(&symtab);
			}
			elf_image_deinit(&image);
		}
		bytes[at] = was;
	}
	free(bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("symtab");
	TCase *tcase = tcase_create("symtab");
	bool compiler = workshop_has_compiler();
	SRunner *runner;
	int failed;

	workshop_open(&shop);
	tcase_set_timeout(tcase, 60);
	workshop_add(tcase, compiler, "no gcc", sizes_and_gaps);
	workshop_add(tcase, compiler, "no gcc", which_of_several_names);
	workshop_add(tcase, compiler, "no gcc", ranges_inside_ranges);
	workshop_add(tcase, compiler, "no gcc", what_is_no_function);
	workshop_add(tcase, compiler, "no gcc", stripped_to_dynamic_symbols);
	workshop_add(tcase, compiler, "no gcc", no_symbols_at_all);
	workshop_add(tcase, compiler, "no gcc", damaged_tables);
	tcase_add_test(tcase, the_c_library);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	workshop_close(&shop);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
