/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_file.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gelf.h>
#include <zlib.h>

#include "daemon/base/cleanup.h"

#define SECTIONS_MAX (1u << 20)
#define GNU_HEADER_SIZE 12u /* "ZLIB", then the size, big-endian */
#define GNU_PACKING 0x80u /* .zdebug_*: no ch_type of ELF's */

/* How much is read ahead: where reads jump about, less is more. */
static const struct {
	const char *name; /* behind ".debug_" */
	uint32_t ahead;
} kinds[] = {
	[DWARF_INFO] = {"info", 512},           [DWARF_ABBREV] = {"abbrev", 4096},
	[DWARF_LINE] = {"line", 512},           [DWARF_STR] = {"str", 512},
	[DWARF_LINE_STR] = {"line_str", 4096},  [DWARF_STR_OFFSETS] = {"str_offsets", 512},
	[DWARF_ADDR] = {"addr", 16384},         [DWARF_RANGES] = {"ranges", 16384},
	[DWARF_RNGLISTS] = {"rnglists", 16384},
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == DWARF_SECTION_COUNT, "a row for each section");

const char *dwarf_section_name(enum dwarf_section_id id)
{
	return kinds[id].name;
}

/* DWARF_SECTION_COUNT for a name that is none of ours. */
static enum dwarf_section_id identify(const char *name, bool *ret_gnu)
{
	static const char plain[] = ".debug_", gnu[] = ".zdebug_";
	size_t length;

	*ret_gnu = !strncmp(name, gnu, strlen(gnu));
	if (!*ret_gnu && strncmp(name, plain, strlen(plain)) != 0)
		return DWARF_SECTION_COUNT;
	name += *ret_gnu ? strlen(gnu) : strlen(plain);
	length = strlen(name);
	if (length > 4 && !strcmp(name + length - 4, ".dwo"))
		length -= 4;
	for (unsigned id = 0; id < DWARF_SECTION_COUNT; id++) {
		if (strlen(kinds[id].name) == length && !memcmp(kinds[id].name, name, length))
			return (enum dwarf_section_id)id;
	}
	return DWARF_SECTION_COUNT;
}

static bool read_at(const struct dwarf_file *file, void *bytes, size_t size, uint64_t at)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = pread(file->fd, (char *)bytes + done, size - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

/* The header of a compressed section tells the size of what is in it. */
static bool read_packing(struct dwarf_file *file, struct dwarf_section *section, int class,
			 const uint8_t *memory, bool gnu)
{
	uint8_t header[sizeof(Elf64_Chdr)] = {0};
	size_t header_size = gnu                   ? GNU_HEADER_SIZE
			     : class == ELFCLASS64 ? sizeof(Elf64_Chdr)
						   : sizeof(Elf32_Chdr);
	uint64_t unpacked = 0;
	uint32_t word;

	if (section->size <= header_size)
		return false;
	if (memory)
		memcpy(header, memory + section->offset, header_size);
	else if (!read_at(file, header, header_size, section->offset))
		return false;
	memcpy(&word, header, sizeof(word));
	if (gnu) {
		if (memcmp(header, "ZLIB", 4) != 0)
			return false;
		memcpy(&unpacked, header + 4, sizeof(unpacked));
		unpacked = be64toh(unpacked);
		section->packing = GNU_PACKING;
	} else {
		memcpy(&unpacked, header + (class == ELFCLASS64 ? 8 : 4),
		       class == ELFCLASS64 ? 8 : 4);
		unpacked = le64toh(unpacked);
		section->packing = le32toh(word) < GNU_PACKING ? (uint8_t)le32toh(word) : 0;
	}
	section->packed_size = section->size - header_size;
	section->offset += header_size;
	section->size = unpacked;
	return unpacked > 0;
}

static void add_section(struct dwarf_file *file, Elf *elf, const GElf_Shdr *header,
			const char *name, const uint8_t *memory, uint64_t file_size)
{
	struct dwarf_section section = {.offset = header->sh_offset, .size = header->sh_size};
	bool gnu = false;
	enum dwarf_section_id id = identify(name, &gnu);

	if (id == DWARF_SECTION_COUNT || header->sh_type == SHT_NOBITS || !header->sh_size ||
	    file->sections[id].size || header->sh_offset > file_size ||
	    header->sh_size > file_size - header->sh_offset)
		return;
	if (gnu || header->sh_flags & SHF_COMPRESSED) {
		if (!read_packing(file, &section, gelf_getclass(elf), memory, gnu))
			return;
	}
	if (memory && !section.packed_size)
		section.bytes = (uint8_t *)(uintptr_t)memory + section.offset;
	else if (memory) /* where unpack() finds it */
		section.window = (uint8_t *)(uintptr_t)memory + section.offset;
	file->sections[id] = section;
}

static int scan(struct dwarf_file *file, Elf *elf, const uint8_t *memory, uint64_t size,
		struct error *error)
{
	size_t count = 0, names = 0;
	Elf_Scn *scn = NULL;

	if (!elf || elf_kind(elf) != ELF_K_ELF || elf_getshdrnum(elf, &count) ||
	    elf_getshdrstrndx(elf, &names))
		return error_set(error, -ENOEXEC, "not an ELF file with sections");
	for (size_t i = 0; i < SECTIONS_MAX && (scn = elf_nextscn(elf, scn)); i++) {
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(scn, &header))
			continue;
		name = elf_strptr(elf, names, header.sh_name);
		if (name)
			add_section(file, elf, &header, name, memory, size);
	}
	if (!file->sections[DWARF_INFO].size || !file->sections[DWARF_ABBREV].size)
		return error_set(error, -ENODATA, "no .debug_info in it");
	return 0;
}

int dwarf_file_init(struct dwarf_file *ret, int fd, struct error *error)
{
	struct dwarf_file file = {.fd = fd};
	off_t size = lseek(fd, 0, SEEK_END);
	Elf *elf;
	int r;

	if (size <= 0 || elf_version(EV_CURRENT) == EV_NONE)
		return error_set(error, -ENOEXEC, "not an ELF file");
	elf = elf_begin(fd, ELF_C_READ, NULL);
	r = scan(&file, elf, NULL, (uint64_t)size, error);
	if (elf)
		elf_end(elf);
	if (!r)
		*ret = file;
	return r;
}

int dwarf_file_init_memory(struct dwarf_file *ret, void *bytes, size_t size, struct error *error)
{
	struct dwarf_file file = {.fd = -1};
	Elf *elf;
	int r;

	if (!size || elf_version(EV_CURRENT) == EV_NONE)
		return error_set(error, -ENOEXEC, "not an ELF file");
	elf = elf_memory(bytes, size);
	r = scan(&file, elf, bytes, size, error);
	if (elf)
		elf_end(elf);
	if (!r)
		*ret = file;
	return r;
}

void dwarf_file_deinit(struct dwarf_file *file)
{
	for (unsigned id = 0; id < DWARF_SECTION_COUNT; id++) {
		struct dwarf_section *section = &file->sections[id];

		if (section->owned)
			free(section->bytes);
		if (file->fd >= 0)
			free(section->window);
		*section = (struct dwarf_section){0};
	}
}

static bool inflate_all(const uint8_t *from, size_t from_size, uint8_t *to, size_t to_size)
{
	uLongf done = to_size;

	return uncompress(to, &done, from, from_size) == Z_OK && done == to_size;
}

/* Once: what fails, fails for good. */
static bool unpack(struct dwarf_file *file, struct dwarf_section *section)
{
	_cleanup_free_ uint8_t *packed = NULL;
	const uint8_t *from = file->fd < 0 ? section->window : NULL;
	uint8_t *bytes;

	if (section->bytes || section->bad)
		return !section->bad;
	section->bad = true;
	if (section->size > DWARF_UNPACKED_MAX || section->packed_size > DWARF_UNPACKED_MAX ||
	    (section->packing != GNU_PACKING && section->packing != ELFCOMPRESS_ZLIB))
		return false;
	if (!from) {
		packed = malloc(section->packed_size);
		if (!packed || !read_at(file, packed, section->packed_size, section->offset))
			return false;
		from = packed;
	}
	bytes = malloc(section->size);
	if (!bytes || !inflate_all(from, section->packed_size, bytes, section->size)) {
		free(bytes);
		return false;
	}
	section->bytes = bytes;
	section->owned = true;
	section->bad = false;
	return true;
}

static bool fill_window(struct dwarf_file *file, struct dwarf_section *section, uint64_t at,
			uint32_t size)
{
	if (!section->window)
		section->window = malloc(DWARF_WINDOW_MAX);
	if (!section->window)
		return false;
	section->window_size = 0;
	if (!read_at(file, section->window, size, section->offset + at))
		return false;
	section->window_at = at;
	section->window_size = size;
	return true;
}

const uint8_t *dwarf_file_peek(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
			       uint32_t want, uint32_t *ret_size)
{
	struct dwarf_section *section = &file->sections[id];
	uint64_t left, size;

	if (at >= section->size || want > section->size - at || want > DWARF_WINDOW_MAX)
		return NULL;
	left = section->size - at;
	if (section->packed_size && !unpack(file, section))
		return NULL;
	if (section->bytes) {
		*ret_size = left < DWARF_WINDOW_MAX ? (uint32_t)left : DWARF_WINDOW_MAX;
		return section->bytes + at;
	}
	if (at < section->window_at || at - section->window_at > section->window_size ||
	    section->window_size - (at - section->window_at) < want || !section->window_size) {
		size = want > kinds[id].ahead ? want : kinds[id].ahead;
		if (size > left)
			size = left;
		if (!fill_window(file, section, at, (uint32_t)size))
			return NULL;
	}
	*ret_size = section->window_size - (uint32_t)(at - section->window_at);
	return section->window + (at - section->window_at);
}

const uint8_t *dwarf_file_read(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
			       uint64_t size, uint8_t **buffer, size_t *capacity)
{
	struct dwarf_section *section = &file->sections[id];

	if (at > section->size || size > section->size - at || !size)
		return NULL;
	if (section->packed_size && !unpack(file, section))
		return NULL;
	if (section->bytes)
		return section->bytes + at;
	if (*capacity < size) {
		uint8_t *bytes = realloc(*buffer, size);

		if (!bytes)
			return NULL;
		*buffer = bytes;
		*capacity = size;
	}
	return read_at(file, *buffer, size, section->offset + at) ? *buffer : NULL;
}

const char *dwarf_file_string(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
			      size_t *ret_length)
{
	uint32_t size = 0, want = 1;
	const uint8_t *bytes = dwarf_file_peek(file, id, at, want, &size);
	const uint8_t *nul = bytes ? memchr(bytes, 0, size) : NULL;

	if (bytes && !nul && size < DWARF_STRING_MAX) {
		uint64_t left = file->sections[id].size - at;

		want = left < DWARF_STRING_MAX ? (uint32_t)left : DWARF_STRING_MAX;
		bytes = dwarf_file_peek(file, id, at, want, &size);
		nul = bytes ? memchr(bytes, 0, size) : NULL;
	}
	if (!bytes)
		return NULL;
	*ret_length = nul ? (size_t)(nul - bytes) : size;
	if (*ret_length > DWARF_STRING_MAX)
		*ret_length = DWARF_STRING_MAX;
	return (const char *)bytes;
}

size_t dwarf_file_memory(const struct dwarf_file *file)
{
	size_t bytes = 0;

	for (unsigned id = 0; id < DWARF_SECTION_COUNT; id++) {
		const struct dwarf_section *section = &file->sections[id];

		if (section->owned)
			bytes += section->size;
		if (file->fd >= 0 && section->window)
			bytes += DWARF_WINDOW_MAX;
	}
	return bytes;
}
