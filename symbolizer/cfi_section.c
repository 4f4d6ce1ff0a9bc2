/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/cfi_section.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/reader.h"
#include "daemon/base/vec.h"

#define LENGTH_64 0xffffffffu /* DWARF 5, section 7.4: a 64-bit length follows */
#define LENGTH_RESERVED 0xfffffff0u
/* A step is one CIE compared: some nanoseconds. */
#define CIE_SEARCH_STEPS_MAX (1ull << 29)

/* Encodings of pointers (LSB core specification, table 10-4 and 10-5). */
#define PE_PCREL_SDATA4 0x1b
#define EH_FRAME_HEADER_SIZE 8 /* as far as the pointer to .eh_frame */

void cfi_section_deinit(struct cfi_section *section)
{
	free(section->bytes);
	section->bytes = NULL;
}

static int fill(struct cfi_section *section, const Elf_Data *data, struct error *error)
{
	if (!data || !data->d_buf)
		return error_set(error, -EIO, "section %s cannot be read: %s", section->name,
				 elf_errmsg(-1));
	section->bytes = malloc(data->d_size + CFI_SECTION_SLACK);
	if (!section->bytes)
		return error_set(error, -ENOMEM, "out of memory for section %s of %zu bytes",
				 section->name, data->d_size);
	memcpy(section->bytes, data->d_buf, data->d_size);
	memset(section->bytes + data->d_size, 0, CFI_SECTION_SLACK);
	section->size = data->d_size;
	return 0;
}

static int check_size(const struct cfi_section *section, uint64_t size, struct error *error)
{
	if (size > CFI_SECTION_SIZE_MAX)
		return error_set(error, -E2BIG, "section %s has %llu bytes: more than %llu",
				 section->name, (unsigned long long)size, CFI_SECTION_SIZE_MAX);
	return 0;
}

/* The header says how large it will be, before any of it is unpacked. */
static int unpack(Elf_Scn *scn, const GElf_Shdr *header, const struct cfi_section *section,
		  struct error *error)
{
	bool gnu = !(header->sh_flags & SHF_COMPRESSED);
	uint64_t size = 0;
	GElf_Chdr packed;
	int r;

	if (gnu) { /* "ZLIB", and the size as a big-endian number */
		Elf_Data *data = elf_rawdata(scn, NULL);

		if (!data || !data->d_buf || data->d_size < 12)
			return error_set(error, -EINVAL, "section %s ends within its first bytes",
					 section->name);
		for (size_t i = 4; i < 12; i++)
			size = size << 8 | ((const uint8_t *)data->d_buf)[i];
	} else {
		if (!gelf_getchdr(scn, &packed))
			return error_set(error, -EINVAL, "section %s: its header is damaged: %s",
					 section->name, elf_errmsg(-1));
		size = packed.ch_size;
	}
	r = check_size(section, size, error);
	if (r < 0)
		return r;
	if ((gnu ? elf_compress_gnu(scn, 0, 0) : elf_compress(scn, 0, 0)) < 0)
		return error_set(error, -EINVAL, "section %s cannot be unpacked: %s", section->name,
				 elf_errmsg(-1));
	return 0;
}

static int read_found(const struct elf_image *image, Elf_Scn *scn, const GElf_Shdr *header,
		      bool packed, struct error *error, struct cfi_section *section)
{
	int r;

	if (header->sh_offset > image->file_size ||
	    header->sh_size > image->file_size - header->sh_offset)
		return error_set(error, -EINVAL,
				 "section %s at file offset 0x%llx: its %llu bytes reach past the "
				 "end of the file",
				 section->name, (unsigned long long)header->sh_offset,
				 (unsigned long long)header->sh_size);
	r = check_size(section, header->sh_size, error);
	if (!r && packed)
		r = unpack(scn, header, section, error);
	if (r < 0)
		return r;
	section->address = (header->sh_flags & SHF_ALLOC) ? header->sh_addr : 0;
	return fill(section, packed ? elf_getdata(scn, NULL) : elf_rawdata(scn, NULL), error);
}

/* -ENOENT if there is none of the name. */
static int read_by_name(const struct elf_image *image, struct error *error,
			struct cfi_section *section)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(image->elf, &names))
		return -ENOENT;
	while ((scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header;
		const char *name;
		bool gnu;

		if (!gelf_getshdr(scn, &header) || header.sh_type == SHT_NOBITS || !header.sh_size)
			continue;
		name = elf_strptr(image->elf, names, header.sh_name);
		gnu = name && section->kind == CFI_DEBUG_FRAME && !strcmp(name, ".zdebug_frame");
		if (gnu || (name && !strcmp(name, section->name)))
			return read_found(image, scn, &header,
					  gnu || (header.sh_flags & SHF_COMPRESSED), error,
					  section);
	}
	return -ENOENT;
}

/* Where .eh_frame_hdr says that .eh_frame begins; false if it does not say. */
static bool eh_frame_address(const struct elf_image *image, uint64_t *ret)
{
	size_t count = 0;

	if (elf_getphdrnum(image->elf, &count))
		return false;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;
		struct reader reader;
		Elf_Data *data;

		if (!gelf_getphdr(image->elf, (int)i, &header) ||
		    header.p_type != PT_GNU_EH_FRAME || header.p_filesz < EH_FRAME_HEADER_SIZE)
			continue;
		data = elf_getdata_rawchunk(image->elf, (int64_t)header.p_offset,
					    EH_FRAME_HEADER_SIZE, ELF_T_BYTE);
		if (!data || !data->d_buf)
			return false;
		reader_init(&reader, data->d_buf, data->d_size);
		if (reader_u8(&reader) != 1 || reader_u8(&reader) != PE_PCREL_SDATA4)
			return false;
		reader_u16(&reader); /* how the rest is encoded */
		*ret = header.p_vaddr + 4 + (uint64_t)(int64_t)(int32_t)reader_u32(&reader);
		return reader_ok(&reader);
	}
	return false;
}

/* Its size is nowhere: all of the segment up to the terminator. */
static int read_by_header(const struct elf_image *image, struct error *error,
			  struct cfi_section *section)
{
	uint64_t offset, end = 0;
	int r;

	if (section->kind != CFI_EH_FRAME || !eh_frame_address(image, &section->address) ||
	    !elf_image_offset(image, section->address, &offset))
		return -ENOENT;
	for (size_t i = 0; i < image->segments.count; i++) {
		const struct elf_segment *segment = &image->segments.items[i];

		if (offset >= segment->offset && offset - segment->offset < segment->file_size)
			end = segment->offset + segment->file_size;
	}
	if (end > image->file_size || offset >= end)
		return error_set(error, -EINVAL, "section %s reaches past the end of the file",
				 section->name);
	r = check_size(section, end - offset, error);
	if (r < 0)
		return r;
	return fill(section,
		    elf_getdata_rawchunk(image->elf, (int64_t)offset, end - offset, ELF_T_BYTE),
		    error);
}

int cfi_section_read(const struct elf_image *image, enum cfi_section_kind kind, struct error *error,
		     struct cfi_section *ret)
{
	struct cfi_section section = {
		.kind = kind,
		.name = kind == CFI_EH_FRAME ? ".eh_frame" : ".debug_frame",
	};
	int r = read_by_name(image, error, &section);

	if (r == -ENOENT)
		r = read_by_header(image, error, &section);
	if (r < 0)
		return r;
	*ret = section;
	return 0;
}

struct walk {
	struct cfi_section *section;
	struct reader reader;
	VEC(uint64_t) cies; /* where they begin, rising */
	VEC(uint64_t) asked; /* CIEs that FDEs want, neighbours that agree once */
};

struct entry {
	uint64_t at, end;
	uint64_t id_at, id;
	bool wide; /* the 64-bit form */
};

static bool fail_at(struct walk *walk, uint64_t at, const char *what)
{
	if (reader_ok(&walk->reader))
		walk->reader.at = at;
	reader_fail(&walk->reader, what);
	return false;
}

/* False at the section's end, at the terminator, or when the reader failed. */
static bool read_entry(struct walk *walk, struct entry *ret)
{
	struct reader *reader = &walk->reader;
	uint64_t length;

	ret->at = reader->at;
	if (reader_left(reader) < 4) /* what is left is no entry but alignment */
		return false;
	length = reader_u32(reader);
	ret->wide = length == LENGTH_64;
	if (ret->wide)
		length = reader_u64(reader);
	else if (length >= LENGTH_RESERVED)
		return fail_at(walk, ret->at, "a length that is reserved");
	if (!length)
		return false;
	if (length > reader_left(reader))
		return fail_at(walk, ret->at, "an entry that reaches past the section's end");
	ret->id_at = reader->at;
	ret->end = reader->at + length;
	if (length < (ret->wide ? 8 : 4))
		return fail_at(walk, ret->at, "an entry too short to say what it is");
	ret->id = ret->wide ? reader_u64(reader) : reader_u32(reader);
	return true;
}

static bool is_cie(const struct walk *walk, const struct entry *entry)
{
	if (walk->section->kind == CFI_EH_FRAME)
		return !entry->id;
	return entry->id == (entry->wide ? UINT64_MAX : UINT32_MAX);
}

static int check_cie(struct walk *walk, const struct entry *entry)
{
	struct reader *reader = &walk->reader;
	uint8_t version = reader_u8(reader);
	const char *text;

	if (version != 1 && version != 3 && version != 4)
		fail_at(walk, entry->at, "a CIE of an unknown version");
	text = reader_ok(reader) && reader->at < entry->end
		       ? (const char *)reader->data + reader->at
		       : NULL;
	if (!text || !memchr(text, 0, entry->end - reader->at))
		fail_at(walk, entry->at, "a CIE without the end of its augmentation");
	return vec_push(&walk->cies, entry->at);
}

static int note_cie_of(struct walk *walk, const struct entry *entry)
{
	uint64_t cie =
		walk->section->kind == CFI_EH_FRAME
			? entry->id_at - (entry->wide ? entry->id : (uint64_t)(int32_t)entry->id)
			: entry->id;

	if (cie >= walk->section->size) {
		fail_at(walk, entry->at, "an FDE whose CIE is outside the section");
		return 0;
	}
	if (walk->asked.count && walk->asked.items[walk->asked.count - 1] == cie)
		return 0;
	return vec_push(&walk->asked, cie);
}

static int walk_entries(struct walk *walk)
{
	struct cfi_section *section = walk->section;
	struct entry entry = {0};
	int r = 0;

	while (!r && read_entry(walk, &entry)) {
		if (is_cie(walk, &entry)) {
			section->cies++;
			r = check_cie(walk, &entry);
		} else {
			section->fdes++;
			r = note_cie_of(walk, &entry);
		}
		if (!r && reader_ok(&walk->reader))
			walk->reader.at = entry.end;
		if (section->cies + section->fdes > CFI_ENTRIES_MAX)
			r = -E2BIG;
	}
	if (reader_ok(&walk->reader))
		section->size = entry.at;
	return r;
}

/* That all CIEs wanted are there; how long it takes to find them in a list that
 * begins with the first one, and to see of each that it is new. */
static int find_cies(struct walk *walk, uint64_t *ret_missing)
{
	uint64_t steps = (uint64_t)walk->cies.count * walk->cies.count / 2;

	for (size_t i = 0; i < walk->asked.count; i++) {
		size_t first = 0, last = walk->cies.count;

		while (first < last) {
			size_t middle = first + (last - first) / 2;

			if (walk->cies.items[middle] < walk->asked.items[i])
				first = middle + 1;
			else
				last = middle;
		}
		if (first == walk->cies.count || walk->cies.items[first] != walk->asked.items[i]) {
			*ret_missing = walk->asked.items[i];
			return -EINVAL;
		}
		steps += first;
	}
	return steps > CIE_SEARCH_STEPS_MAX ? -E2BIG : 0;
}

int cfi_section_check(struct cfi_section *section, struct error *error)
{
	struct walk walk = {.section = section};
	uint64_t missing = 0;
	int r;

	reader_init(&walk.reader, section->bytes, section->size);
	r = walk_entries(&walk);
	if (!r && !reader_ok(&walk.reader)) {
		r = error_set(error, -EINVAL, "section %s, offset 0x%zx: %s", section->name,
			      walk.reader.bad_at, walk.reader.bad);
	} else if (!r) {
		r = find_cies(&walk, &missing);
		if (r == -EINVAL)
			error_set(error, r,
				  "section %s, offset 0x%llx: an FDE says its CIE is here, but "
				  "none begins here",
				  section->name, (unsigned long long)missing);
	}
	if (r == -ENOMEM || r == -E2BIG)
		error_set(error, r, "section %s, offset 0x%zx: %s after %u CIEs and %u FDEs",
			  section->name, walk.reader.at,
			  r == -ENOMEM ? "out of memory" : "more than can be read", section->cies,
			  section->fdes);
	vec_free(&walk.cies);
	vec_free(&walk.asked);
	return r;
}
