/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Code that processes write into their own memory: each such process has an image of its
 * own in the image table, which names the code by process address out of what the
 * compiler writes down: a jit dump that the process has mapped (jit_dump.h), else its
 * perf map (perf_map_file.h), which is looked for now and then while there is none.
 *
 * Compilers write late, through buffers of megabytes and at their end. So a place without
 * a name stays "late": it is asked for again at ever longer intervals, when its process
 * has ended, and when a session ends, which keeps what it has not folded yet for that. Bounded by
 * JIT_LATE_MAX places; more keep their first answer.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "daemon/image_table.h"
#include "daemon/process_table.h"
#include "daemon/stack_table.h"

#define JIT_LATE_MAX 65536u
#define JIT_IMAGES_MAX 4096u /* more processes' code has no names until some have ended */

struct jit_code {
	struct stack_table *stacks;
	struct image_table *images;
	struct process_table *processes;
	void (*open)(void *context, struct image *image); /* a dump's file; resolver_open() */
	/* Has the list of image->use.pid looked for: jit_code_found() tells. False: it does
	 * not, so it will not. */
	bool (*look)(void *context, struct image *image);
	void *open_context; /* of both */
	uint64_t looks; /* so far */
	VEC(uint32_t) late; /* frames */
	uint32_t generation; /* of the stack table that they are of */
	VEC(uint32_t) used; /* images of processes */
	VEC(uint32_t) free; /* images of processes that ended, in no frame any more */
	uint32_t swept; /* the stack table's generation when that was found */
	uint64_t asked; /* boot time ns when they were last looked over */
	uint64_t asked_all; /* the same, all of them */
	uint64_t refused; /* above the limit */
	uint64_t asked_again; /* frames, each time */
};

/* Whether a mapped file's path is that of a jit dump. */
bool jit_code_is_dump(const char *path);
void jit_code_deinit(struct jit_code *jit);
/* The image of a process's code at run time; IMAGE_NONE above a limit. */
uint32_t jit_code_image(struct jit_code *jit, struct process *process);
/* The process has mapped a file: it may be its compiler's dump. */
void jit_code_mapped(struct jit_code *jit, struct process *process, const struct image *image);
/* What look() led to: `look` is what image->jit_look was then. fd is the callee's from then
 * on; -1: there is no list, or none that may be opened. */
void jit_code_found(struct jit_code *jit, struct image *image, uint64_t look, int fd);
/* True while the file to ask is being opened. */
bool jit_code_opening(const struct jit_code *jit, const struct image *image);
/* The file to ask, a descriptor of the caller's; -1: there is none so far. */
int jit_code_open(struct jit_code *jit, const struct image *image);
/* A frame of such an image, asked for at that time (boot, ns), had no name: it is late, or
 * is asked for at once if all were asked for while the answer was under way, or it is to
 * have none. */
void jit_code_nameless(struct jit_code *jit, uint32_t frame, uint64_t asked);
/* Puts late frames whose time has come back on the table's list of new ones; `all`: all
 * that somebody can be asked for. */
void jit_code_again(struct jit_code *jit, uint64_t now, bool all);
