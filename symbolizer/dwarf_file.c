/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_file.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gelf.h>

#include "daemon/base/cleanup.h"

#define SECTIONS_MAX (1u << 20)

/* How much is read ahead: where reads jump about, less is more. */
static const struct {
	const char *name; /* behind ".debug_" */
	uint32_t ahead;
} kinds[] = {
	[DWARF_INFO] = {"info", 512},         [DWARF_ABBREV] = {"abbrev", 512},
	[DWARF_LINE] = {"line", 512},         [DWARF_STR] = {"str", 512},
	[DWARF_LINE_STR] = {"line_str", 512}, [DWARF_STR_OFFSETS] = {"str_offsets", 512},
	[DWARF_ADDR] = {"addr", 512},         [DWARF_RANGES] = {"ranges", 512},
	[DWARF_RNGLISTS] = {"rnglists", 512}, [DWARF_ARANGES] = {"aranges", 512},
	[DWARF_CU_INDEX] = {"cu_index", 512},
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == DWARF_SECTION_COUNT, "a row for each section");

const char *dwarf_section_name(enum dwarf_section_id id)
{
	return kinds[id].name;
}

void dwarf_file_blame(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
		      const char *what)
{
	struct dwarf_file *told = file->program ? file->program : file;

	/* What could not be unpacked has been told. */
	if (!file->sections[id].bad)
		damage_note(&told->damage, "%ssection .debug_%s, offset 0x%" PRIx64 ": %s",
			    told == file ? "" : "a split unit's file, ", kinds[id].name, at, what);
}

/* Indices of packages have the plain name, though all else in there is split. */
static bool is_of(enum dwarf_flavour flavour, unsigned id, bool suffixed)
{
	return id == DWARF_CU_INDEX ? flavour == DWARF_SPLIT : suffixed == (flavour == DWARF_SPLIT);
}

/* DWARF_SECTION_COUNT for a name that is none of ours. */
static enum dwarf_section_id identify(const char *name, enum dwarf_flavour flavour, bool *ret_gnu)
{
	static const char plain[] = ".debug_", gnu[] = ".zdebug_";
	bool suffixed = false;
	size_t length;

	*ret_gnu = !strncmp(name, gnu, strlen(gnu));
	if (!*ret_gnu && strncmp(name, plain, strlen(plain)) != 0)
		return DWARF_SECTION_COUNT;
	name += *ret_gnu ? strlen(gnu) : strlen(plain);
	length = strlen(name);
	if (length > 4 && !strcmp(name + length - 4, ".dwo")) {
		suffixed = true;
		length -= 4;
	}
	for (unsigned id = 0; id < DWARF_SECTION_COUNT; id++) {
		if (strlen(kinds[id].name) == length && !memcmp(kinds[id].name, name, length))
			return is_of(flavour, id, suffixed) ? (enum dwarf_section_id)id
							    : DWARF_SECTION_COUNT;
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
	uint8_t header[DWARF_PACKED_HEADER_MAX] = {0};
	bool wide = class == ELFCLASS64;
	uint32_t size = dwarf_packed_header_size(gnu, wide);

	if (section->size <= size)
		return false;
	if (memory)
		memcpy(header, memory + section->offset, size);
	else if (!read_at(file, header, size, section->offset))
		return false;
	if (!dwarf_packed_read(&section->packed, header, gnu, wide))
		return false;
	section->packed_size = section->size - size;
	section->offset += size;
	section->size = section->packed.size;
	return true;
}

static void add_section(struct dwarf_file *file, Elf *elf, const GElf_Shdr *header,
			const char *name, enum dwarf_flavour flavour, const uint8_t *memory,
			uint64_t file_size)
{
	struct dwarf_section section = {.offset = header->sh_offset, .size = header->sh_size};
	bool gnu = false;
	enum dwarf_section_id id = identify(name, flavour, &gnu);

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

static int scan(struct dwarf_file *file, Elf *elf, enum dwarf_flavour flavour,
		const uint8_t *memory, uint64_t size, struct error *error)
{
	size_t count = 0, names = 0, ident_size = 0;
	const char *ident = elf ? elf_getident(elf, &ident_size) : NULL;
	Elf_Scn *scn = NULL;

	if (!elf || elf_kind(elf) != ELF_K_ELF || elf_getshdrnum(elf, &count) ||
	    elf_getshdrstrndx(elf, &names))
		return error_set(error, -ENOEXEC, "not an ELF file with sections");
	if (!ident || ident_size < EI_NIDENT || ident[EI_DATA] != ELFDATA2LSB)
		return error_set(error, -ENOEXEC, "a big-endian ELF file");
	for (size_t i = 0; i < SECTIONS_MAX && (scn = elf_nextscn(elf, scn)); i++) {
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(scn, &header))
			continue;
		name = elf_strptr(elf, names, header.sh_name);
		if (name)
			add_section(file, elf, &header, name, flavour, memory, size);
	}
	if (flavour == DWARF_SHARED && file->sections[DWARF_STR].size)
		return 0;
	if (!file->sections[DWARF_INFO].size || !file->sections[DWARF_ABBREV].size)
		return error_set(error, -ENODATA, "no .debug_info%s in it",
				 flavour == DWARF_SPLIT ? ".dwo" : "");
	return 0;
}

int dwarf_file_init(struct dwarf_file *ret, int fd, enum dwarf_flavour flavour, struct error *error)
{
	struct dwarf_file file = {.fd = fd};
	off_t size = lseek(fd, 0, SEEK_END);
	Elf *elf;
	int r;

	if (size <= 0 || elf_version(EV_CURRENT) == EV_NONE)
		return error_set(error, -ENOEXEC, "not an ELF file");
	elf = elf_begin(fd, ELF_C_READ, NULL);
	r = scan(&file, elf, flavour, NULL, (uint64_t)size, error);
	if (elf)
		elf_end(elf);
	if (!r)
		*ret = file;
	return r;
}

int dwarf_file_init_memory(struct dwarf_file *ret, void *bytes, size_t size,
			   enum dwarf_flavour flavour, struct error *error)
{
	struct dwarf_file file = {.fd = -1};
	Elf *elf;
	int r;

	if (!size || elf_version(EV_CURRENT) == EV_NONE)
		return error_set(error, -ENOEXEC, "not an ELF file");
	elf = elf_memory(bytes, size);
	r = scan(&file, elf, flavour, bytes, size, error);
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
		dwarf_pages_deinit(&section->pages);
		*section = (struct dwarf_section){0};
	}
}

/* The data of a compressed section: in memory already, or read to be freed. */
static const uint8_t *packed_bytes(struct dwarf_file *file, const struct dwarf_section *section,
				   uint8_t **ret_owned)
{
	if (file->fd < 0)
		return section->window;
	*ret_owned = malloc(section->packed_size);
	if (!*ret_owned || !read_at(file, *ret_owned, section->packed_size, section->offset))
		return NULL;
	return *ret_owned;
}

static int unpack_now(struct dwarf_file *file, enum dwarf_section_id id, struct error *error)
{
	struct dwarf_section *section = &file->sections[id];
	_cleanup_free_ uint8_t *packed = NULL, *bytes = NULL;
	const uint8_t *from;
	char name[32];
	int r;

	snprintf(name, sizeof(name), ".debug_%s", kinds[id].name);
	if (section->size > DWARF_UNPACKED_MAX - file->unpacked ||
	    section->packed_size > DWARF_UNPACKED_MAX)
		return error_set(error, -E2BIG,
				 "section %s: %" PRIu64 " bytes unpacked: with the others more "
				 "than %llu MiB",
				 name, section->size, DWARF_UNPACKED_MAX >> 20);
	from = packed_bytes(file, section, &packed);
	bytes = from ? malloc(section->size) : NULL;
	if (!bytes)
		return error_set(error, from ? -ENOMEM : -EIO, "section %s: %s", name,
				 from ? "out of memory" : "it cannot be read");
	r = dwarf_packed_unpack(&section->packed, name, from, section->packed_size, bytes, error);
	if (r < 0)
		return r;
	section->bytes = TAKE_PTR(bytes);
	section->owned = true;
	file->unpacked += section->size;
	return 0;
}

/* Once: what fails, fails for good. */
static bool unpack(struct dwarf_file *file, enum dwarf_section_id id)
{
	struct dwarf_section *section = &file->sections[id];
	struct error error = {0};

	if (section->bytes || section->bad)
		return !section->bad;
	if (unpack_now(file, id, &error) < 0) {
		section->bad = true;
		if (!file->why.code)
			file->why = error;
		damage_note(&file->damage, "%s", error.text);
		return false;
	}
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

void dwarf_file_lend(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
		     const uint8_t *bytes, uint64_t size)
{
	struct dwarf_section *section = &file->sections[id];

	section->lent = bytes;
	section->lent_at = at;
	section->lent_size = bytes ? size : 0;
}

/* What is in memory already, or within one page; NULL: neither. */
static const uint8_t *peek_near(struct dwarf_file *file, struct dwarf_section *section, uint64_t at,
				uint32_t want, uint32_t *ret_size)
{
	uint64_t place = section->offset + at;

	if (at - section->lent_at < section->lent_size &&
	    want <= section->lent_size - (at - section->lent_at)) {
		uint64_t left = section->lent_size - (at - section->lent_at);

		*ret_size = left < DWARF_WINDOW_MAX ? (uint32_t)left : DWARF_WINDOW_MAX;
		return section->lent + (at - section->lent_at);
	}
	if (want > DWARF_PAGE_SIZE - place % DWARF_PAGE_SIZE)
		return NULL;
	return dwarf_pages_get(&section->pages, file->fd, section->offset,
			       section->offset + section->size, place, ret_size);
}

const uint8_t *dwarf_file_peek(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
			       uint32_t want, uint32_t *ret_size)
{
	struct dwarf_section *section = &file->sections[id];
	const uint8_t *near;
	uint64_t left, size;

	if (at >= section->size || want > section->size - at || want > DWARF_WINDOW_MAX)
		return NULL;
	left = section->size - at;
	if (section->packed_size && !unpack(file, id))
		return NULL;
	if (section->bytes) {
		*ret_size = left < DWARF_WINDOW_MAX ? (uint32_t)left : DWARF_WINDOW_MAX;
		return section->bytes + at;
	}
	near = peek_near(file, section, at, want, ret_size);
	if (near)
		return near;
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
	if (section->packed_size && !unpack(file, id))
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

static int keep_section(struct dwarf_file *file, enum dwarf_section_id id)
{
	struct dwarf_section *section = &file->sections[id];

	if (section->bytes || !section->size)
		return 0;
	if (section->packed_size)
		return unpack(file, id) ? 0 : file->why.code;
	section->bytes = malloc(section->size);
	if (!section->bytes)
		return -ENOMEM;
	section->owned = true;
	return read_at(file, section->bytes, section->size, section->offset) ? 0 : -EIO;
}

int dwarf_file_keep(struct dwarf_file *file, uint64_t max, struct error *error)
{
	uint64_t sum = 0;
	int r = 0;

	for (unsigned id = 0; id < DWARF_SECTION_COUNT; id++) {
		sum += file->sections[id].size;
		if (sum > max || file->sections[id].size > max)
			return error_set(error, -E2BIG, "more than %" PRIu64 " bytes of it", max);
	}
	for (unsigned id = 0; id < DWARF_SECTION_COUNT && !r; id++) {
		r = keep_section(file, (enum dwarf_section_id)id);
		if (r == -ENOMEM || r == -EIO)
			error_set(error, r, "section .debug_%s: %s", kinds[id].name,
				  r == -EIO ? "it cannot be read" : "out of memory");
		else if (r < 0)
			*error = file->why;
	}
	for (unsigned id = 0; id < DWARF_SECTION_COUNT && file->fd >= 0; id++) {
		free(file->sections[id].window);
		file->sections[id].window = NULL;
		file->sections[id].window_size = 0;
	}
	file->fd = r ? file->fd : -1;
	return r;
}

void dwarf_file_trim(struct dwarf_file *file)
{
	for (unsigned id = 0; id < DWARF_SECTION_COUNT; id++) {
		struct dwarf_section *section = &file->sections[id];

		dwarf_pages_deinit(&section->pages);
		if (file->fd < 0) /* bytes of the file */
			continue;
		free(section->window);
		section->window = NULL;
		section->window_size = 0;
	}
}

size_t dwarf_file_remembered(const struct dwarf_file *file)
{
	size_t bytes = 0;

	for (unsigned id = 0; id < DWARF_SECTION_COUNT; id++) {
		bytes += dwarf_pages_memory(&file->sections[id].pages);
		if (file->fd >= 0 && file->sections[id].window)
			bytes += DWARF_WINDOW_MAX;
	}
	return bytes;
}

size_t dwarf_file_memory(const struct dwarf_file *file)
{
	size_t bytes = dwarf_file_remembered(file);

	for (unsigned id = 0; id < DWARF_SECTION_COUNT; id++) {
		if (file->sections[id].owned)
			bytes += file->sections[id].size;
	}
	return bytes;
}
