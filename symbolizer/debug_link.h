/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a stripped file says of its separate debug file in its section .gnu_debuglink:
 * the file's name, and the checksum of its bytes (gdb manual, "Separate Debug Files").
 * Foreign bytes: to be used in the worker only.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/elf_image.h"

#define DEBUG_LINK_NAME_MAX 255u /* bytes, as file systems have it */
#define DEBUG_LINK_FILE_MAX (2ull << 30) /* bytes that are read for a checksum */

struct debug_link {
	char name[DEBUG_LINK_NAME_MAX + 1]; /* a last part of a path; "": there is none */
	uint32_t crc;
};

/* The image's file must be open. A section that is damaged, or names no file of a
 * folder, is none. */
void debug_link_read(const struct elf_image *image, struct debug_link *ret);
/* The same from the section's bytes. */
void debug_link_parse(const void *bytes, size_t size, struct debug_link *ret);
/* Whether the file's bytes have the link's checksum. -EBADMSG: they do not, or there
 * is no link; -E2BIG; -EIO. */
int debug_link_check(const struct debug_link *link, int fd, struct error *error);
