/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/elf_image.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

/* Foreign counts get a bound of their own, far above what a linker writes. */
#define SEGMENTS_MAX 4096
#define SECTIONS_MAX (1U << 20)
#define NOTES_SIZE_MAX (1U << 20)
#define PAGE_MASK 0xfffULL

static int check_ident(Elf *elf, struct error *error)
{
	size_t size = 0;
	const char *ident = elf_getident(elf, &size);

	/* A class or version that is none is no ELF file to libelf either. */
	if (elf_kind(elf) != ELF_K_ELF || !ident || size < EI_NIDENT)
		return error_set(error, -ENOEXEC, "not an ELF file");
	if (ident[EI_DATA] != ELFDATA2LSB)
		return error_set(error, -ENOEXEC,
				 "a big-endian ELF file: not of this machine's kind");
	return 0;
}

static int read_header(struct elf_image *image, struct error *error)
{
	GElf_Ehdr header;

	if (!gelf_getehdr(image->elf, &header))
		return error_set(error, -EINVAL, "ELF header, offset 0: it cannot be read: %s",
				 elf_errmsg(-1));
	if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
		return error_set(error, -ENOEXEC,
				 "an ELF file of type %u: neither program nor shared library",
				 header.e_type);
	if (header.e_machine != EM_X86_64 && header.e_machine != EM_386)
		return error_set(error, -ENOEXEC,
				 "an ELF file for machine %u: only x86 is understood",
				 header.e_machine);
	image->machine = header.e_machine;
	image->type = header.e_type;
	return 0;
}

static int add_segment(struct elf_image *image, const GElf_Phdr *header)
{
	struct elf_segment segment = {
		.offset = header->p_offset,
		.file_size = header->p_filesz,
		.address = header->p_vaddr,
		.memory_size = header->p_memsz,
		.executable = header->p_flags & PF_X,
	};

	/* Sums must not wrap; such a segment cannot have been mapped. */
	if (segment.offset + segment.file_size < segment.offset ||
	    segment.address + segment.memory_size < segment.address ||
	    segment.address + segment.file_size < segment.address)
		return 0;
	return vec_push(&image->segments, segment);
}

static int read_segments(struct elf_image *image, struct error *error)
{
	GElf_Ehdr elf;
	uint64_t at = gelf_getehdr(image->elf, &elf) ? elf.e_phoff : 0;
	size_t count = 0;

	if (elf_getphdrnum(image->elf, &count))
		return error_set(error, -EINVAL,
				 "program headers, offset 0x%" PRIx64 ": they cannot be read: %s",
				 at, elf_errmsg(-1));
	if (count > SEGMENTS_MAX)
		return error_set(error, -EINVAL,
				 "program headers, offset 0x%" PRIx64 ": %zu of them: more than %d",
				 at, count, SEGMENTS_MAX);
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;

		if (!gelf_getphdr(image->elf, (int)i, &header))
			return error_set(error, -EINVAL,
					 "program headers, offset 0x%" PRIx64
					 ": number %zu cannot be read: %s",
					 at, i, elf_errmsg(-1));
		if (header.p_type == PT_LOAD && add_segment(image, &header) < 0)
			return error_set(error, -ENOMEM, "out of memory for program headers");
	}
	if (!image->segments.count)
		return error_set(error, -ENOEXEC,
				 "program headers, offset 0x%" PRIx64
				 ": no loadable segment: a debug or broken file",
				 at);
	return 0;
}

/* Section headers may be missing or damaged without harm to the rest. */
static int read_sections(struct elf_image *image, struct error *error)
{
	size_t count = 0;

	if (elf_getshdrnum(image->elf, &count) || count > SECTIONS_MAX)
		return 0;
	for (size_t i = 0; i < count; i++) {
		struct elf_section section = {0};
		Elf_Scn *scn = elf_getscn(image->elf, i);
		GElf_Shdr header;

		if (scn && gelf_getshdr(scn, &header) && (header.sh_flags & SHF_ALLOC) &&
		    header.sh_addr + header.sh_size >= header.sh_addr) {
			section.address = header.sh_addr;
			section.size = header.sh_size;
			section.executable = header.sh_flags & SHF_EXECINSTR;
		}
		if (vec_push(&image->sections, section) < 0)
			return error_set(error, -ENOMEM, "out of memory for %zu sections", count);
	}
	return 0;
}

/* True when a build id was found (ELF gABI "Note Section", NT_GNU_BUILD_ID). */
static bool scan_notes(struct elf_image *image, Elf_Data *data)
{
	size_t at = 0, name, descriptor;
	GElf_Nhdr note;

	if (!data || !data->d_buf || data->d_size > NOTES_SIZE_MAX)
		return false;
	while ((at = gelf_getnote(data, at, &note, &name, &descriptor)) > 0) {
		const uint8_t *bytes = data->d_buf;

		if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != 4 ||
		    memcmp(bytes + name, "GNU", 4) || !note.n_descsz)
			continue;
		image->build_id_size = note.n_descsz < ELF_IMAGE_BUILD_ID_MAX
					       ? (uint8_t)note.n_descsz
					       : ELF_IMAGE_BUILD_ID_MAX;
		memcpy(image->build_id, bytes + descriptor, image->build_id_size);
		return true;
	}
	return false;
}

static bool build_id_of_sections(struct elf_image *image)
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header;

		if (gelf_getshdr(scn, &header) && header.sh_type == SHT_NOTE &&
		    header.sh_size <= NOTES_SIZE_MAX && scan_notes(image, elf_getdata(scn, NULL)))
			return true;
	}
	return false;
}

static void build_id_of_segments(struct elf_image *image)
{
	size_t count = 0;

	if (elf_getphdrnum(image->elf, &count))
		return;
	for (size_t i = 0; i < count; i++) {
		GElf_Phdr header;
		Elf_Type type;

		if (!gelf_getphdr(image->elf, (int)i, &header) || header.p_type != PT_NOTE ||
		    header.p_filesz > NOTES_SIZE_MAX)
			continue;
		/* .note.gnu.property is aligned to 8, all others to 4. */
		type = header.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR;
		if (scan_notes(image, elf_getdata_rawchunk(image->elf, (int64_t)header.p_offset,
							   header.p_filesz, type)))
			return;
	}
}

static int read_all(struct elf_image *image, struct error *error)
{
	int r = check_ident(image->elf, error);

	if (!r)
		r = read_header(image, error);
	if (!r)
		r = read_segments(image, error);
	if (!r)
		r = read_sections(image, error);
	/* Segments first: they are what the kernel reads, and there are few. */
	if (!r) {
		build_id_of_segments(image);
		if (!image->build_id_size)
			build_id_of_sections(image);
	}
	return r;
}

static int init_from(struct elf_image *ret, Elf *elf, uint64_t size, struct error *error)
{
	struct elf_image image = {.elf = elf, .file_size = size};
	int r;

	if (!elf)
		return error_set(error, -ENOEXEC, "the file cannot be read as ELF: %s",
				 elf_errmsg(-1));
	r = read_all(&image, error);
	if (r < 0) {
		elf_image_deinit(&image);
		return r;
	}
	*ret = image;
	return 0;
}

int elf_image_init(struct elf_image *image, int fd, struct error *error)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return error_set(error, -errno, "the file cannot be examined: %s", strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(error, -ENOEXEC, "not a regular file");
	if (elf_version(EV_CURRENT) == EV_NONE)
		return error_set(error, -EIO, "libelf does not know ELF version 1");
	return init_from(image, elf_begin(fd, ELF_C_READ, NULL), (uint64_t)st.st_size, error);
}

int elf_image_init_memory(struct elf_image *image, void *bytes, size_t size, struct error *error)
{
	if (elf_version(EV_CURRENT) == EV_NONE)
		return error_set(error, -EIO, "libelf does not know ELF version 1");
	if (!size)
		return error_set(error, -ENOEXEC, "not an ELF file");
	return init_from(image, elf_memory(bytes, size), size, error);
}

void elf_image_close_file(struct elf_image *image)
{
	if (image->elf)
		elf_end(image->elf);
	image->elf = NULL;
	vec_free(&image->sections);
}

void elf_image_deinit(struct elf_image *image)
{
	elf_image_close_file(image);
	vec_free(&image->segments);
}

/* How well a segment fits a file offset; 0: not at all. */
static int fit(const struct elf_segment *segment, uint64_t offset)
{
	uint64_t first = segment->offset & ~PAGE_MASK;
	uint64_t last = segment->offset + segment->file_size; /* one past */

	if (!segment->file_size)
		return 0;
	if (offset >= segment->offset && offset < last)
		return segment->executable ? 4 : 3;
	if (offset >= first && offset - first < ((last - first + PAGE_MASK) & ~PAGE_MASK))
		return segment->executable ? 2 : 1;
	return 0;
}

bool elf_image_address(const struct elf_image *image, uint64_t offset, uint64_t *ret_address)
{
	const struct elf_segment *best = NULL;
	int best_fit = 0;

	for (size_t i = 0; i < image->segments.count; i++) {
		const struct elf_segment *segment = &image->segments.items[i];
		int f = fit(segment, offset);

		if (f > best_fit) {
			best_fit = f;
			best = segment;
		}
	}
	if (!best)
		return false;
	*ret_address = best->address + (offset - best->offset);
	return true;
}

bool elf_image_offset(const struct elf_image *image, uint64_t address, uint64_t *ret_offset)
{
	for (size_t i = 0; i < image->segments.count; i++) {
		const struct elf_segment *segment = &image->segments.items[i];

		if (address >= segment->address &&
		    address - segment->address < segment->file_size) {
			*ret_offset = segment->offset + (address - segment->address);
			return true;
		}
	}
	return false;
}

uint64_t elf_image_code_end(const struct elf_image *image, uint64_t address)
{
	for (size_t i = 0; i < image->segments.count; i++) {
		const struct elf_segment *segment = &image->segments.items[i];

		if (segment->executable && address >= segment->address &&
		    address - segment->address < segment->memory_size)
			return segment->address + segment->memory_size;
	}
	return 0;
}
