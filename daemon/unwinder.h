/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the kernel side knows for its walks: which tables are loaded, and which
 * mapping sets are published. Policy only; the maps are behind the source.
 *
 * A table is asked for when a walk missed it, or when somebody attaches to a
 * process that maps its file: first of the cache on disk, then of the symbolizer;
 * the least recently used one goes when the memory is full. A mapping set is published once and
 * never changed: a process whose mappings change gets a new set, and the old one is withdrawn when
 * nobody has it any more.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/process_table.h"
#include "daemon/resolver.h"
#include "daemon/source.h"
#include "daemon/table_cache.h"

enum table_state {
	TABLE_NONE,
	TABLE_ASKED,
	TABLE_LOADED,
	TABLE_FAILED, /* no call frame information, or damaged: by frame pointer */
};

/* Whose table is made first (symbolizer/client.h): that of the program, the C
 * library and the loader of a process that somebody attached to; of its other
 * files; then those that most walks missed. */
#define UNWINDER_URGENT UINT32_MAX
#define UNWINDER_WANTED (UINT32_MAX / 2)

struct unwinder_table {
	enum table_state state;
	bool awaits_file; /* asked, and its file is being opened */
	uint32_t urgency; /* walks that missed it, or one of the above */
	uint32_t rows;
	uint32_t tries; /* that failed for no fault of the file */
	uint64_t used; /* boot time, ns */
	struct file_identity file; /* that it was asked for of */
};

struct unwinder {
	struct source *source;
	struct resolver *resolver;
	struct table_cache *cache; /* borrowed; NULL: none */
	VEC(struct unwinder_table) tables; /* by image id */
	VEC(struct mapping_set *) published; /* a reference each */
	VEC(struct process *) dirty; /* references: their mappings changed */
	uint64_t loaded, failed, evicted; /* tables, counted */
	uint64_t rows; /* loaded now */
	uint64_t sets_refused;
	bool hold; /* no table of a walk that missed it is asked for, but now and then */
	uint64_t asked; /* boot time, ns: when one was, last */
	uint64_t put_off; /* misses that asked for none, counted */
};

/* The cache (NULL: none) stays the caller's. */
void unwinder_init(struct unwinder *unwinder, struct source *source, struct resolver *resolver,
		   struct table_cache *cache);
void unwinder_deinit(struct unwinder *unwinder);
/* The process's mappings are other ones now. */
void unwinder_changed(struct unwinder *unwinder, struct process *process);
/* Tables that a walk of the system-wide views lacks can wait, or cannot any more: perfd's budget is
 * used up. One in ten seconds is made nevertheless; the next walk that misses it asks again. */
void unwinder_hold(struct unwinder *unwinder, bool hold);
/* A walk ended for want of the table of this image. */
void unwinder_missed(struct unwinder *unwinder, uint32_t image);
/* Somebody attached to the process: the table of what it maps (just now). */
void unwinder_need(struct unwinder *unwinder, const struct process *process, uint32_t image);
/* The tables of all that it maps. */
void unwinder_need_all(struct unwinder *unwinder, const struct process *process);
/* True while the image's table is loaded. */
bool unwinder_has(const struct unwinder *unwinder, uint32_t image);
/* True while the image's table is being made. */
bool unwinder_awaits(const struct unwinder *unwinder, uint32_t image);
/* How many are being made. */
uint64_t unwinder_awaited(const struct unwinder *unwinder);
/* True while a table of the process's mappings is being made. */
bool unwinder_waits(const struct unwinder *unwinder, const struct process *process);
/* The image's file has been opened, or could not be. */
void unwinder_opened(struct unwinder *unwinder, const struct image *image);
/* Sets used[image - 1] of those that mapping sets which the kernel side has name, or of which a
 * table is being made; `count`: how many there are. */
void unwinder_mark(const struct unwinder *unwinder, bool *used, size_t count);
/* Nothing names the image any more. */
void unwinder_forget(struct unwinder *unwinder, const struct image *image);
/* A sample used the image's table. */
void unwinder_used(struct unwinder *unwinder, uint32_t image, uint64_t now);
/* Publishes what changed; withdraws what nobody has any more. */
void unwinder_flush(struct unwinder *unwinder);
