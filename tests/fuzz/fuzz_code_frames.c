/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as the code of a program that says nothing of its frames: rows with
 * rising offsets inside the code, and a table that holds together, within the
 * limits of steps and states. The first byte says whether they lie in a section of
 * linker's stubs, whether there are section headers at all, and where the program
 * begins in them.
 */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "symbolizer/cfi.h"
#include "symbolizer/code_frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STUBS 1u
#define NO_SECTIONS 2u
#define ENTRY(flags) (((flags) >> 2) * 4u)

static const char names[] = "\0.plt\0.text\0.shstrtab";

struct image {
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	Elf64_Shdr sections[3];
	char names[sizeof(names)];
};

static uint8_t *make_file(uint8_t flags, const uint8_t *code, size_t size, size_t *ret_size)
{
	size_t total = sizeof(struct image) + size;
	uint8_t *file = calloc(1, total);
	struct image *image = (void *)file;

	if (!file)
		abort();
	image->header = (Elf64_Ehdr){
		.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			    EV_CURRENT},
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = sizeof(struct image) + ENTRY(flags),
		.e_phoff = offsetof(struct image, segment),
		.e_shoff = flags & NO_SECTIONS ? 0 : offsetof(struct image, sections),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
		.e_shentsize = sizeof(Elf64_Shdr),
		.e_shnum = flags & NO_SECTIONS ? 0 : 3,
		.e_shstrndx = flags & NO_SECTIONS ? 0 : 2,
	};
	image->segment = (Elf64_Phdr){
		.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_filesz = total, .p_memsz = total};
	image->sections[1] = (Elf64_Shdr){.sh_name = flags & STUBS ? 1 : 6,
					  .sh_type = SHT_PROGBITS,
					  .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
					  .sh_addr = sizeof(struct image),
					  .sh_offset = sizeof(struct image),
					  .sh_size = size};
	image->sections[2] = (Elf64_Shdr){.sh_name = 12,
					  .sh_type = SHT_STRTAB,
					  .sh_offset = offsetof(struct image, names),
					  .sh_size = sizeof(names)};
	memcpy(image->names, names, sizeof(names));
	memcpy(file + sizeof(struct image), code, size);
	*ret_size = total;
	return file;
}

struct rows {
	uint64_t last, end;
};

static int check_row(void *context, uint64_t offset, const struct unwind_rule *rule,
		     const struct code_state *state)
{
	struct rows *rows = context;

	if (offset < rows->last || offset > rows->end || rule->cfa >= UNWIND_CFA_COUNT)
		abort();
	if (state && state->slot_count > CODE_SLOTS_MAX)
		abort();
	rows->last = offset;
	return 0;
}

static void check_rows(const struct elf_image *image, uint64_t total)
{
	struct code_gap gap = {.start = 0, .end = total};
	code_gaps_vec gaps = {.items = &gap, .count = 1, .capacity = 1};
	struct rows rows = {.end = total};
	struct code_frames frames = {
		.image = image, .gaps = &gaps, .row = check_row, .context = &rows};
	struct error error = {0};

	if (code_frames_run(&frames, &error) < 0 || frames.stats.known > frames.stats.bytes)
		abort();
}

/* What the builder makes, the decoder takes. */
static void check_table(struct unwind_table *table)
{
	struct unwind_table again;
	struct strbuf bytes = {0};

	if (unwind_table_encode(table, &bytes) ||
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

	if (size < 2)
		return 0;
	file = make_file(data[0], data + 1, size - 1, &total);
	if (elf_image_init_memory(&image, file, total, &error))
		abort();
	check_rows(&image, total);
	r = cfi_build(&image, &error, NULL, &table);
	if (!r)
		check_table(&table);
	else if (r != -ENODATA)
		abort();
	elf_image_deinit(&image);
	free(file);
	return 0;
}
