/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap/object.h"

#define PAGE 4096u
#define VERSION_HIDDEN 0x8000u

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* glibc writes addresses into the dynamic section, musl does not. */
static uintptr_t dynamic_address(const struct heap_object *object, uintptr_t value)
{
	return value < object->base ? value + object->base : value;
}

static void read_dynamic(struct heap_object *object, const Elf64_Dyn *entry)
{
	for (; entry->d_tag != DT_NULL; entry++) {
		uintptr_t at = dynamic_address(object, entry->d_un.d_ptr);

		switch (entry->d_tag) {
		case DT_SYMTAB:
			object->symbols = (const Elf64_Sym *)at;
			break;
		case DT_STRTAB:
			object->strings = (const char *)at;
			break;
		case DT_HASH:
			object->hash = (const uint32_t *)at;
			break;
		case DT_GNU_HASH:
			object->gnu_hash = (const uint32_t *)at;
			break;
		case DT_VERSYM:
			object->versions = (const Elf64_Half *)at;
			break;
		case DT_RELA:
			object->relocations = (const Elf64_Rela *)at;
			break;
		case DT_RELASZ:
			object->relocation_count = entry->d_un.d_val / sizeof(Elf64_Rela);
			break;
		case DT_RELACOUNT:
			object->relative_count = entry->d_un.d_val;
			break;
		case DT_JMPREL:
			object->jumps = (const Elf64_Rela *)at;
			break;
		case DT_PLTRELSZ:
			object->jump_count = entry->d_un.d_val / sizeof(Elf64_Rela);
			break;
		default:
			break;
		}
	}
}

bool heap_object_read(const struct dl_phdr_info *info, struct heap_object *ret)
{
	struct heap_object object = {.base = info->dlpi_addr,
				     .segments = info->dlpi_phdr,
				     .segment_count = info->dlpi_phnum};
	const Elf64_Dyn *dynamic = NULL;

	for (uint16_t i = 0; i < info->dlpi_phnum; i++) {
		const Elf64_Phdr *segment = &info->dlpi_phdr[i];
		uintptr_t at = object.base + segment->p_vaddr;

		if (segment->p_type == PT_DYNAMIC) {
			dynamic = (const Elf64_Dyn *)at;
		} else if (segment->p_type == PT_GNU_RELRO) {
			object.locked = at & -(uintptr_t)PAGE;
			object.locked_end = (at + segment->p_memsz) & -(uintptr_t)PAGE;
		}
	}
	if (!dynamic)
		return false;
	read_dynamic(&object, dynamic);
	if (!object.symbols || !object.strings)
		return false;
	if (object.relative_count > object.relocation_count)
		object.relative_count = 0;
	*ret = object;
	return true;
}

static bool defines(const struct heap_object *object, uint32_t index, const char *name)
{
	const Elf64_Sym *symbol = &object->symbols[index];
	unsigned int type = ELF64_ST_TYPE(symbol->st_info);

	return symbol->st_shndx != SHN_UNDEF && symbol->st_value &&
	       ELF64_ST_BIND(symbol->st_info) != STB_LOCAL &&
	       (type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE) &&
	       equal(object->strings + symbol->st_name, name);
}

static bool hidden(const struct heap_object *object, uint32_t index)
{
	return object->versions && (object->versions[index] & VERSION_HIDDEN);
}

struct heap_name heap_name_of(const char *text)
{
	struct heap_name name = {text, 5381};

	for (const char *c = text; *c; c++)
		name.hash = name.hash * 33 + (uint8_t)*c;
	return name;
}

/* The symbol's number, 0: none. One of an old version only where there is no other. */
static uint32_t find_gnu(const struct heap_object *object, struct heap_name name)
{
	const uint32_t *head = object->gnu_hash; /* buckets, first symbol, bloom words, shift */
	const uint32_t *buckets = head + 4 + head[2] * 2, *chains = buckets + head[0];
	uint32_t hash = name.hash, index, old = 0;
	uint64_t word;

	if (!head[0] || !head[2])
		return 0;
	/* The filter says that most names are not there. */
	word = ((const uint64_t *)(head + 4))[hash / 64 % head[2]];
	if (!(word >> hash % 64 & word >> (hash >> head[3]) % 64 & 1))
		return 0;
	index = buckets[hash % head[0]];
	for (; index >= head[1] && index; index++) {
		uint32_t link = chains[index - head[1]];

		if ((link | 1) == (hash | 1) && defines(object, index, name.text)) {
			if (!hidden(object, index))
				return index;
			old = index;
		}
		if (link & 1)
			break;
	}
	return old;
}

static uint32_t find_plain(const struct heap_object *object, const char *name)
{
	uint32_t count = object->hash[1], old = 0; /* of chains, so of symbols */

	for (uint32_t index = 1; index < count; index++) {
		if (!defines(object, index, name))
			continue;
		if (!hidden(object, index))
			return index;
		old = index;
	}
	return old;
}

void *heap_object_function(const struct heap_object *object, struct heap_name name)
{
	const Elf64_Sym *symbol;
	uint32_t index = 0;
	uintptr_t address;

	if (object->gnu_hash)
		index = find_gnu(object, name);
	else if (object->hash)
		index = find_plain(object, name.text);
	if (!index)
		return NULL;
	symbol = &object->symbols[index];
	address = object->base + symbol->st_value;
	if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC)
		return ((void *(*)(void))address)();
	return (void *)address;
}

bool heap_object_has_address(const struct heap_object *object, uintptr_t address)
{
	for (uint16_t i = 0; i < object->segment_count; i++) {
		const Elf64_Phdr *segment = &object->segments[i];
		uintptr_t at = object->base + segment->p_vaddr;

		if (segment->p_type == PT_LOAD && address >= at && address - at < segment->p_memsz)
			return true;
	}
	return false;
}
