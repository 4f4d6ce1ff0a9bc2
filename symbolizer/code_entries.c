/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/code_entries.h"

#include <string.h>

#define STUB_ALIGNMENT 8u
/* The program's entry clears rbp within so many instructions (endbr64 may be first). */
#define ENTRY_LOOK 4

static void mark_address(const struct elf_image *image, const code_ranges_vec *ranges,
			 uint64_t address, enum code_mark mark)
{
	uint32_t place;
	struct code_range *range = code_ranges_find(image, ranges, address, &place);

	if (range)
		range->marks[place] |= (uint16_t)mark;
}

/* --- symbols --------------------------------------------------------------------- */

static void mark_symbols(const struct elf_image *image, const code_ranges_vec *ranges)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(image->elf, scn))) {
		Elf_Data *data;
		GElf_Shdr header;
		GElf_Sym symbol;

		if (!gelf_getshdr(scn, &header) || header.sh_size > image->file_size ||
		    (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM))
			continue;
		data = elf_getdata(scn, NULL);
		for (int i = 1; data && i < (int)CODE_SYMBOLS_MAX && gelf_getsym(data, i, &symbol);
		     i++) {
			int type = GELF_ST_TYPE(symbol.st_info);

			if ((type == STT_FUNC || type == STT_GNU_IFUNC) &&
			    symbol.st_shndx != SHN_UNDEF)
				mark_address(image, ranges, symbol.st_value, CODE_ENTRY);
		}
	}
}

/* --- the code itself --------------------------------------------------------------- */

/* From the first byte to the last, one instruction after another: data among them
 * puts this off its way for a few instructions only. */
static void mark_called(const struct elf_image *image, const code_ranges_vec *ranges,
			const struct code_range *range)
{
	struct code_insn insn;

	for (uint32_t place = 0; place < range->size; place += insn.length) {
		uint64_t address = range->address + place;

		if (!code_insn_decode(range->bytes + place, range->size - place, address, &insn)) {
			insn.length = 1;
			continue;
		}
		if (insn.flow == CODE_CALL && insn.direct && insn.target != address + insn.length)
			mark_address(image, ranges, insn.target, CODE_ENTRY);
		if (insn.flow == CODE_BRANCH || insn.flow == CODE_JUMP)
			mark_address(image, ranges, insn.target, CODE_TARGET);
		if (insn.points && (!insn.absolute || image->type == ET_EXEC))
			mark_address(image, ranges, insn.target, CODE_TAKEN);
	}
}

/* Each begins with endbr64 or a jump through its slot (with or without the prefix
 * of MPX). The first one of a .plt is not called but jumped to by the others, with
 * a word more on the stack, as is the second half of a stub. */
static void mark_stubs(struct code_range *range)
{
	static const struct {
		uint8_t bytes[4];
		uint8_t size;
		uint8_t push; /* where the second half begins; 0: it has none */
	} stubs[] = {
		{{0xff, 0x25}, 2, 6}, {{0xf2, 0xff, 0x25}, 3, 7}, {{0xf3, 0x0f, 0x1e, 0xfa}, 4, 0}};

	for (uint32_t place = 0; place + STUB_ALIGNMENT <= range->size; place += STUB_ALIGNMENT) {
		for (size_t i = 0; i < sizeof(stubs) / sizeof(*stubs); i++) {
			if (memcmp(range->bytes + place, stubs[i].bytes, stubs[i].size) != 0)
				continue;
			range->marks[place] |= CODE_ENTRY;
			if (stubs[i].push && range->bytes[place + stubs[i].push] == 0x68)
				range->marks[place + stubs[i].push] |= CODE_ENTRY;
		}
	}
}

/* A shared library may have an entry that is called like any other function. What a
 * process begins with clears rbp (AMD64 supplement, 3.4.1), or, in the loader, hands
 * on where the arguments lie, as they are. */
static bool begins_process(const struct code_range *range, uint32_t place)
{
	struct code_insn insn;

	for (int i = 0; i < ENTRY_LOOK && place < range->size; i++, place += insn.length) {
		if (!code_insn_decode(range->bytes + place, range->size - place, 0, &insn))
			return false;
		if (insn.op == CODE_ZERO && insn.reg == CODE_RBP)
			return true;
		if (insn.op == CODE_MOVE && insn.reg == CODE_RDI && insn.source == CODE_RSP)
			return true;
		if (insn.flow != CODE_NEXT)
			return false;
	}
	return false;
}

static void mark_program_entry(const struct elf_image *image, const code_ranges_vec *ranges)
{
	struct code_range *range;
	GElf_Ehdr header;
	uint32_t place;

	if (!gelf_getehdr(image->elf, &header))
		return;
	range = code_ranges_find(image, ranges, header.e_entry, &place);
	if (!range)
		return;
	range->marks[place] |= CODE_ENTRY;
	if (image->type == ET_EXEC || begins_process(range, place))
		range->marks[place] |= CODE_OUTERMOST;
}

void code_entries_mark(const struct elf_image *image, const code_ranges_vec *ranges)
{
	mark_symbols(image, ranges);
	mark_program_entry(image, ranges);
	for (size_t i = 0; i < ranges->count; i++) {
		mark_called(image, ranges, &ranges->items[i]);
		if (ranges->items[i].stubs)
			mark_stubs(&ranges->items[i]);
	}
}
