/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A bounded look into a process's memory by a descriptor that pread(2) reads at
 * process addresses (/proc/PID/mem): pages are read once and kept, and only so many
 * of them are read in all, so that hostile pointers cost no more than that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCESS_PAGE 4096u
#define PROCESS_PAGES_KEPT 64u
#define PROCESS_PAGES_MAX 4096u /* reads in all */

struct process_memory {
	int fd;
	uint32_t reads;
	struct {
		uint64_t address;
		bool there;
		uint8_t bytes[PROCESS_PAGE];
	} pages[PROCESS_PAGES_KEPT];
};

/* NULL without memory; free() ends it. The descriptor stays the caller's. */
struct process_memory *process_memory_create(int fd);
/* False where memory is not readable or the limit is reached. */
bool process_memory_read(struct process_memory *memory, uint64_t address, void *ret, size_t size);
/* A text that ends within `size`; false if there is none. */
bool process_memory_text(struct process_memory *memory, uint64_t address, char *ret, size_t size);
/* Is that text there? */
bool process_memory_is(struct process_memory *memory, uint64_t address, const char *text);
