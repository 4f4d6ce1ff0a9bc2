/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <check.h>
#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/elf_image.h"
#include "symbolizer/proc_maps.h"
#include "symbolizer/symtab.h"
#include "symbolizer/vdso.h"
#include "tests/unit/workshop.h"

static struct workshop shop;

static void open_image(struct elf_image *image, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct error error = {0};

	ck_assert_int_ge(fd, 0);
	ck_assert_msg(!elf_image_init(image, fd, &error), "%s: %s", path, error.text);
	/* libelf reads on from the descriptor; the test ends soon. */
}

static int refuse(void *bytes, size_t size, struct error *error)
{
	struct elf_image image;
	int r = elf_image_init_memory(&image, bytes, size, error);

	if (!r)
		elf_image_deinit(&image);
	return r;
}

/* The mapping of this program that holds an address. */
struct own_mapping {
	uint64_t address;
	struct proc_map map;
};

static int match(void *context, const struct proc_map *map)
{
	struct own_mapping *own = context;

	if (own->address < map->start || own->address >= map->end)
		return 0;
	own->map = *map;
	return 1;
}

static int first_base(struct dl_phdr_info *info, size_t size, void *context)
{
	(void)size;
	*(uint64_t *)context = info->dlpi_addr;
	return 1;
}

START_TEST(offsets_become_addresses)
{
	struct own_mapping own = {.address = (uint64_t)(uintptr_t)&first_base};
	uint64_t bias = 0, address = 0, offset, back = 0;
	struct elf_image image;
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	ck_assert_int_eq(proc_maps_parse(fd, match, &own, NULL), 1);
	close(fd);
	dl_iterate_phdr(first_base, &bias);
	offset = own.address - own.map.start + own.map.offset;
	open_image(&image, "/proc/self/exe");
	ck_assert(elf_image_address(&image, offset, &address));
	ck_assert_uint_eq(address, own.address - bias);
	ck_assert(elf_image_offset(&image, address, &back));
	ck_assert_uint_eq(back, offset);
	ck_assert_uint_gt(elf_image_code_end(&image, address), address);
	/* They outlive the file. */
	elf_image_close_file(&image);
	ck_assert(elf_image_address(&image, offset, &back));
	ck_assert_uint_eq(back, address);
	elf_image_deinit(&image);
}
END_TEST

START_TEST(segments_that_share_a_page)
{
	struct elf_segment segments[] = {
		{.offset = 0, .file_size = 0x1234, .address = 0x400000, .memory_size = 0x1234},
		{.offset = 0x1240,
		 .file_size = 0x2000,
		 .address = 0x601240,
		 .memory_size = 0x2000,
		 .executable = true},
		{.offset = 0x5000, .file_size = 0x10, .address = 0x800000, .memory_size = 0x9000},
		{.offset = 0x7000, .file_size = 0, .address = 0x900000, .memory_size = 0x1000},
	};
	struct elf_image image = {.segments = {.items = segments, .count = 4}};
	uint64_t address = 1;

	ck_assert(elf_image_address(&image, 0x1233, &address));
	ck_assert_uint_eq(address, 0x401233);
	ck_assert(elf_image_address(&image, 0x1240, &address));
	ck_assert_uint_eq(address, 0x601240);
	/* Between them: nobody's byte, on a page that the executable one maps. */
	ck_assert(elf_image_address(&image, 0x1238, &address));
	ck_assert_uint_eq(address, 0x601238);
	ck_assert(elf_image_address(&image, 0x5800, &address));
	ck_assert_uint_eq(address, 0x800800);
	ck_assert(!elf_image_address(&image, 0x6000, &address));
	ck_assert(!elf_image_address(&image, 0x7000, &address));
	ck_assert(!elf_image_address(&image, UINT64_MAX, &address));
	ck_assert(!elf_image_offset(&image, 0x800010, &address));
	ck_assert_uint_eq(elf_image_code_end(&image, 0x400000), 0);
	ck_assert_uint_eq(elf_image_code_end(&image, 0x601240), 0x603240);
}
END_TEST

START_TEST(build_id_with_and_without_sections)
{
	char path[256], bare[256];
	struct elf_image whole, cut;
	uint8_t *bytes;
	size_t size;
	ElfW(Ehdr) * header;

	workshop_build(&shop, "with_id", ".c", "int main(void) { return 0; }",
		       "-Wl,--build-id=0x0123456789abcdef", path);
	bytes = workshop_read(path, &size);
	header = (void *)bytes;
	header->e_shoff = 0;
	header->e_shnum = header->e_shstrndx = 0;
	workshop_path(&shop, "bare", bare);
	workshop_write(bare, bytes, size);
	open_image(&whole, path);
	open_image(&cut, bare);
	ck_assert_uint_eq(whole.build_id_size, 8);
	ck_assert_mem_eq(whole.build_id, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
	ck_assert_uint_eq(cut.build_id_size, 8);
	ck_assert_mem_eq(cut.build_id, whole.build_id, 8);
	ck_assert_uint_eq(cut.sections.count, 0);
	elf_image_deinit(&whole);
	elf_image_deinit(&cut);
	free(bytes);
}
END_TEST

START_TEST(no_build_id_is_none)
{
	struct elf_image image;
	char path[256];

	workshop_build(&shop, "no_id", ".c", "int main(void) { return 0; }", "-Wl,--build-id=none",
		       path);
	open_image(&image, path);
	ck_assert_uint_eq(image.build_id_size, 0);
	elf_image_deinit(&image);
}
END_TEST

START_TEST(what_is_refused_and_why)
{
	static const struct {
		size_t at;
		uint8_t byte;
		const char *word;
	} changes[] = {
		{EI_MAG1, 'X', "not an ELF"},
		{EI_CLASS, 9, "not an ELF"},
		{EI_DATA, ELFDATA2MSB, "big-endian"},
		{16, ET_REL, "type 1"},
		{16, ET_CORE, "type 4"},
		{18, EM_AARCH64, "machine"},
	};
	struct error error = {0};
	uint8_t *bytes;
	size_t size;

	bytes = workshop_read("/proc/self/exe", &size);
	ck_assert_int_eq(refuse(bytes, size, &error), 0);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		uint8_t was = bytes[changes[i].at];

		bytes[changes[i].at] = changes[i].byte;
		error.text[0] = '\0';
		ck_assert_int_eq(refuse(bytes, size, &error), -ENOEXEC);
		ck_assert_msg(strstr(error.text, changes[i].word), "%zu: %s", i, error.text);
		bytes[changes[i].at] = was;
	}
	free(bytes);
	ck_assert_int_eq(refuse((char[]){"#!/bin/sh\n"}, 10, &error), -ENOEXEC);
	ck_assert_int_eq(refuse((char[]){""}, 0, &error), -ENOEXEC);
}
END_TEST

START_TEST(a_folder_is_no_file)
{
	int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct error error = {0};
	struct elf_image image;

	ck_assert_int_eq(elf_image_init(&image, fd, &error), -ENOEXEC);
	ck_assert_msg(strstr(error.text, "regular"), "%s", error.text);
	close(fd);
}
END_TEST

/* Each prefix of a program gives an image or an error, and harms nobody. */
START_TEST(every_prefix_of_a_file)
{
	struct error error = {0};
	size_t size, good = 0;
	uint8_t *bytes;
	int fd = vdso_image_open();
	char path[64];

	ck_assert_int_ge(fd, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	bytes = workshop_read(path, &size);
	for (size_t n = 0; n <= size; n++) {
		/* Exactly so many bytes, so that a sanitizer sees one too far. */
		uint8_t *prefix = malloc(n + !n);
		struct elf_image image;
		struct symtab symtab;

		memcpy(prefix, bytes, n);
		if (!elf_image_init_memory(&image, prefix, n, &error)) {
			good++;
			if (!symtab_init(&symtab, &image, &error))
				symtab_deinit(&symtab);
			elf_image_deinit(&image);
		}
		free(prefix);
	}
	ck_assert_uint_gt(good, 0);
	ck_assert_uint_lt(good, size);
	free(bytes);
	close(fd);
}
END_TEST

/* Somebody truncates the file that is being read: an error, no SIGBUS. */
START_TEST(truncated_under_the_reader)
{
	struct error error = {0};
	struct elf_image image;
	struct symtab symtab;
	uint8_t *bytes;
	char path[256];
	size_t size;
	int fd;

	bytes = workshop_read("/proc/self/exe", &size);
	workshop_path(&shop, "live", path);
	workshop_write(path, bytes, size);
	free(bytes);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_msg(!elf_image_init(&image, fd, &error), "%s", error.text);
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	if (!symtab_init(&symtab, &image, &error)) {
		ck_assert_uint_eq(symtab.symbols, 0);
		symtab_deinit(&symtab);
	}
	elf_image_deinit(&image);
	close(fd);
}
END_TEST

/* A 32-bit program, by hand: one executable segment, one build id. */
START_TEST(a_32_bit_program)
{
	struct {
		Elf32_Ehdr header;
		Elf32_Phdr segments[2];
		Elf32_Nhdr note;
		char name[4];
		uint8_t id[4];
	} file = {
		.header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, EV_CURRENT},
			   .e_type = ET_EXEC,
			   .e_machine = EM_386,
			   .e_version = EV_CURRENT,
			   .e_phoff = sizeof(Elf32_Ehdr),
			   .e_ehsize = sizeof(Elf32_Ehdr),
			   .e_phentsize = sizeof(Elf32_Phdr),
			   .e_phnum = 2},
		.segments = {{.p_type = PT_LOAD,
			      .p_vaddr = 0x8048000,
			      .p_filesz = sizeof(file),
			      .p_memsz = sizeof(file),
			      .p_flags = PF_R | PF_X},
			     {.p_type = PT_NOTE,
			      .p_offset = sizeof(Elf32_Ehdr) + 2 * sizeof(Elf32_Phdr),
			      .p_filesz = sizeof(Elf32_Nhdr) + 8,
			      .p_align = 4}},
		.note = {.n_namesz = 4, .n_descsz = 4, .n_type = NT_GNU_BUILD_ID},
		.name = "GNU",
		.id = {1, 2, 3, 4},
	};
	struct error error = {0};
	struct elf_image image;
	uint64_t address = 0;

	ck_assert_msg(!elf_image_init_memory(&image, &file, sizeof(file), &error), "%s",
		      error.text);
	ck_assert_uint_eq(image.machine, EM_386);
	ck_assert_uint_eq(image.build_id_size, 4);
	ck_assert_mem_eq(image.build_id, file.id, 4);
	ck_assert(elf_image_address(&image, 0x20, &address));
	ck_assert_uint_eq(address, 0x8048020);
	elf_image_deinit(&image);
}
END_TEST

START_TEST(the_vdso)
{
	struct error error = {0};
	struct elf_image image;
	struct symtab symtab;
	int fd = vdso_image_open();
	bool found = false;

	ck_assert_int_ge(fd, 0);
	ck_assert_msg(!elf_image_init(&image, fd, &error), "%s", error.text);
	ck_assert_uint_gt(image.build_id_size, 0);
	ck_assert_msg(!symtab_init(&symtab, &image, &error), "%s", error.text);
	for (size_t i = 0; i < symtab.ranges.count; i++)
		found |= !strcmp(symtab.names.items + symtab.ranges.items[i].name,
				 "__vdso_clock_gettime");
	ck_assert(found);
	symtab_deinit(&symtab);
	elf_image_deinit(&image);
	/* Sealed: what was handed over stays what it is. */
	ck_assert_int_lt(ftruncate(fd, 0), 0);
	close(fd);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("elf_image");
	TCase *tcase = tcase_create("elf_image");
	bool compiler = workshop_has_compiler();
	SRunner *runner;
	int failed;

	workshop_open(&shop);
	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, offsets_become_addresses);
	tcase_add_test(tcase, segments_that_share_a_page);
	workshop_add(tcase, compiler, "no gcc", build_id_with_and_without_sections);
	workshop_add(tcase, compiler, "no gcc", no_build_id_is_none);
	tcase_add_test(tcase, what_is_refused_and_why);
	tcase_add_test(tcase, a_folder_is_no_file);
	tcase_add_test(tcase, every_prefix_of_a_file);
	tcase_add_test(tcase, truncated_under_the_reader);
	tcase_add_test(tcase, a_32_bit_program);
	tcase_add_test(tcase, the_vdso);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	workshop_close(&shop);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
