/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Functions that a process made at run time, by process address, in the order in which
 * they came: code is thrown away and its place used again, so where they overlap the
 * later one is right, and what it covers of an earlier one is forgotten. A place can be
 * said to have no function any more. At a limit all that came before is forgotten and
 * counted: no name is better than the name of code that may be gone.
 *
 * Filled by perf_map.h and jit_dump.h, from foreign bytes; bounded. Ownership: a struct owns
 * what it points at; all zero is an empty one.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"

#define JIT_NAME_MAX 4096u /* bytes; a longer name is cut */
#define JIT_FUNCTIONS_MAX (2u << 20)
#define JIT_NAMES_MAX (128u << 20) /* bytes */
#define JIT_NO_NAME UINT32_MAX

struct jit_function {
	uint64_t start, end; /* process addresses */
	uint32_t name; /* JIT_NO_NAME: there is no code there */
	uint32_t lines; /* the filler's own */
};

struct jit_functions {
	struct strtab names;
	VEC(struct jit_function) items; /* by address, disjoint */
	VEC(struct jit_function) fresh; /* in the order in which they came */
	uint64_t forgotten; /* at a limit */
	uint32_t resets; /* how often that was: names of before mean nothing then */
};

void jit_functions_deinit(struct jit_functions *functions);
/* To be called before what follows, for each function: keeps within the limits. 0 or
 * -ENOMEM. */
int jit_functions_make_room(struct jit_functions *functions);
/* A name, of at most `size` bytes and up to a NUL. 0 or -ENOMEM. */
int jit_functions_name(struct jit_functions *functions, const char *name, size_t size,
		       uint32_t *ret);
int jit_functions_add(struct jit_functions *functions, struct jit_function function);
/* Sorts out what was added. 0 or -ENOMEM. */
int jit_functions_settle(struct jit_functions *functions);
/* The function that covers the address, of those that are settled; NULL. */
const struct jit_function *jit_functions_find(const struct jit_functions *functions,
					      uint64_t address);
