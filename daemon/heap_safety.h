/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * May a stopped process load a library now? Judged thread by thread by its stack; the rule
 * is in engine_heap.h.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/image_table.h"
#include "daemon/inject.h"
#include "daemon/mapping_set.h"
#include "symbolizer/libc_functions.h"

struct engine;

struct heap_safety {
	uint64_t code, offset; /* where libc's code is mapped, from where in its file; 0: unknown */
	uint32_t image; /* libc's */
	bool musl;
	bool known; /* the functions are */
	struct libc_functions functions;
	/* The round's. */
	bool busy; /* a thread is in the way */
	int32_t caller; /* the best thread so far; 0: none */
	int rank; /* how good it is */
	char why[160]; /* the last thread that was in the way, and where */
};

/* -ENOENT: the process has no C library mapped. */
int heap_safety_find_libc(struct heap_safety *safety, const struct image_table *images,
			  const struct mapping_set *maps);
void heap_safety_know(struct heap_safety *safety, const struct libc_functions *functions);
/* A round: begin, look at each thread, verdict: the thread that may call, or INJECT_AGAIN. */
void heap_safety_begin(struct heap_safety *safety);
void heap_safety_look(struct heap_safety *safety, struct engine *engine,
		      const struct mapping_set *maps, const struct inject_stack *stack);
int32_t heap_safety_verdict(struct heap_safety *safety);
