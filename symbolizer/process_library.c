/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/process_library.h"

#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define LIBRARY_GAP_MAX 0x400000u /* between a file's offsets and its addresses */
#define SEGMENTS_MAX 32u
#define DYNAMIC_MAX 256u
#define VERSION_HIDDEN 0x8000u
#define SYMBOLS_MAX 8192u /* looked at for one name; libjvm.so has some 500 */

/* The ELF header is in the mapping before the code's, or further down where a linker
 * has put gaps between the segments. */
static int find_header(struct process_memory *memory, uint64_t code, uint64_t offset,
		       Elf64_Ehdr *ret, uint64_t *ret_at)
{
	uint64_t at = code - offset;
	bool readable = false;

	for (uint64_t gap = 0; gap <= LIBRARY_GAP_MAX && gap < at; gap += PROCESS_PAGE) {
		if (!process_memory_read(memory, at - gap, ret, sizeof(*ret)))
			continue;
		readable = true;
		if (memcmp(ret->e_ident, ELFMAG, SELFMAG))
			continue;
		if (ret->e_ident[EI_CLASS] != ELFCLASS64 || ret->e_machine != EM_X86_64 ||
		    ret->e_phentsize != sizeof(Elf64_Phdr))
			return -ENOEXEC;
		*ret_at = at - gap;
		return 0;
	}
	return readable ? -ENOEXEC : -EIO; /* the process may have ended */
}

/* glibc writes process addresses into the dynamic section, musl does not. */
static uint64_t dynamic_address(const struct process_library *library, uint64_t value)
{
	return value < library->bias ? value + library->bias : value;
}

static int read_dynamic(struct process_memory *memory, struct process_library *library, uint64_t at)
{
	for (uint32_t i = 0; i < DYNAMIC_MAX; i++) {
		Elf64_Dyn entry;

		if (!process_memory_read(memory, at + i * sizeof(entry), &entry, sizeof(entry)))
			return -EIO;
		if (entry.d_tag == DT_NULL)
			break;
		if (entry.d_tag == DT_SYMTAB)
			library->symbols = dynamic_address(library, entry.d_un.d_ptr);
		else if (entry.d_tag == DT_STRTAB)
			library->strings = dynamic_address(library, entry.d_un.d_ptr);
		else if (entry.d_tag == DT_GNU_HASH)
			library->gnu_hash = dynamic_address(library, entry.d_un.d_ptr);
		else if (entry.d_tag == DT_VERSYM)
			library->versions = dynamic_address(library, entry.d_un.d_ptr);
		else if (entry.d_tag == DT_HASH)
			library->hash = dynamic_address(library, entry.d_un.d_ptr);
	}
	if (!library->symbols || !library->strings || (!library->hash && !library->gnu_hash))
		return -ENOEXEC;
	return 0;
}

int process_library_find(struct process_memory *memory, uint64_t code, uint64_t offset,
			 struct process_library *ret)
{
	struct process_library library = {0};
	uint64_t header_at, dynamic = 0;
	bool placed = false;
	Elf64_Ehdr header;
	int r = find_header(memory, code, offset, &header, &header_at);

	for (uint32_t i = 0; !r && i < header.e_phnum && i < SEGMENTS_MAX; i++) {
		Elf64_Phdr segment;

		if (!process_memory_read(memory, header_at + header.e_phoff + i * sizeof(segment),
					 &segment, sizeof(segment)))
			return -EIO;
		if (segment.p_type == PT_LOAD && !segment.p_offset) {
			library.bias = header_at - segment.p_vaddr;
			placed = true;
		}
		if (segment.p_type == PT_DYNAMIC)
			dynamic = segment.p_vaddr;
	}
	if (!r && (!placed || !dynamic))
		r = -ENOEXEC;
	if (!r)
		r = read_dynamic(memory, &library, library.bias + dynamic);
	if (!r)
		*ret = library;
	return r;
}

/* The hash of the GNU extension to the ELF symbol table. */
static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	for (const char *c = name; *c; c++)
		hash = hash * 33 + (uint8_t)*c;
	return hash;
}

/* Of an older version, for programs that were linked long ago. */
static bool is_hidden(struct process_memory *memory, const struct process_library *library,
		      uint32_t index)
{
	uint16_t version = 0;

	return library->versions &&
	       process_memory_read(memory, library->versions + index * sizeof(version), &version,
				   sizeof(version)) &&
	       (version & VERSION_HIDDEN);
}

static bool symbol_named(struct process_memory *memory, const struct process_library *library,
			 uint32_t index, const char *name, Elf64_Sym *ret)
{
	return process_memory_read(memory, library->symbols + index * sizeof(*ret), ret,
				   sizeof(*ret)) &&
	       !is_hidden(memory, library, index) &&
	       process_memory_is(memory, library->strings + ret->st_name, name);
}

static int find_symbol(struct process_memory *memory, const struct process_library *library,
		       const char *name, Elf64_Sym *ret)
{
	uint32_t head[4], hash = gnu_hash(name), index, link; /* buckets, first, bloom words */
	uint64_t buckets, chains;

	if (!process_memory_read(memory, library->gnu_hash, head, sizeof(head)) || !head[0])
		return -ENOEXEC;
	buckets = library->gnu_hash + sizeof(head) + head[2] * 8ULL;
	chains = buckets + head[0] * 4ULL;
	if (!process_memory_read(memory, buckets + (hash % head[0]) * 4ULL, &index, sizeof(index)))
		return -EIO;
	for (uint32_t i = 0; i < SYMBOLS_MAX && index >= head[1]; i++, index++) {
		if (!process_memory_read(memory, chains + (index - head[1]) * 4ULL, &link,
					 sizeof(link)))
			return -EIO;
		if ((link | 1) == (hash | 1) && symbol_named(memory, library, index, name, ret))
			return 0;
		if (link & 1)
			break;
	}
	return -ENOEXEC;
}

/* Older builds have the hash table of System V only: it tells how many symbols there
 * are, which is enough. */
static int look_through(struct process_memory *memory, const struct process_library *library,
			const char *name, Elf64_Sym *ret)
{
	uint32_t head[2]; /* buckets, symbols */

	if (!process_memory_read(memory, library->hash, head, sizeof(head)))
		return -EIO;
	for (uint32_t i = 0; i < head[1] && i < SYMBOLS_MAX; i++)
		if (symbol_named(memory, library, i, name, ret))
			return 0;
	return -ENOEXEC;
}

static int find_any(struct process_memory *memory, const struct process_library *library,
		    const char *name, Elf64_Sym *ret)
{
	return library->gnu_hash ? find_symbol(memory, library, name, ret)
				 : look_through(memory, library, name, ret);
}

int process_library_u64(struct process_memory *memory, const struct process_library *library,
			const char *name, uint64_t *ret)
{
	Elf64_Sym symbol;
	int r = find_any(memory, library, name, &symbol);

	if (!r && !process_memory_read(memory, library->bias + symbol.st_value, ret, 8))
		r = -EIO;
	return r;
}

int process_library_function(struct process_memory *memory, const struct process_library *library,
			     const char *name, uint64_t *ret_address, uint64_t *ret_size)
{
	Elf64_Sym symbol;
	int r = find_any(memory, library, name, &symbol);

	if (r)
		return r;
	if (symbol.st_shndx == SHN_UNDEF || !symbol.st_value ||
	    ELF64_ST_TYPE(symbol.st_info) != STT_FUNC)
		return -ENOEXEC;
	*ret_address = library->bias + symbol.st_value;
	*ret_size = symbol.st_size;
	return 0;
}
