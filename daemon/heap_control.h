/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfd's hand on the control word of libperfd-heap.so in a process (daemon/heap/control.h): its
 * rule of sampling, written into the process's memory, and its interval read there first.
 *
 * A process may have memory there that answers late or never (a file system of its own), so this
 * is done in threads: one visit at a time, given up for good where one does not come back.
 * What is read there is the process's own and believed of itself only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/heap_rules.h"

/* A grant is renewed when so much of it is used up. */
#define HEAP_CONTROL_RENEW 2u /* 1 / so much */

struct heap_visit;

enum heap_control_state {
	HEAP_CONTROL_NONE, /* no such word, or not yet looked for */
	HEAP_CONTROL_ASKED, /* its first reading is under way */
	HEAP_CONTROL_KNOWN,
	HEAP_CONTROL_FIXED, /* somebody named an interval: it stays */
	HEAP_CONTROL_LOST, /* it cannot be read or written, or is of another version */
};

struct heap_control_hand {
	enum heap_control_state state;
	uint64_t address; /* process address of the word; 0: not known */
	uint64_t usual; /* the library's own interval */
	struct heap_visit *visit; /* under way; NULL: none */
	uint64_t started; /* boot time, ns: that one */
	struct alloc_rule told;
	uint64_t samples; /* of the process, when it was granted so many */
};

/* The word is there. */
void heap_control_begin(struct heap_control_hand *hand, uint64_t address);
/* Reads, and writes the present rule if it is another one or its grant is used up. */
void heap_control_run(struct heap_control_hand *hand, pid_t pid, const struct heap_rules *rules,
		      uint64_t now);
/* The process is left alone: it gets its own interval back, if somebody has changed that. */
void heap_control_leave(struct heap_control_hand *hand, pid_t pid);
/* It has another program, or is no more. */
void heap_control_forget(struct heap_control_hand *hand);
