/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_supplement.h"

#include <errno.h>
#include <string.h>

#include "symbolizer/dwarf_cursor.h"

#define SECTION_MAX 65536u
#define NOTES_SIZE_MAX (1u << 20)

static const char link_section[] = ".gnu_debugaltlink", sup_section[] = ".debug_sup";

/* Version, whether this is the file itself, its path, its checksum. */
static void parse_sup(struct dwarf_cursor *cursor, bool itself, struct dwarf_supplement *ret)
{
	uint16_t version = cursor_u16(cursor);
	bool is_it = cursor_u8(cursor) != 0;
	const char *path = cursor_text(cursor);
	uint64_t size = cursor_uleb(cursor);

	if (cursor->bad || version != 5 || is_it != itself || (!itself && !path[0]) ||
	    strlen(path) > DWARF_SUPPLEMENT_PATH_MAX || !size || size > DWARF_SUPPLEMENT_ID_MAX ||
	    size > cursor_left(cursor))
		return;
	memcpy(ret->path, path, strlen(path));
	memcpy(ret->id, cursor->at, size);
	ret->id_size = (uint8_t)size;
	ret->is_checksum = true;
}

static void parse_link(struct dwarf_cursor *cursor, struct dwarf_supplement *ret)
{
	const char *path = cursor_text(cursor);
	size_t size = cursor_left(cursor);

	if (cursor->bad || !path[0] || strlen(path) > DWARF_SUPPLEMENT_PATH_MAX || !size ||
	    size > DWARF_SUPPLEMENT_ID_MAX)
		return;
	memcpy(ret->path, path, strlen(path));
	memcpy(ret->id, cursor->at, size);
	ret->id_size = (uint8_t)size;
}

void dwarf_supplement_parse(const void *bytes, size_t size, bool standard,
			    struct dwarf_supplement *ret)
{
	struct dwarf_cursor cursor = cursor_of(bytes, size);

	*ret = (struct dwarf_supplement){0};
	if (standard)
		parse_sup(&cursor, false, ret);
	else
		parse_link(&cursor, ret);
}

/* The bytes of a section, or NULL. */
static Elf_Data *section_of(Elf *elf, const char *wanted)
{
	Elf_Scn *scn = NULL;
	size_t names = 0;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr header;
		const char *name;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &header) || header.sh_type == SHT_NOBITS ||
		    header.sh_size > SECTION_MAX)
			continue;
		name = elf_strptr(elf, names, header.sh_name);
		if (!name || strcmp(name, wanted) != 0)
			continue;
		data = elf_rawdata(scn, NULL);
		return data && data->d_buf ? data : NULL;
	}
	return NULL;
}

void dwarf_supplement_read(const struct elf_image *image, struct dwarf_supplement *ret)
{
	Elf_Data *data = section_of(image->elf, link_section);

	*ret = (struct dwarf_supplement){0};
	if (data)
		dwarf_supplement_parse(data->d_buf, data->d_size, false, ret);
	if (ret->id_size)
		return;
	data = section_of(image->elf, sup_section);
	if (data)
		dwarf_supplement_parse(data->d_buf, data->d_size, true, ret);
}

static bool has_id(const struct dwarf_supplement *supplement, const void *id, size_t size)
{
	return size == supplement->id_size && !memcmp(id, supplement->id, size);
}

static bool has_note(const struct dwarf_supplement *supplement, Elf_Data *data)
{
	size_t at = 0, name, descriptor;
	GElf_Nhdr note;

	if (!data || !data->d_buf || data->d_size > NOTES_SIZE_MAX)
		return false;
	while ((at = gelf_getnote(data, at, &note, &name, &descriptor)) > 0) {
		const uint8_t *bytes = data->d_buf;

		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
		    !memcmp(bytes + name, "GNU", 4) &&
		    has_id(supplement, bytes + descriptor, note.n_descsz))
			return true;
	}
	return false;
}

/* It has no segments: its notes are found by their sections. */
static bool is_meant(const struct dwarf_supplement *supplement, Elf *elf)
{
	struct dwarf_supplement itself = {0};
	Elf_Scn *scn = NULL;
	Elf_Data *data;

	if (supplement->is_checksum) {
		struct dwarf_cursor cursor;

		data = section_of(elf, sup_section);
		cursor = cursor_of(data ? data->d_buf : NULL, data ? data->d_size : 0);
		parse_sup(&cursor, true, &itself);
		return itself.id_size && has_id(supplement, itself.id, itself.id_size);
	}
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr header;

		if (gelf_getshdr(scn, &header) && header.sh_type == SHT_NOTE &&
		    header.sh_size <= NOTES_SIZE_MAX &&
		    has_note(supplement, elf_getdata(scn, NULL)))
			return true;
	}
	return false;
}

int dwarf_supplement_check(const struct dwarf_supplement *supplement, int fd, struct error *error)
{
	Elf *elf = elf_version(EV_CURRENT) != EV_NONE ? elf_begin(fd, ELF_C_READ, NULL) : NULL;
	bool good = elf && elf_kind(elf) == ELF_K_ELF;
	bool meant = good && supplement->id_size && is_meant(supplement, elf);

	if (elf)
		elf_end(elf);
	if (!good)
		return error_set(error, -ENOEXEC, "what %s names is not an ELF file",
				 supplement->is_checksum ? sup_section : link_section);
	if (!meant)
		return error_set(error, -EBADMSG,
				 "section %s, offset 0: the file that it names is of another "
				 "build: it has another %s",
				 supplement->is_checksum ? sup_section : link_section,
				 supplement->is_checksum ? "checksum" : "build id");
	return 0;
}
