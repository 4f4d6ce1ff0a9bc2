/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/mini_debug.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <lzma.h>

#include "daemon/base/cleanup.h"

#define UNPACKED_FIRST (256u << 10)

static const char section_name[] = ".gnu_debugdata";

static Elf_Data *find(const struct elf_image *image)
{
	Elf_Scn *scn = NULL;
	size_t names = 0;

	if (elf_getshdrstrndx(image->elf, &names))
		return NULL;
	while ((scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header;
		const char *name;

		if (!gelf_getshdr(scn, &header) || header.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(image->elf, names, header.sh_name);
		if (!name || strcmp(name, section_name) != 0)
			continue;
		/* What is too large is not even read. */
		return header.sh_size <= MINI_DEBUG_PACKED_MAX ? elf_rawdata(scn, NULL) : NULL;
	}
	return NULL;
}

static int grow(uint8_t **bytes, size_t *size, struct error *error)
{
	size_t more = *size ? *size * 2 : UNPACKED_FIRST;
	uint8_t *grown;

	if (*size >= MINI_DEBUG_UNPACKED_MAX)
		return error_set(error, -E2BIG, "section %s: more than %u MiB unpacked",
				 section_name, MINI_DEBUG_UNPACKED_MAX >> 20);
	if (more > MINI_DEBUG_UNPACKED_MAX)
		more = MINI_DEBUG_UNPACKED_MAX;
	grown = realloc(*bytes, more);
	if (!grown)
		return error_set(error, -ENOMEM, "out of memory for section %s", section_name);
	*bytes = grown;
	*size = more;
	return 0;
}

static int decode_all(lzma_stream *stream, size_t packed, uint8_t **bytes, size_t *ret_size,
		      struct error *error)
{
	size_t size = 0;
	lzma_ret status = LZMA_OK;
	int r;

	while (status == LZMA_OK) {
		if (!stream->avail_out) {
			size_t done = size;

			r = grow(bytes, &size, error);
			if (r < 0)
				return r;
			stream->next_out = *bytes + done;
			stream->avail_out = size - done;
		}
		status = lzma_code(stream, LZMA_FINISH);
	}
	if (status == LZMA_MEM_ERROR)
		return error_set(error, -ENOMEM, "out of memory for section %s", section_name);
	if (status == LZMA_MEMLIMIT_ERROR)
		return error_set(error, -E2BIG,
				 "section %s: its dictionary needs more than %u MiB: pack it with "
				 "xz -9 or less",
				 section_name, MINI_DEBUG_DECODER_MAX >> 20);
	if (status != LZMA_STREAM_END)
		return error_set(error, -EINVAL, "section %s, offset %zu: damaged xz data",
				 section_name, packed - stream->avail_in);
	*ret_size = size - stream->avail_out;
	return 0;
}

int mini_debug_init_packed(struct mini_debug *ret, const void *packed, size_t size,
			   struct error *error)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	_cleanup_free_ uint8_t *bytes = NULL;
	size_t unpacked = 0;
	int r;

	if (size > MINI_DEBUG_PACKED_MAX)
		return error_set(error, -E2BIG, "section %s: more than %u MiB", section_name,
				 MINI_DEBUG_PACKED_MAX >> 20);
	if (lzma_stream_decoder(&stream, MINI_DEBUG_DECODER_MAX, 0) != LZMA_OK)
		return error_set(error, -ENOMEM, "out of memory for section %s", section_name);
	stream.next_in = packed;
	stream.avail_in = size;
	r = decode_all(&stream, size, &bytes, &unpacked, error);
	lzma_end(&stream);
	if (r < 0)
		return r;
	r = elf_image_init_memory(&ret->image, bytes, unpacked, error);
	if (r < 0)
		return error_prefix(error, "section %s", section_name);
	ret->bytes = TAKE_PTR(bytes);
	return 0;
}

int mini_debug_init(struct mini_debug *ret, const struct elf_image *image, struct error *error)
{
	const Elf_Data *data = find(image);

	if (!data || !data->d_buf)
		return error_set(error, -ENOENT, "no section %s", section_name);
	return mini_debug_init_packed(ret, data->d_buf, data->d_size, error);
}

void mini_debug_deinit(struct mini_debug *mini)
{
	elf_image_deinit(&mini->image);
	free(mini->bytes);
	mini->bytes = NULL;
}
