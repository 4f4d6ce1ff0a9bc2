/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/process_memory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct process_memory *process_memory_create(int fd)
{
	struct process_memory *memory = calloc(1, sizeof(*memory));

	if (memory)
		memory->fd = fd;
	return memory;
}

/* NULL if it cannot be read. */
static const uint8_t *page_at(struct process_memory *memory, uint64_t address)
{
	size_t slot = address / PROCESS_PAGE % PROCESS_PAGES_KEPT;

	if (memory->pages[slot].there && memory->pages[slot].address == address)
		return memory->pages[slot].bytes;
	if (address > INT64_MAX || memory->reads >= PROCESS_PAGES_MAX)
		return NULL;
	memory->reads++;
	memory->pages[slot].address = address;
	memory->pages[slot].there = pread(memory->fd, memory->pages[slot].bytes, PROCESS_PAGE,
					  (off_t)address) == PROCESS_PAGE;
	return memory->pages[slot].there ? memory->pages[slot].bytes : NULL;
}

bool process_memory_read(struct process_memory *memory, uint64_t address, void *ret, size_t size)
{
	uint8_t *to = ret;

	while (size) {
		size_t at = address % PROCESS_PAGE;
		size_t n = PROCESS_PAGE - at < size ? PROCESS_PAGE - at : size;
		const uint8_t *page = page_at(memory, address - at);

		if (!page)
			return false;
		memcpy(to, page + at, n);
		to += n;
		address += n;
		size -= n;
	}
	return true;
}

bool process_memory_text(struct process_memory *memory, uint64_t address, char *ret, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (!process_memory_read(memory, address + i, &ret[i], 1))
			return false;
		if (!ret[i])
			return true;
	}
	return false;
}

bool process_memory_is(struct process_memory *memory, uint64_t address, const char *text)
{
	size_t size = strlen(text) + 1;

	for (size_t i = 0; i < size; i++) {
		char c;

		if (!process_memory_read(memory, address + i, &c, 1) || c != text[i])
			return false;
	}
	return true;
}
