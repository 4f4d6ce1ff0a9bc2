/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/debug_link.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "daemon/base/reader.h"

#define PIECE 65536u
#define SECTION_MAX 4096u

void debug_link_parse(const void *bytes, size_t size, struct debug_link *ret)
{
	const char *nul = size ? memchr(bytes, 0, size) : NULL;
	size_t length = nul ? (size_t)(nul - (const char *)bytes) : 0;
	size_t at = (length + 1 + 3) & ~(size_t)3;
	struct reader reader;
	uint32_t crc;

	*ret = (struct debug_link){0};
	reader_init(&reader, bytes, size);
	reader_take(&reader, at);
	crc = reader_u32(&reader);
	if (!reader_ok(&reader) || !length || length > DEBUG_LINK_NAME_MAX ||
	    memchr(bytes, '/', length) || !strcmp(bytes, ".") || !strcmp(bytes, ".."))
		return;
	memcpy(ret->name, bytes, length);
	ret->crc = crc;
}

void debug_link_read(const struct elf_image *image, struct debug_link *ret)
{
	Elf_Scn *scn = NULL;
	size_t names = 0;

	*ret = (struct debug_link){0};
	if (elf_getshdrstrndx(image->elf, &names))
		return;
	while ((scn = elf_nextscn(image->elf, scn))) {
		GElf_Shdr header;
		const char *name;
		Elf_Data *data;

		if (!gelf_getshdr(scn, &header) || header.sh_type == SHT_NOBITS ||
		    header.sh_size > SECTION_MAX)
			continue;
		name = elf_strptr(image->elf, names, header.sh_name);
		if (!name || strcmp(name, ".gnu_debuglink") != 0)
			continue;
		data = elf_rawdata(scn, NULL);
		if (data && data->d_buf)
			debug_link_parse(data->d_buf, data->d_size, ret);
		return;
	}
}

int debug_link_check(const struct debug_link *link, int fd, struct error *error)
{
	uint8_t piece[PIECE];
	uLong crc = crc32(0, NULL, 0);
	uint64_t at = 0;

	if (!link->name[0])
		return error_set(error, -EBADMSG,
				 "the debug file cannot be told to be of this build: the file has "
				 "neither a build id in common with it nor a .gnu_debuglink");
	for (;;) {
		ssize_t n = pread(fd, piece, sizeof(piece), (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(error, -EIO, "the debug file, offset %" PRIu64 ": %s", at,
					 strerror(errno));
		if (!n)
			break;
		crc = crc32(crc, piece, (uInt)n);
		at += (uint64_t)n;
		if (at > DEBUG_LINK_FILE_MAX)
			return error_set(
				error, -E2BIG,
				"a debug file of more than %llu bytes: it needs a build id",
				DEBUG_LINK_FILE_MAX);
	}
	if (crc != link->crc)
		return error_set(error, -EBADMSG,
				 "the debug file is of another build: its checksum is %08lx, "
				 ".gnu_debuglink says %08" PRIx32,
				 crc, link->crc);
	return 0;
}
