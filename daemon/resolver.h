/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Between the tables and the symbolizer: asks for the names of new frames, by
 * image and in batches, and for the mappings of processes that were there
 * before perfd, and writes the answers into the tables.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/config.h"
#include "daemon/debug_fetch.h"
#include "daemon/image_table.h"
#include "daemon/jit_code.h"
#include "daemon/process_table.h"
#include "daemon/stack_table.h"
#include "symbolizer/client.h"
#include "symbolizer/openers.h"
#include "symbolizer/unwind_table.h"

struct resolver_request;

struct resolver {
	struct symbolizer *symbolizer;
	struct openers *openers;
	struct stack_table *stacks;
	struct image_table *images;
	struct process_table *processes;
	struct jit_code jit;
	struct debug_fetch fetch;
	struct resolver_request *requests; /* under way */
	VEC(struct process *) unmapped; /* references; their maps are to be read, in this order */
	size_t next_unmapped; /* the first that has not been asked for */
	uint32_t maps_under_way;
	/* No window waits for names: those of files that the symbolizer has come when one does,
	 * all together. */
	bool at_leisure;
	bool blind; /* mappings are not told: what is read is newer than what is known */
	uint32_t view; /* times that that changed: what was asked before may be out of date */
	/* Told of every mapping read from /proc (a recording wants them). */
	void (*on_mmap)(void *context, const struct abi_mmap *mmap);
	/* Told of an image whose file has been opened, or could not be. */
	void (*on_opened)(void *context, struct image *image);
	/* Told when a process's mappings have become known. */
	void (*on_mapped)(void *context, struct process *process);
	void *context;
};

/* An unwind table as the symbolizer made it, or why it made none. */
struct resolver_table {
	int error; /* 0, or -errno with a sentence */
	const char *text;
	const struct unwind_table *table; /* NULL with an error */
	const void *bytes; /* the same, encoded */
	size_t size;
};
/* answer: valid until it returns. */
typedef void resolver_table_fn(void *context, uint32_t image, const struct resolver_table *answer);

int resolver_init(struct resolver *resolver, const struct config *config, const char *program,
		  struct error *error);
void resolver_deinit(struct resolver *resolver);
/* From now on code that processes write themselves has the names that they write down,
 * where they do (jit_code.h). The tables are set. */
void resolver_name_memory(struct resolver *resolver);
/* Puts a process on the list of those whose mappings are to be read; `now`:
 * before all others. */
void resolver_want_maps(struct resolver *resolver, struct process *process, bool now);
/* Sends what can be sent, and is wanted now. */
void resolver_flush(struct resolver *resolver);
/* All of it, and what compilers had not named is asked for once more. */
void resolver_flush_late(struct resolver *resolver);
/* A new mapping: its image is opened while the process lives. */
uint32_t resolver_map(struct resolver *resolver, struct process *process,
		      const struct abi_mmap *mmap, bool fill);
/* The same of an image that is known already. */
void resolver_map_image(struct resolver *resolver, struct process *process,
			const struct abi_mmap *mmap, uint32_t image, bool fill);
/* Has the image's file opened, if there is one and that has not been done: asks for it,
 * and tells when it is there (on_opened). */
void resolver_open(struct resolver *resolver, struct image *image);
/* What a worker, or whoever opens files, answered: the file itself is the reason, and it will be
 * the same the next time. */
bool resolver_blames_file(int error);
/* Neither the file nor what a worker made of it is to blame: that was killed, or there was no
 * memory, or the file was let go of meanwhile. */
bool resolver_is_momentary(int error);
/* Asks where probes see an image's allocations; 0, or -errno and no callback: -EAGAIN: the
 * symbolizer does not have it yet; -ENODATA: it is no file; else it cannot be had now. */
int resolver_ask_probes(struct resolver *resolver, uint32_t image, symbolizer_probes_fn *done,
			void *context);
/* Asks for an image's unwind table (urgency: as symbolizer_unwind() has it); 0, or
 * -errno and no callback: -EINPROGRESS: ask again when its file has been opened. */
int resolver_ask_table(struct resolver *resolver, uint32_t image, uint32_t urgency,
		       resolver_table_fn *done, void *context);
/* Sets used[image - 1] of those that something is being asked of; `count`: how many there are. */
void resolver_mark(const struct resolver *resolver, bool *used, size_t count);
/* Nothing names the image any more. */
void resolver_forget(struct resolver *resolver, const struct image *image);
