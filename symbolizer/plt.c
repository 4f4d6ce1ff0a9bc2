/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/plt.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STUB_SIZE 16
#define JUMP_SIZE 6 /* ff 25, and 32 bits relative to the next instruction */

struct slot { /* of the global offset table, with a relocation */
	uint64_t address;
	const char *name; /* or NULL */
	uint64_t resolver;
};

typedef VEC(struct slot) slots;

struct search {
	const struct elf_image *image;
	slots slots; /* by address */
	plt_fn *add;
	void *context;
	uint32_t stubs;
};

static bool slot_of(const struct elf_image *image, const GElf_Rela *rela, Elf_Data *symbols,
		    uint32_t strings, struct slot *ret)
{
	uint64_t type = GELF_R_TYPE(rela->r_info);
	GElf_Sym symbol;

	*ret = (struct slot){.address = rela->r_offset};
	if (type == R_X86_64_IRELATIVE) {
		ret->resolver = (uint64_t)rela->r_addend;
		return true;
	}
	if ((type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) || !symbols ||
	    GELF_R_SYM(rela->r_info) > INT32_MAX ||
	    !gelf_getsym(symbols, (int)GELF_R_SYM(rela->r_info), &symbol))
		return false;
	ret->name = elf_strptr(image->elf, strings, symbol.st_name);
	return ret->name && ret->name[0];
}

static int add_slots(struct search *search, Elf_Scn *scn, const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(scn, NULL), *symbols = NULL;
	size_t entry = gelf_fsize(search->image->elf, ELF_T_RELA, 1, EV_CURRENT);
	Elf_Scn *symbols_scn = elf_getscn(search->image->elf, header->sh_link);
	GElf_Shdr symbols_header = {0};

	if (!data || !data->d_buf || !entry)
		return 0;
	if (header->sh_link && symbols_scn && gelf_getshdr(symbols_scn, &symbols_header) &&
	    symbols_header.sh_type == SHT_DYNSYM)
		symbols = elf_getdata(symbols_scn, NULL);
	for (size_t i = 0; i < data->d_size / entry && i < INT32_MAX; i++) {
		GElf_Rela rela;
		struct slot slot;

		if (search->slots.count >= PLT_STUBS_MAX)
			break;
		if (!gelf_getrela(data, (int)i, &rela) ||
		    !slot_of(search->image, &rela, symbols, symbols_header.sh_link, &slot))
			continue;
		if (vec_push(&search->slots, slot) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int by_address(const void *left, const void *right)
{
	const struct slot *a = left, *b = right;

	return (a->address > b->address) - (a->address < b->address);
}

/* Where in the stub's bytes the jump begins; -1: it is no such stub. */
static int find_jump(const uint8_t *bytes, size_t size)
{
	static const uint8_t prefixes[][5] = {
		{0}, {0xf2}, {0xf3, 0x0f, 0x1e, 0xfa}, {0xf3, 0x0f, 0x1e, 0xfa, 0xf2}};
	static const uint8_t lengths[] = {0, 1, 4, 5}; /* of none, bnd, endbr64, both */

	for (size_t i = 0; i < sizeof(lengths); i++) {
		if (size >= lengths[i] + (size_t)JUMP_SIZE &&
		    !memcmp(bytes, prefixes[i], lengths[i]) && bytes[lengths[i]] == 0xff &&
		    bytes[lengths[i] + 1] == 0x25)
			return lengths[i];
	}
	return -1;
}

static int add_stub(struct search *search, const uint8_t *bytes, uint64_t address, uint32_t size)
{
	int jump = find_jump(bytes, size);
	struct slot key = {0}, *slot;
	struct plt_stub stub;
	uint32_t relative;

	if (jump < 0 || search->stubs >= PLT_STUBS_MAX || !search->slots.count)
		return 0;
	memcpy(&relative, bytes + jump + 2, sizeof(relative));
	key.address = address + (uint64_t)jump + JUMP_SIZE + (uint64_t)(int32_t)le32toh(relative);
	slot = bsearch(&key, search->slots.items, search->slots.count, sizeof(key), by_address);
	if (!slot)
		return 0;
	search->stubs++;
	stub = (struct plt_stub){
		.address = address, .size = size, .name = slot->name, .resolver = slot->resolver};
	return search->add(search->context, &stub);
}

static int scan(struct search *search, Elf_Scn *scn, const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	size_t step = header->sh_entsize == 8 ? 8 : STUB_SIZE;
	int r = 0;

	if (!data || !data->d_buf)
		return 0;
	for (size_t at = 0; at + JUMP_SIZE <= data->d_size && !r; at += step) {
		size_t left = data->d_size - at;

		r = add_stub(search, (const uint8_t *)data->d_buf + at, header->sh_addr + at,
			     (uint32_t)(left < step ? left : step));
	}
	return r;
}

typedef int section_fn(struct search *search, Elf_Scn *scn, const GElf_Shdr *header);

static int each_section(struct search *search, uint32_t type, const char *prefix, section_fn *fn)
{
	Elf *elf = search->image->elf;
	size_t strings = 0;
	Elf_Scn *scn = NULL;
	int r = 0;

	if (elf_getshdrstrndx(elf, &strings))
		return 0;
	while (!r && (scn = elf_nextscn(elf, scn))) {
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(scn, &header) || header.sh_type != type ||
		    !(header.sh_flags & SHF_ALLOC) || header.sh_size > search->image->file_size)
			continue;
		name = elf_strptr(elf, strings, header.sh_name);
		if (name && !strncmp(name, prefix, strlen(prefix)))
			r = fn(search, scn, &header);
	}
	return r;
}

static int seen(struct search *search, Elf_Scn *scn, const GElf_Shdr *header)
{
	(void)search;
	(void)scn;
	(void)header;
	return 1;
}

int plt_stubs(const struct elf_image *image, plt_fn *add, void *context)
{
	struct search search = {.image = image, .add = add, .context = context};
	int r;

	if (image->machine != EM_X86_64 || !image->elf)
		return 0;
	r = each_section(&search, SHT_RELA, ".rela.plt", add_slots);
	/* The others may be millions, and are wanted for this section alone. */
	if (!r && each_section(&search, SHT_PROGBITS, ".plt.got", seen) == 1)
		r = each_section(&search, SHT_RELA, ".rela.dyn", add_slots);
	if (search.slots.count)
		qsort(search.slots.items, search.slots.count, sizeof(*search.slots.items),
		      by_address);
	if (!r)
		r = each_section(&search, SHT_PROGBITS, ".plt", scan);
	vec_free(&search.slots);
	return r;
}
