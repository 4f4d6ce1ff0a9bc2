/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/function_starts.h"

#include <errno.h>
#include <string.h>

#include "daemon/base/reader.h"
#include "symbolizer/leb128.h"

#define FRAMES_SIZE_MAX (512ULL << 20)
#define AUGMENTATION_MAX 16

/* Pointers that say how they are encoded (LSB core specification, 10.5.1): the
 * low four bits tell the form, the next three what the value is relative to. */
enum pointer_encoding {
	DW_EH_PE_absptr = 0x00,
	DW_EH_PE_uleb128 = 0x01,
	DW_EH_PE_udata2 = 0x02,
	DW_EH_PE_udata4 = 0x03,
	DW_EH_PE_udata8 = 0x04,
	DW_EH_PE_sleb128 = 0x09,
	DW_EH_PE_sdata2 = 0x0a,
	DW_EH_PE_sdata4 = 0x0b,
	DW_EH_PE_sdata8 = 0x0c,
	DW_EH_PE_pcrel = 0x10,
	DW_EH_PE_datarel = 0x30,
	DW_EH_PE_indirect = 0x80,
	DW_EH_PE_omit = 0xff,
};
#define FORMAT(encoding) ((uint8_t)((encoding)&0x0f))
#define APPLICATION(encoding) ((encoding)&0x70)

struct walk {
	const struct function_starts_input *input;
	struct reader header, frames;
	uint8_t table_encoding;
	uint64_t count; /* entries of the table */
	uint64_t cie; /* the one looked at last: offset in frames */
	uint8_t cie_encoding; /* of its FDEs' addresses; DW_EH_PE_omit: bad */
	bool cie_known;
	struct function_starts starts;
};

static uint64_t clip(const struct function_starts_input *input, uint64_t address)
{
	return input->is_64 ? address : (uint32_t)address;
}

static uint64_t read_value(const struct function_starts_input *input, struct reader *reader,
			   uint8_t encoding)
{
	switch (FORMAT(encoding)) {
	case DW_EH_PE_absptr:
		return input->is_64 ? reader_u64(reader) : reader_u32(reader);
	case DW_EH_PE_uleb128:
		return leb128_unsigned(reader);
	case DW_EH_PE_sleb128:
		return (uint64_t)leb128_signed(reader);
	case DW_EH_PE_udata2:
		return reader_u16(reader);
	case DW_EH_PE_udata4:
		return reader_u32(reader);
	case DW_EH_PE_udata8:
	case DW_EH_PE_sdata8:
		return reader_u64(reader);
	case DW_EH_PE_sdata2:
		return (uint64_t)(int16_t)reader_u16(reader);
	case DW_EH_PE_sdata4:
		return (uint64_t)(int32_t)reader_u32(reader);
	default:
		reader_fail(reader, "a pointer of an unknown encoding");
		return 0;
	}
}

/* `base` is the ELF address of the reader's first byte. */
static uint64_t read_pointer(const struct function_starts_input *input, struct reader *reader,
			     uint64_t base, uint8_t encoding)
{
	uint64_t here = base + reader->at;
	uint64_t value;

	if (encoding & DW_EH_PE_indirect) {
		reader_fail(reader, "a pointer to a pointer");
		return 0;
	}
	value = read_value(input, reader, encoding);
	switch (APPLICATION(encoding)) {
	case 0:
		break;
	case DW_EH_PE_pcrel:
		value += here;
		break;
	case DW_EH_PE_datarel:
		value += input->header_address;
		break;
	default:
		reader_fail(reader, "a pointer relative to something unknown");
	}
	return clip(input, value);
}

static bool read_header(struct walk *walk, uint64_t *ret_frames)
{
	struct reader *reader = &walk->header;
	uint8_t version = reader_u8(reader), frames = reader_u8(reader);
	uint8_t count = reader_u8(reader);

	walk->table_encoding = reader_u8(reader);
	if (!reader_ok(reader) || version != 1 || frames == DW_EH_PE_omit ||
	    count == DW_EH_PE_omit || walk->table_encoding == DW_EH_PE_omit)
		return false;
	*ret_frames = read_pointer(walk->input, reader, walk->input->header_address, frames);
	walk->count = read_pointer(walk->input, reader, walk->input->header_address, count);
	return reader_ok(reader);
}

bool function_starts_frames_address(const struct function_starts_input *input,
				    uint64_t *ret_address)
{
	struct walk walk = {.input = input};

	reader_init(&walk.header, input->header, input->header_size);
	return read_header(&walk, ret_address);
}

/* A reader of the entry at an offset of .eh_frame, behind its length: its `at`
 * stays an offset in the section. */
static bool open_entry(const struct walk *walk, uint64_t offset, struct reader *ret)
{
	const struct function_starts_input *input = walk->input;
	uint64_t length;

	reader_init(ret, input->frames, input->frames_size);
	if (offset > input->frames_size)
		return false;
	ret->at = (size_t)offset;
	length = reader_u32(ret);
	if (length == UINT32_MAX)
		length = reader_u64(ret);
	if (!length || length > reader_left(ret)) /* 0: the terminator */
		return false;
	ret->size = ret->at + (size_t)length;
	return true;
}

/* What the augmentation tells before 'R'; false if it cannot be known. */
static bool skip_augmentation(const struct walk *walk, struct reader *reader, char letter)
{
	uint8_t encoding;

	switch (letter) {
	case 'L':
		reader_u8(reader);
		return true;
	case 'P':
		encoding = reader_u8(reader);
		read_value(walk->input, reader, encoding);
		return true;
	case 'S':
	case 'B':
		return true;
	default:
		return false;
	}
}

static uint8_t read_cie(const struct walk *walk, uint64_t offset)
{
	char letters[AUGMENTATION_MAX];
	struct reader reader;
	uint8_t version;
	size_t n = 0;

	if (!open_entry(walk, offset, &reader) || reader_u32(&reader) != 0)
		return DW_EH_PE_omit;
	version = reader_u8(&reader);
	while (n < sizeof(letters) && (letters[n] = (char)reader_u8(&reader)))
		n++;
	if (!reader_ok(&reader) || (version != 1 && version != 3) || n == sizeof(letters))
		return DW_EH_PE_omit;
	if (!n)
		return DW_EH_PE_absptr;
	if (letters[0] != 'z')
		return DW_EH_PE_omit;
	leb128_unsigned(&reader); /* code and data alignment, return address, length */
	leb128_signed(&reader);
	if (version == 1)
		reader_u8(&reader);
	else
		leb128_unsigned(&reader);
	leb128_unsigned(&reader);
	for (size_t i = 1; i < n && letters[i] != 'R'; i++) {
		if (!skip_augmentation(walk, &reader, letters[i]))
			return DW_EH_PE_omit;
	}
	version = memchr(letters, 'R', n) ? reader_u8(&reader) : DW_EH_PE_absptr;
	return reader_ok(&reader) ? version : DW_EH_PE_omit;
}

/* The range of the FDE at an ELF address; 0 if it is none, or of another start. */
static uint64_t read_fde(struct walk *walk, uint64_t address, uint64_t start)
{
	const struct function_starts_input *input = walk->input;
	uint64_t back, at, begin, size;
	struct reader reader;

	if (address < input->frames_address ||
	    !open_entry(walk, address - input->frames_address, &reader))
		return 0;
	at = reader.at;
	back = reader_u32(&reader);
	if (!back || back > at) /* 0: a CIE */
		return 0;
	if (!walk->cie_known || walk->cie != at - back) {
		walk->cie = at - back;
		walk->cie_encoding = read_cie(walk, walk->cie);
		walk->cie_known = true;
	}
	if (walk->cie_encoding == DW_EH_PE_omit)
		return 0;
	begin = read_pointer(input, &reader, input->frames_address, walk->cie_encoding);
	size = read_value(input, &reader, FORMAT(walk->cie_encoding));
	return reader_ok(&reader) && begin == start ? size : 0;
}

static int add(struct walk *walk, uint64_t start, uint64_t size)
{
	const struct function_starts_input *input = walk->input;
	struct function_start entry;

	if (!size || start < input->code_start || start >= input->code_end ||
	    size > input->code_end - start || start - input->code_start > UINT32_MAX ||
	    size > UINT32_MAX)
		return 0;
	if (input->symtab && symtab_find(input->symtab, start) &&
	    symtab_find(input->symtab, start + size - 1))
		return 0;
	entry = (struct function_start){.at = (uint32_t)(start - input->code_start),
					.size = (uint32_t)size};
	if (walk->starts.items.count) {
		struct function_start *last =
			&walk->starts.items.items[walk->starts.items.count - 1];

		if (entry.at == last->at)
			return 0;
		if (entry.at - last->at < last->size)
			last->size = entry.at - last->at;
	}
	return vec_push(&walk->starts.items, entry);
}

static int read_table(struct walk *walk)
{
	uint64_t previous = 0;
	int r = 0;

	for (uint64_t i = 0; i < walk->count && !r; i++) {
		uint64_t start, fde;

		start = read_pointer(walk->input, &walk->header, walk->input->header_address,
				     walk->table_encoding);
		fde = read_pointer(walk->input, &walk->header, walk->input->header_address,
				   walk->table_encoding);
		if (!reader_ok(&walk->header) || start < previous) {
			vec_free(&walk->starts.items);
			return 0;
		}
		previous = start;
		r = add(walk, start, read_fde(walk, fde, start));
	}
	return r;
}

int function_starts_parse(struct function_starts *ret, const struct function_starts_input *input)
{
	struct walk walk = {.input = input, .starts = {.base = input->code_start}};
	uint64_t frames;
	int r;

	reader_init(&walk.header, input->header, input->header_size);
	*ret = walk.starts;
	if (!read_header(&walk, &frames) || frames != input->frames_address)
		return 0;
	if (walk.count > FUNCTION_STARTS_MAX)
		walk.count = FUNCTION_STARTS_MAX;
	r = read_table(&walk);
	if (r < 0) {
		function_starts_deinit(&walk.starts);
		return r;
	}
	*ret = walk.starts;
	return 0;
}

static bool find_header(const struct elf_image *image, GElf_Phdr *ret)
{
	size_t count = 0;

	if (!image->elf || elf_getphdrnum(image->elf, &count))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (gelf_getphdr(image->elf, (int)i, ret) && ret->p_type == PT_GNU_EH_FRAME)
			return ret->p_filesz > 0 && ret->p_filesz <= FRAMES_SIZE_MAX;
	}
	return false;
}

/* Bytes from the ELF address to the section's end, or, where the section headers
 * are gone, to the end of what the segment has of the file. */
static uint64_t frames_extent(const struct elf_image *image, uint64_t address)
{
	for (size_t i = 0; i < image->sections.count; i++) {
		if (image->sections.items[i].size && image->sections.items[i].address == address)
			return image->sections.items[i].size;
	}
	for (size_t i = 0; i < image->segments.count; i++) {
		const struct elf_segment *segment = &image->segments.items[i];

		if (address >= segment->address && address - segment->address < segment->file_size)
			return segment->file_size - (address - segment->address);
	}
	return 0;
}

static const void *chunk(const struct elf_image *image, uint64_t offset, uint64_t size,
			 size_t *ret_size)
{
	Elf_Data *data;

	if (!size || size > FRAMES_SIZE_MAX || offset > image->file_size ||
	    size > image->file_size - offset)
		return NULL;
	data = elf_getdata_rawchunk(image->elf, (int64_t)offset, size, ELF_T_BYTE);
	if (!data || !data->d_buf)
		return NULL;
	*ret_size = data->d_size;
	return data->d_buf;
}

static void code_extent(const struct elf_image *image, struct function_starts_input *input)
{
	input->code_start = UINT64_MAX;
	for (size_t i = 0; i < image->segments.count; i++) {
		const struct elf_segment *segment = &image->segments.items[i];

		if (!segment->executable)
			continue;
		if (segment->address < input->code_start)
			input->code_start = segment->address;
		if (segment->address + segment->file_size > input->code_end)
			input->code_end = segment->address + segment->file_size;
	}
}

int function_starts_init(struct function_starts *ret, const struct elf_image *image,
			 const struct symtab *symtab)
{
	struct function_starts_input input = {.symtab = symtab};
	struct function_starts none = {0};
	GElf_Phdr header;
	uint64_t offset;

	*ret = none;
	if (!find_header(image, &header))
		return 0;
	input.is_64 = gelf_getclass(image->elf) == ELFCLASS64;
	input.header_address = header.p_vaddr;
	input.header = chunk(image, header.p_offset, header.p_filesz, &input.header_size);
	if (!input.header || !function_starts_frames_address(&input, &input.frames_address) ||
	    !elf_image_offset(image, input.frames_address, &offset))
		return 0;
	input.frames = chunk(image, offset, frames_extent(image, input.frames_address),
			     &input.frames_size);
	if (!input.frames)
		return 0;
	code_extent(image, &input);
	return function_starts_parse(ret, &input);
}

void function_starts_deinit(struct function_starts *starts)
{
	vec_free(&starts->items);
}

bool function_starts_find(const struct function_starts *starts, uint64_t address,
			  uint64_t *ret_start, uint32_t *ret_size)
{
	const struct function_start *items = starts->items.items;
	size_t low = 0, high = starts->items.count;
	uint64_t at = address - starts->base;

	if (address < starts->base)
		return false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (items[middle].at <= at)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || at - items[low - 1].at >= items[low - 1].size)
		return false;
	*ret_start = starts->base + items[low - 1].at;
	*ret_size = items[low - 1].size;
	return true;
}
