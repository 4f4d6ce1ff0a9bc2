/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Variables and functions of a shared library by name, in a process that has it mapped: its ELF
 * header and dynamic section are read where the loader put them, so the file is not
 * needed. Foreign bytes: everything is read through process_memory.h, and counts have
 * limits.
 */
#pragma once

#include <stdint.h>

#include "symbolizer/process_memory.h"

struct process_library {
	uint64_t bias; /* process address - ELF address */
	uint64_t symbols, strings; /* process addresses, as all that follow */
	uint64_t hash; /* System V's; 0: none */
	uint64_t gnu_hash; /* likewise */
	uint64_t versions; /* of the symbols, likewise */
};

/* `code`: where the library's code is mapped, from `offset` in its file on. -ENOEXEC: no
 * library for x86-64, or one without dynamic symbols; -EIO: not readable. */
int process_library_find(struct process_memory *memory, uint64_t code, uint64_t offset,
			 struct process_library *ret);
/* The value of the 64-bit variable of that name; -ENOEXEC: there is none. */
int process_library_u64(struct process_memory *memory, const struct process_library *library,
			const char *name, uint64_t *ret);
/* Where the function of that name is, and its size (0: not said); -ENOEXEC: there is none. */
int process_library_function(struct process_memory *memory, const struct process_library *library,
			     const char *name, uint64_t *ret_address, uint64_t *ret_size);
