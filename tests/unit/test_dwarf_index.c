/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Functions, inlined functions and lines of programs whose truth is known: each
 * carries labels in functions that were inlined, and the suite knows who called
 * whom on which line. One source in every way that compilers write DWARF.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gelf.h>

#include "symbolizer/dwarf_index.h"
#include "tests/unit/suite.h"
#include "tests/unit/workshop.h"

#define MEMORY (64u << 20)

static struct workshop shop;

static const char source[] =
	"#define MARK(name) __asm__ volatile(\".globl \" #name \"\\n\" #name \": nop\")\n" /* 1 */
	"static inline __attribute__((always_inline)) int inner(int a)\n"
	"{\n"
	"	MARK(mark_inner);\n" /* 4 */
	"	return a * 3;\n"
	"}\n"
	"static inline __attribute__((always_inline)) int middle(int a)\n"
	"{\n"
	"	a = inner(a + 1);\n" /* 9 */
	"	MARK(mark_middle);\n" /* 10 */
	"	return a;\n"
	"}\n"
	"__attribute__((noinline)) int outer(int a)\n"
	"{\n"
	"	MARK(mark_outer);\n" /* 15 */
	"	return middle(a) + 7;\n" /* 16 */
	"}\n"
	"__attribute__((noinline, cold)) int other(int a)\n"
	"{\n"
	"	MARK(mark_other);\n" /* 20 */
	"	return a ^ 5;\n"
	"}\n"
	"int main(int argc, char **argv)\n"
	"{\n"
	"	(void)argv;\n"
	"	return outer(argc) + other(argc);\n"
	"}\n";

struct truth {
	const char *mark;
	struct {
		const char *name;
		uint32_t line;
	} chain[4];
};

static const struct truth truths[] = {
	{"mark_inner", {{"inner", 4}, {"middle", 9}, {"outer", 16}}},
	{"mark_middle", {{"middle", 10}, {"outer", 16}}},
	{"mark_outer", {{"outer", 15}}},
	{"mark_other", {{"other", 20}}},
};

static const struct {
	const char *name, *compiler, *flags;
} builds[] = {
	{"plain", "gcc", "-g -O2"},
	{"O0", "gcc", "-g -O0"},
	{"O3", "gcc", "-g3 -O3"},
	{"Os", "gcc", "-g1 -Os"},
	{"dwarf2", "gcc", "-gdwarf-2 -O2"},
	{"dwarf3", "gcc", "-gdwarf-3 -O2"},
	{"dwarf4", "gcc", "-gdwarf-4 -O2"},
	{"dwarf5", "gcc", "-gdwarf-5 -O2"},
	{"dwarf5_64", "gcc", "-gdwarf-5 -gdwarf64 -O2"},
	{"dwarf4_64", "gcc", "-gdwarf-4 -gdwarf64 -O2"},
	{"zlib", "gcc", "-g -O2 -gz=zlib"},
	{"zlib_gnu", "gcc", "-g -O2 -gz=zlib-gnu"},
	{"types", "gcc", "-g -O2 -fdebug-types-section"},
	{"types4", "gcc", "-gdwarf-4 -O2 -fdebug-types-section"},
	{"sections", "gcc", "-g -O2 -ffunction-sections -Wl,--gc-sections"},
	{"lto", "gcc", "-g -O2 -flto"},
	{"non_pie", "gcc", "-g -O2 -no-pie -fno-pie"},
	{"static", "gcc", "-g -O2 -static"},
	{"no_columns", "gcc", "-g -O2 -gno-column-info -gno-statement-frontiers"},
	{"clang4", "clang", "-gdwarf-4 -O2"},
	{"clang5", "clang", "-gdwarf-5 -O2"},
	{"clang5_sections", "clang", "-gdwarf-5 -O2 -ffunction-sections"},
	{"clang_lto", "clang", "-g -O2 -flto"},
};
#define BUILDS ((int)(sizeof(builds) / sizeof(builds[0])))

static struct dwarf_file *file_of(const char *path, struct error *error)
{
	struct dwarf_file *file = malloc(sizeof(*file));
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fd, 0);
	if (dwarf_file_init(file, fd, DWARF_WHOLE, error) < 0) {
		close(fd);
		free(file);
		return NULL;
	}
	return file;
}

static void index_open(const char *path, struct dwarf_index *ret)
{
	static const struct dwarf_bounds everywhere = {1, UINT64_MAX};
	struct error error = {0};
	struct dwarf_file *file = file_of(path, &error);

	ck_assert_msg(file, "%s", error.text);
	ck_assert_msg(!dwarf_index_init(ret, file, &everywhere, MEMORY, &error), "%s", error.text);
}

static void index_close(struct dwarf_index *index)
{
	close(index->file->fd);
	dwarf_index_deinit(index);
}

/* The ELF address of a label. */
static uint64_t address_of(const char *path, const char *label)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t found = 0;
	Elf_Scn *scn = NULL;
	Elf *elf;

	ck_assert_int_ge(fd, 0);
	ck_assert_uint_ne(elf_version(EV_CURRENT), EV_NONE);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	while ((scn = elf_nextscn(elf, scn))) {
		Elf_Data *data = elf_getdata(scn, NULL);
		GElf_Shdr header;
		GElf_Sym symbol;

		ck_assert_ptr_nonnull(gelf_getshdr(scn, &header));
		for (int i = 0; header.sh_type == SHT_SYMTAB && gelf_getsym(data, i, &symbol);
		     i++) {
			const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);

			if (name && !strcmp(name, label))
				found = symbol.st_value;
		}
	}
	elf_end(elf);
	close(fd);
	ck_assert_msg(found, "%s has no %s", path, label);
	return found;
}

static void check_truth(struct dwarf_index *index, const char *path, const struct truth *truth)
{
	uint64_t address = address_of(path, truth->mark);
	struct dwarf_frame frames[16];
	uint32_t count = dwarf_index_find(index, address, frames, 16), want = 0;

	while (want < 4 && truth->chain[want].name)
		want++;
	ck_assert_msg(count == want, "%s: %u functions, not %u", truth->mark, count, want);
	for (uint32_t i = 0; i < count; i++) {
		ck_assert_str_eq(frames[i].name, truth->chain[i].name);
		ck_assert_msg(frames[i].line == truth->chain[i].line, "%s: %s: line %u, not %u",
			      truth->mark, frames[i].name, frames[i].line, truth->chain[i].line);
		ck_assert_int_eq(frames[i].inlined, i + 1 < count);
		ck_assert_msg(frames[i].file[0] == '/' && strstr(frames[i].file, ".c"), "%s",
			      frames[i].file);
	}
}

static void check_all(const char *path)
{
	struct dwarf_index index;

	index_open(path, &index);
	for (size_t i = 0; i < sizeof(truths) / sizeof(truths[0]); i++)
		check_truth(&index, path, &truths[i]);
	index_close(&index);
}

static void build(const char *name, const char *compiler, const char *flags, char path[256])
{
	char from[256], command[1024];

	snprintf(from, sizeof(from), "%s/%s.c", shop.folder, name);
	workshop_path(&shop, name, path);
	workshop_write(from, source, strlen(source));
	snprintf(command, sizeof(command), "%s %s '%s' -o '%s'", compiler, flags, from, path);
	ck_assert_msg(system(command) == 0, "cannot compile: %s", command);
}

START_TEST(each_way_to_write_it)
{
	char path[256];

	build(builds[_i].name, builds[_i].compiler, builds[_i].flags, path);
	check_all(path);
}
END_TEST

/* Folders that a build made relative: each part of a path once. */
START_TEST(relative_folders)
{
	static const char *const flags[] = {"-gdwarf-4", "-gdwarf-5"};
	struct dwarf_frame frames[4];
	struct dwarf_index index;
	char command[1024], path[256];

	build("relative_source", "gcc", "-O2", path); /* leaves its source there */
	snprintf(command, sizeof(command),
		 "cd '%s' && mkdir -p sub && cp relative_source.c sub/x.c && cp sub/x.c y.c && "
		 "gcc -O2 %s -fdebug-prefix-map='%s'=./top sub/x.c -o relative_x && "
		 "gcc -O2 %s -fdebug-prefix-map='%s'=./top y.c -o relative_y && rm -r sub",
		 shop.folder, flags[_i], shop.folder, flags[_i], shop.folder);
	ck_assert_int_eq(system(command), 0);
	for (int which = 0; which < 2; which++) {
		workshop_path(&shop, which ? "relative_y" : "relative_x", path);
		index_open(path, &index);
		ck_assert_uint_eq(
			dwarf_index_find(&index, address_of(path, "mark_other"), frames, 4), 1);
		ck_assert_str_eq(frames[0].file, which ? "./top/y.c" : "./top/sub/x.c");
		index_close(&index);
	}
}
END_TEST

START_TEST(between_and_outside)
{
	struct dwarf_frame frames[4];
	struct dwarf_index index;
	char path[256];

	build("outside", "gcc", "-g -O2", path);
	index_open(path, &index);
	ck_assert_uint_eq(dwarf_index_find(&index, 0, frames, 4), 0);
	ck_assert_uint_eq(dwarf_index_find(&index, UINT64_MAX, frames, 4), 0);
	ck_assert_uint_eq(dwarf_index_find(&index, address_of(path, "_start"), frames, 4), 0);
	/* Room for fewer than there are: the innermost ones. */
	ck_assert_uint_eq(dwarf_index_find(&index, address_of(path, "mark_inner"), frames, 2), 2);
	ck_assert_str_eq(frames[1].name, "middle");
	ck_assert_uint_eq(dwarf_index_find(&index, address_of(path, "mark_inner"), frames, 0), 0);
	index_close(&index);
}
END_TEST

/* One answer as a text, for those of frames go with the next question. */
static void answer_text(struct dwarf_index *index, uint64_t address, char *ret, size_t size)
{
	struct dwarf_frame frames[32];
	uint32_t count = dwarf_index_find(index, address, frames, 32);
	size_t at = (size_t)snprintf(ret, size, "%#llx:", (unsigned long long)address);

	for (uint32_t i = 0; i < count && at < size; i++)
		at += (size_t)snprintf(ret + at, size - at, " %s%s %s:%u", frames[i].name,
				       frames[i].inlined ? "[i]" : "", frames[i].file,
				       frames[i].line);
}

#define ROUND 40

/* Addresses all over the code, ascending. */
static void spread(const struct dwarf_index *index, unsigned round, uint64_t addresses[ROUND])
{
	const struct dwarf_unit_range *ranges = index->ranges.items;
	uint64_t start = ranges[0].start, end = ranges[index->ranges.count - 1].reach;

	for (uint64_t i = 0; i < ROUND; i++)
		addresses[i] = start + (end - start) * i / ROUND + round;
}

/* Read for some addresses alone, a unit says of them what it says as a whole. */
START_TEST(in_rounds)
{
	struct dwarf_index whole, rounds;
	uint64_t addresses[ROUND];
	char path[256], name[64], want[4096], got[4096];

	snprintf(name, sizeof(name), "rounds_%s", builds[_i].name);
	build(name, builds[_i].compiler, builds[_i].flags, path);
	index_open(path, &whole);
	index_open(path, &rounds);
	for (unsigned round = 0; round < 4; round++) {
		spread(&whole, round, addresses);
		dwarf_index_begin(&rounds, &(struct dwarf_asked){addresses, ROUND});
		for (unsigned i = 0; i < ROUND; i++) {
			answer_text(&whole, addresses[i], want, sizeof(want));
			answer_text(&rounds, addresses[i], got, sizeof(got));
			ck_assert_str_eq(got, want);
		}
		dwarf_index_end(&rounds);
	}
	index_close(&rounds);
	index_close(&whole);
}
END_TEST

/* What a round read of a unit goes with it; the third one's stays. */
START_TEST(rounds_keep_nothing_at_first)
{
	struct dwarf_index index;
	struct dwarf_frame frames[4];
	uint64_t address;
	char path[256];

	build("passing", "gcc", "-g -O2", path);
	address = address_of(path, "mark_inner");
	index_open(path, &index);
	for (unsigned round = 0; round < 3; round++) {
		dwarf_index_begin(&index, &(struct dwarf_asked){&address, 1});
		ck_assert_uint_eq(dwarf_index_find(&index, address, frames, 4), 3);
		dwarf_index_end(&index);
		ck_assert_int_eq(index.loaded.items[0].has_functions, round == 2);
		ck_assert_int_eq(index.loaded.items[0].functions.spans.count > 0, round == 2);
		ck_assert_int_eq(index.loaded.items[0].lines.rows.count > 0, round == 2);
	}
	/* With a part of it, of a unit that was let go of. */
	dwarf_index_trim(&index);
	dwarf_index_begin(&index, &(struct dwarf_asked){&address, 1});
	ck_assert_uint_eq(dwarf_index_find(&index, address, frames, 4), 3);
	dwarf_index_trim(&index);
	ck_assert_uint_eq(dwarf_index_find(&index, address, frames, 4), 3);
	index_close(&index);
}
END_TEST

/* Everything is let go of before each question, and read again. */
START_TEST(with_no_memory_to_keep_anything)
{
	struct dwarf_index index;
	char path[256];

	build("forgetful", "gcc", "-g -O2", path);
	index_open(path, &index);
	index.memory_max = 0;
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof(truths) / sizeof(truths[0]); i++)
			check_truth(&index, path, &truths[i]);
	}
	dwarf_index_trim(&index);
	ck_assert_uint_eq(dwarf_index_memory(&index), 0);
	index_close(&index);
}
END_TEST

START_TEST(a_file_that_dwz_made_smaller)
{
	char one[256], command[1024];

	build("dwz_one", "gcc", "-g -O2", one);
	snprintf(command, sizeof(command), "dwz '%s'", one);
	ck_assert_int_eq(system(command), 0);
	check_all(one);
}
END_TEST

/* It is cut off while the index is open: no names, and no death. */
START_TEST(a_file_that_becomes_shorter)
{
	struct dwarf_frame frames[4];
	struct dwarf_index index;
	uint64_t address;
	char path[256];

	build("shorter", "gcc", "-g -O2", path);
	address = address_of(path, "mark_inner");
	index_open(path, &index);
	ck_assert_int_eq(truncate(path, 100), 0);
	ck_assert_uint_eq(dwarf_index_find(&index, address, frames, 4), 0);
	ck_assert_uint_eq(dwarf_index_find(&index, address, frames, 4), 0);
	index_close(&index);
}
END_TEST

START_TEST(a_file_without_any)
{
	struct error error = {0};
	char path[256];

	build("without", "gcc", "-O2 -g0", path);
	ck_assert_ptr_null(file_of(path, &error));
	ck_assert_int_eq(error.code, -ENODATA);
}
END_TEST

/* A section that says it is larger than anything that is unpacked. */
START_TEST(a_bomb)
{
	struct dwarf_index index;
	struct error error = {0};
	struct dwarf_file *file;
	struct dwarf_bounds bounds = {1, UINT64_MAX};
	char path[256];

	build("bomb", "gcc", "-g -O2 -gz=zlib", path);
	file = file_of(path, &error);
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_gt(file->sections[DWARF_INFO].packed_size, 0);
	file->sections[DWARF_INFO].size = DWARF_UNPACKED_MAX + 1;
	ck_assert_int_eq(dwarf_index_init(&index, file, &bounds, MEMORY, &error), -E2BIG);
	ck_assert_msg(strstr(error.text, ".debug_info"), "%s", error.text);
}
END_TEST

/* Each byte of the debug sections changed, some at a time: any answer, no harm. */
START_TEST(damage)
{
	static const struct dwarf_bounds everywhere = {1, UINT64_MAX};
	uint32_t state = (uint32_t)_i + 1;
	struct dwarf_frame frames[64];
	char path[256];
	uint8_t *bytes;
	size_t size;

	build("damaged", "gcc", "-g -O2", path);
	bytes = workshop_read(path, &size);
	for (unsigned round = 0; round < 300; round++) {
		struct dwarf_file *file = malloc(sizeof(*file));
		uint8_t *copy = malloc(size);
		struct dwarf_index index;
		struct error error = {0};

		ck_assert(file && copy);
		memcpy(copy, bytes, size);
		ck_assert_int_eq(dwarf_file_init_memory(file, copy, size, DWARF_WHOLE, &error), 0);
		for (unsigned id = 0; id < DWARF_SECTION_COUNT; id++) {
			for (unsigned i = 0; i < 4 && file->sections[id].size; i++) {
				state = state * 1664525 + 1013904223;
				file->sections[id].bytes[(state >> 8) % file->sections[id].size] =
					(uint8_t)(state >> 4);
			}
		}
		if (dwarf_index_init(&index, file, &everywhere, MEMORY, &error) == 0) {
			for (uint64_t address = 0x1000; address < 0x1300; address += 7)
				dwarf_index_find(&index, address, frames, 64);
			dwarf_index_deinit(&index);
		}
		free(copy);
	}
	free(bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dwarf_index");
	TCase *tcase = tcase_create("dwarf_index");
	bool gcc = workshop_has_compiler(), dwz = !system("dwz --version >/dev/null 2>&1");
	bool clang = !system("clang --version >/dev/null 2>&1");
	int r;

	workshop_open(&shop);
	tcase_set_timeout(tcase, 60);
	for (int i = 0; i < BUILDS; i++) {
		if (builds[i].compiler[0] == 'g' ? gcc : clang) {
			tcase_add_loop_test(tcase, each_way_to_write_it, i, i + 1);
			tcase_add_loop_test(tcase, in_rounds, i, i + 1);
		} else {
			workshop_skip(builds[i].name, "its compiler is not there");
		}
	}
	workshop_add(tcase, gcc, "no gcc", between_and_outside);
	if (gcc)
		tcase_add_loop_test(tcase, relative_folders, 0, 2);
	workshop_add(tcase, gcc, "no gcc", rounds_keep_nothing_at_first);
	workshop_add(tcase, gcc, "no gcc", with_no_memory_to_keep_anything);
	workshop_add(tcase, gcc && dwz, "no dwz", a_file_that_dwz_made_smaller);
	workshop_add(tcase, gcc, "no gcc", a_file_that_becomes_shorter);
	workshop_add(tcase, gcc, "no gcc", a_file_without_any);
	workshop_add(tcase, gcc, "no gcc", a_bomb);
	if (gcc)
		tcase_add_loop_test(tcase, damage, 0, 4);
	suite_add_tcase(suite, tcase);
	r = suite_main(suite);
	workshop_close(&shop);
	return r;
}
