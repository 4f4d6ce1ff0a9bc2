/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Compressed sections: by the ELF gABI ("Section Compression": zlib and zstd), and
 * by the older way of GNU (.zdebug_*: "ZLIB", the size, zlib data). Foreign bytes: to be used in
 * the worker only.
 *
 * How large a section will be is said before its data, and no more than that is
 * ever written: a bomb costs what it says it costs, and who calls has a limit
 * for that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"

#define DWARF_PACKED_HEADER_MAX 24u /* bytes of the longest header */

enum dwarf_packing { DWARF_PACKED_UNKNOWN, DWARF_PACKED_ZLIB, DWARF_PACKED_ZSTD };

struct dwarf_packed {
	enum dwarf_packing packing;
	uint32_t type; /* as the header has it, for a message */
	uint32_t header_size;
	uint64_t size; /* unpacked */
};

/* How long a header is: of .zdebug_* (`gnu`), or of a 64-bit or 32-bit file. */
uint32_t dwarf_packed_header_size(bool gnu, bool wide);
/* Reads a header of that many bytes; false: it is none. */
bool dwarf_packed_read(struct dwarf_packed *ret, const void *header, bool gnu, bool wide);
/* Unpacks exactly to->size bytes. -EINVAL: the data is damaged, or is of another size; -ENOTSUP:
 * an unknown kind; -ENOMEM. `section`: its name, for the message. */
int dwarf_packed_unpack(const struct dwarf_packed *packed, const char *section, const void *from,
			size_t from_size, void *to, struct error *error);
