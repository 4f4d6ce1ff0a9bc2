/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session's allocations: those that were sampled, and which of them are still in use.
 * Counts are kept in 1/SESSION_HEAP_SCALE, for a sample stands for a number of allocations
 * that is no whole one.
 *
 * What is in use is kept by process and address, at most HEAP_LIVE_MAX of them: more are in
 * the sums of what was allocated, but never in those of what is in use, and are counted.
 * A process that ends leaves what it had not freed; one that executes another program
 * loses all.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "daemon/window.h"

#define SESSION_HEAP_SCALE 1024u
#define HEAP_LIVE_MAX (1u << 20)

struct process;
struct session;

struct heap_live {
	uint64_t key; /* member << 48 | address; 0: the place is free */
	uint64_t count, bytes; /* what it stands for */
	uint32_t stack;
	uint8_t reason;
	uint32_t next_free;
};

struct session_heap {
	struct hashmap index; /* key -> place */
	VEC(struct heap_live) live;
	uint32_t first_free; /* place + 1; 0: none */
	size_t live_count;
	struct window in_use; /* its samples' `live` */
	uint64_t untracked; /* sampled, but not followed: no room */
	uint64_t frees, unknown_frees;
};

struct session_allocation {
	uint64_t time, address; /* 0: nobody tells of its end */
	uint64_t count, bytes; /* what it stands for */
	uint32_t stack;
	uint8_t reason;
};

void session_heap_deinit(struct session_heap *heap);
void session_alloc(struct session *session, struct process *process,
		   const struct session_allocation *what);
void session_free(struct session *session, struct process *process, uint64_t address);
/* The process executes another program. */
void session_heap_exec(struct session *session, struct process *process);
/* The session is over: what is in use becomes one of its windows. */
void session_heap_finish(struct session *session);
