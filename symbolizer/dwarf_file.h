/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The debug sections of one ELF file: the program's own, its separate debug
 * file, a .dwo, or the file that dwz shares between several. Foreign bytes: to
 * be used in the worker only.
 *
 * Nothing is kept but where the sections lie. What is asked for is read with
 * pread when it is asked for (a file that is truncated meanwhile gives an error,
 * where a mapping would give SIGBUS), and some pages of each section are
 * remembered (dwarf_pages.h). A compressed section is unpacked whole when it is
 * first asked for, all of them to at most DWARF_UNPACKED_MAX bytes.
 *
 * The descriptor stays the caller's, and must be open as long as the file is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/damage.h"
#include "symbolizer/dwarf_packed.h"
#include "symbolizer/dwarf_pages.h"

#define DWARF_UNPACKED_MAX (512ULL << 20) /* bytes of all sections of a file */
#define DWARF_STRING_MAX 4096u /* bytes of a name that are looked at */

enum dwarf_section_id {
	DWARF_INFO,
	DWARF_ABBREV,
	DWARF_LINE,
	DWARF_STR,
	DWARF_LINE_STR,
	DWARF_STR_OFFSETS,
	DWARF_ADDR,
	DWARF_RANGES,
	DWARF_RNGLISTS,
	DWARF_ARANGES,
	DWARF_CU_INDEX,
	DWARF_SECTION_COUNT,
};

struct dwarf_section {
	uint64_t offset; /* in the file */
	uint64_t size; /* 0: there is none; unpacked, if it is compressed */
	uint64_t packed_size; /* 0: it is not compressed */
	struct dwarf_packed packed; /* if it is */
	bool bad; /* it could not be unpacked */
	uint8_t *bytes; /* unpacked, or a part of bytes in memory */
	bool owned; /* `bytes` are ours */
	struct dwarf_pages pages;
	const uint8_t *lent; /* what somebody has in memory: lent_size bytes from lent_at on */
	uint64_t lent_at, lent_size;
	uint8_t *window; /* of `window_size` bytes from window_at on */
	uint64_t window_at;
	uint32_t window_size;
};

struct dwarf_file {
	int fd; /* -1: the file is in memory */
	uint64_t unpacked; /* bytes of all sections */
	/* Of a split unit's file: the program's, which has the addresses; NULL: it
	 * has them itself. The caller's. */
	struct dwarf_file *program;
	struct error why; /* the first section that could not be read, if one could not */
	struct damage damage; /* that, and what is damaged in those that could be read */
	struct dwarf_section sections[DWARF_SECTION_COUNT];
};

/* Whose sections are meant, where a file has both. */
enum dwarf_flavour {
	DWARF_WHOLE, /* .debug_info: a program, or its debug file */
	DWARF_SHARED, /* the same, but strings alone will do: what dwz made */
	DWARF_SPLIT, /* .debug_info.dwo: a .dwo, a .dwp, an object file */
};

/* -ENODATA: no debug information of that flavour in it; -ENOEXEC: no ELF file, or one of
 * another byte order. */
int dwarf_file_init(struct dwarf_file *ret, int fd, enum dwarf_flavour flavour,
		    struct error *error);
/* From bytes that outlive it. */
int dwarf_file_init_memory(struct dwarf_file *ret, void *bytes, size_t size,
			   enum dwarf_flavour flavour, struct error *error);
/* Takes all sections into memory, so that the descriptor may be closed: at most
 * `max` bytes. -E2BIG, -ENOMEM, -EIO. */
int dwarf_file_keep(struct dwarf_file *file, uint64_t max, struct error *error);
void dwarf_file_deinit(struct dwarf_file *file);
const char *dwarf_section_name(enum dwarf_section_id id);
/* Something is damaged at an offset of a section. Of a split unit's file the program's
 * damage, which is told, and says so. */
void dwarf_file_blame(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
		      const char *what);

/* Bytes from `at` on, in ret_size at least `want` and perhaps more, or NULL: the
 * section is shorter, or could not be read. Good until the next call for this
 * section. For small reads (up to DWARF_WINDOW_MAX). */
#define DWARF_WINDOW_MAX 65536u
const uint8_t *dwarf_file_peek(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
			       uint32_t want, uint32_t *ret_size);
/* Exactly `size` bytes from `at` on. `buffer` (of *capacity bytes, grown by
 * realloc, the caller's) is used where the section is not in memory already.
 * NULL: as above, or out of memory. */
const uint8_t *dwarf_file_read(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
			       uint64_t size, uint8_t **buffer, size_t *capacity);
/* What dwarf_file_read() gave is answered from, until it is taken back, by bytes of NULL. */
void dwarf_file_lend(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
		     const uint8_t *bytes, uint64_t size);
/* A NUL-terminated string, cut at DWARF_STRING_MAX bytes; NULL if there is none.
 * Good until the next call for this section. */
const char *dwarf_file_string(struct dwarf_file *file, enum dwarf_section_id id, uint64_t at,
			      size_t *ret_length);
/* Lets go of the pages and windows that are remembered, and tells how many bytes they are. */
void dwarf_file_trim(struct dwarf_file *file);
size_t dwarf_file_remembered(const struct dwarf_file *file);
/* Bytes held. */
size_t dwarf_file_memory(const struct dwarf_file *file);
