/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Pages of one section of a file, read when something in them is asked for, and
 * kept in as many places as there are, each page in the one that its number gives:
 * strings, entries and lists that are referred to lie close together, and a read
 * of some bytes costs what a read of a page does.
 *
 * Zero-initialised is empty.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DWARF_PAGE_SIZE 4096u
#define DWARF_PAGES_MAX 256u /* kept of one section */

struct dwarf_pages {
	uint8_t *bytes; /* of all places; touched only where a page is */
	uint64_t *held; /* of each place the page there, plus 1; 0: none */
	uint32_t places; /* 0, or a power of two */
	uint32_t used;
};

void dwarf_pages_deinit(struct dwarf_pages *pages);
/* The byte at `at` of the file, of which [start, end) is the section, and what follows it
 * in its page: ret_size. NULL: it could not be read, or there is no memory. Good until
 * the next call. */
const uint8_t *dwarf_pages_get(struct dwarf_pages *pages, int fd, uint64_t start, uint64_t end,
			       uint64_t at, uint32_t *ret_size);
/* Bytes held. */
size_t dwarf_pages_memory(const struct dwarf_pages *pages);
