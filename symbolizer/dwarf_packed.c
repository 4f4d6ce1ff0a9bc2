/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_packed.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include <zlib.h>
#include <zstd.h>

#include "symbolizer/dwarf_cursor.h"

#define GNU_HEADER_SIZE 12u /* "ZLIB", then the size, big-endian */
#define PACKING_ZLIB 1u /* ELFCOMPRESS_ZLIB */
#define PACKING_ZSTD 2u /* ELFCOMPRESS_ZSTD: older <elf.h> do not have it */
#define ZSTD_WINDOW_LOG_MAX 27 /* 128 MiB: what zstd itself takes without being told to */

uint32_t dwarf_packed_header_size(bool gnu, bool wide)
{
	if (gnu)
		return GNU_HEADER_SIZE;
	return wide ? sizeof(Elf64_Chdr) : sizeof(Elf32_Chdr);
}

bool dwarf_packed_read(struct dwarf_packed *ret, const void *header, bool gnu, bool wide)
{
	struct dwarf_packed packed = {.header_size = dwarf_packed_header_size(gnu, wide)};
	struct dwarf_cursor cursor = cursor_of(header, packed.header_size);

	if (gnu) {
		if (memcmp(header, "ZLIB", 4) != 0)
			return false;
		cursor_skip(&cursor, 4);
		packed.type = PACKING_ZLIB;
		packed.size = be64toh(htole64(cursor_u64(&cursor)));
	} else {
		packed.type = cursor_u32(&cursor);
		if (wide)
			cursor_u32(&cursor); /* reserved */
		packed.size = cursor_sized(&cursor, wide ? 8 : 4);
	}
	if (packed.type == PACKING_ZLIB)
		packed.packing = DWARF_PACKED_ZLIB;
	else if (packed.type == PACKING_ZSTD)
		packed.packing = DWARF_PACKED_ZSTD;
	*ret = packed;
	return packed.size > 0;
}

static int unpack_zlib(const struct dwarf_packed *packed, const void *from, size_t from_size,
		       void *to)
{
	uLongf done = packed->size;
	int status = uncompress(to, &done, from, from_size);

	if (status == Z_MEM_ERROR)
		return -ENOMEM;
	return status == Z_OK && done == packed->size ? 0 : -EINVAL;
}

/* One frame or several; none may ask for a larger window than the section is. */
static int unpack_zstd(const struct dwarf_packed *packed, const void *from, size_t from_size,
		       void *to)
{
	ZSTD_DCtx *context = ZSTD_createDCtx();
	size_t done;

	if (!context)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
	done = ZSTD_decompressDCtx(context, to, packed->size, from, from_size);
	ZSTD_freeDCtx(context);
	return !ZSTD_isError(done) && done == packed->size ? 0 : -EINVAL;
}

int dwarf_packed_unpack(const struct dwarf_packed *packed, const char *section, const void *from,
			size_t from_size, void *to, struct error *error)
{
	int r;

	switch (packed->packing) {
	case DWARF_PACKED_ZLIB:
		r = unpack_zlib(packed, from, from_size, to);
		break;
	case DWARF_PACKED_ZSTD:
		r = unpack_zstd(packed, from, from_size, to);
		break;
	default:
		return error_set(error, -ENOTSUP,
				 "section %s, offset 0: compressed in a way that is not known "
				 "(type %u)",
				 section, packed->type);
	}
	if (r == -ENOMEM)
		return error_set(error, r, "out of memory for section %s", section);
	if (r < 0)
		return error_set(error, r, "section %s, offset %u: damaged %s data", section,
				 packed->header_size,
				 packed->packing == DWARF_PACKED_ZSTD ? "zstd" : "zlib");
	return 0;
}
