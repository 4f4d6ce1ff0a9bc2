/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as call frame information of a program whose code is all of its
 * file: an error with section and offset, or a table that holds together. The
 * first byte says which section the rest is, the second one at which address.
 *
 * libdwarf is fuzzed along, without instrumentation: what it does wrong to memory
 * shows only where the allocator notices.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/cfi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libdwarf (20210528) drops one error of 40 bytes when it finds a second one in a damaged
 * section (dwarf_object.h). Leaks of our code have other frames. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libdwarf.so\n";
}

#define CODE 0x20000u /* bytes in front of the section: addresses that FDEs can name */
static const char names[] = "\0.eh_frame\0.debug_frame\0.shstrtab";

struct image {
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	Elf64_Shdr sections[3];
	char names[sizeof(names)];
};

static uint8_t *make_file(const uint8_t *data, size_t size, size_t *ret_size)
{
	size_t total = CODE + size - 2;
	uint8_t *file = calloc(1, total);
	struct image *image = (void *)file;

	if (!file)
		abort();
	image->header = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_DYN,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = offsetof(struct image, segment),
		.e_shoff = offsetof(struct image, sections),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = 3,
		.e_shstrndx = 2,
	};
	image->segment = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = total, .p_memsz = total};
	image->sections[1] = (Elf64_Shdr){
		.sh_name = (data[0] & 1) ? 11 : 1,
		.sh_type = SHT_PROGBITS,
		.sh_flags = (data[0] & 1) ? 0 : SHF_ALLOC,
		.sh_addr = data[1] * 0x100u,
		.sh_offset = CODE,
		.sh_size = size - 2,
	};
	image->sections[2] = (Elf64_Shdr){.sh_name = 24,
					  .sh_type = SHT_STRTAB,
					  .sh_offset = offsetof(struct image, names),
					  .sh_size = sizeof(names)};
	memcpy(image->names, names, sizeof(names));
	memcpy(file + CODE, data + 2, size - 2);
	*ret_size = total;
	return file;
}

/* What the builder makes, the decoder takes. */
static void check(struct unwind_table *table)
{
	struct unwind_table again;
	struct strbuf bytes = {0};

	if (!table->row_count || unwind_table_encode(table, &bytes) ||
	    unwind_table_decode(bytes.data, bytes.length, NULL, &again))
		abort();
	strbuf_deinit(&bytes);
	unwind_table_deinit(&again);
	unwind_table_deinit(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct unwind_table table;
	struct elf_image image;
	struct error error = {0};
	size_t total;
	uint8_t *file;
	int r;

	if (size < 3)
		return 0;
	file = make_file(data, size, &total);
	if (elf_image_init_memory(&image, file, total, &error))
		abort();
	r = cfi_build(&image, &error, NULL, &table);
	if (!r)
		check(&table);
	else if (r != -ENODATA && !strstr(error.text, "section ."))
		abort();
	elf_image_deinit(&image);
	free(file);
	return 0;
}
