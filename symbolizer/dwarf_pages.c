/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/dwarf_pages.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

void dwarf_pages_deinit(struct dwarf_pages *pages)
{
	free(pages->bytes);
	free(pages->held);
	*pages = (struct dwarf_pages){0};
}

/* No more places than the section has pages. */
static bool make_places(struct dwarf_pages *pages, uint64_t section_size)
{
	uint64_t wanted = section_size / DWARF_PAGE_SIZE + 2;
	uint32_t places = 1;

	while (places < wanted && places < DWARF_PAGES_MAX)
		places *= 2;
	pages->bytes = malloc((size_t)places * DWARF_PAGE_SIZE);
	pages->held = calloc(places, sizeof(*pages->held));
	if (!pages->bytes || !pages->held) {
		dwarf_pages_deinit(pages);
		return false;
	}
	pages->places = places;
	return true;
}

static bool read_page(int fd, uint8_t *bytes, uint64_t at, uint64_t size)
{
	for (uint64_t done = 0; done < size;) {
		ssize_t n = pread(fd, bytes + done, size - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (uint64_t)n;
	}
	return true;
}

const uint8_t *dwarf_pages_get(struct dwarf_pages *pages, int fd, uint64_t start, uint64_t end,
			       uint64_t at, uint32_t *ret_size)
{
	uint64_t page = at / DWARF_PAGE_SIZE, first = page * DWARF_PAGE_SIZE;
	uint64_t last = first + DWARF_PAGE_SIZE;
	uint8_t *bytes;
	uint32_t place;

	if (!pages->places && !make_places(pages, end - start))
		return NULL;
	first = first > start ? first : start;
	last = last < end ? last : end;
	place = (uint32_t)page & (pages->places - 1);
	bytes = pages->bytes + (size_t)place * DWARF_PAGE_SIZE;
	if (pages->held[place] != page + 1) {
		pages->used += !pages->held[place];
		pages->held[place] = 0;
		if (!read_page(fd, bytes, first, last - first)) {
			pages->used--;
			return NULL;
		}
		pages->held[place] = page + 1;
	}
	*ret_size = (uint32_t)(last - at);
	return bytes + (at - first);
}

size_t dwarf_pages_memory(const struct dwarf_pages *pages)
{
	return (size_t)pages->used * DWARF_PAGE_SIZE + pages->places * sizeof(*pages->held);
}
