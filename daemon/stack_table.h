/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The stacks that samples name by id, turned into frames: (image, offset in
 * its file) for user code, (kernel, address) for kernel code; and the frames'
 * names, as far as they are known.
 *
 * A stack is AWAITED when a sample named it before it came (rings are read one
 * after another), RAW while its process's mappings are still being read, LATE while
 * it is bytes that were not walked yet (raw_stacks.h), and READY once it is frames. A frame is
 * asked for once; until the answer is there, or if there is none, it is "[module+0xoffset]".
 *
 * Bounded: stacks that no sample named for some time are given up now and then, and beyond the
 * limit all that nobody needs (stack_table_sift()); the kernel sends them anew.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/base/hashmap.h"
#include "daemon/base/strtab.h"
#include "daemon/base/vec.h"
#include "daemon/function_table.h"
#include "daemon/image_table.h"
#include "daemon/process_table.h"

#define STACK_NONE UINT32_MAX

enum stack_state { STACK_AWAITED, STACK_RAW, STACK_LATE, STACK_READY };

struct stack {
	uint64_t id; /* the ABI's */
	uint8_t state; /* enum stack_state */
	uint8_t reason; /* enum abi_reason: how the walk ended */
	uint16_t count;
	uint32_t used; /* the table's epoch when it was last named */
	size_t first; /* READY: index into frame_ids; leaf first */
	uint64_t *raw; /* RAW: addresses, owned */
	struct process *process; /* RAW: a reference */
};

enum frame_state {
	FRAME_NEW,
	FRAME_ASKED,
	FRAME_NAMED,
	FRAME_UNNAMED, /* the answer was: no name */
	FRAME_LATE, /* no name so far: to be asked for again */
};

/* A place in code. */
struct frame {
	uint32_t image; /* IMAGE_KERNEL, IMAGE_NONE: address in no mapping */
	uint8_t state; /* enum frame_state */
	uint8_t pad;
	uint16_t name_count; /* functions that cover it, inlined ones too; leaf first */
	uint64_t offset; /* in the image's file; a kernel or process address */
	size_t first_name; /* index into names */
	uint64_t start; /* UNNAMED: offset where its function begins, 0: unknown */
};

struct frame_name {
	uint32_t name, module, file; /* strings */
	uint32_t line;
	bool inlined;
};

struct stack_table {
	VEC(struct stack) stacks;
	struct hashmap by_id; /* ABI id -> index */
	VEC(uint32_t) frame_ids;
	VEC(struct frame) frames;
	struct hashmap frame_index; /* hash of (image, offset) -> index */
	VEC(struct frame_name) names;
	struct strtab strings;
	struct function_table functions; /* of whose places nobody is asked any more */
	VEC(uint32_t) new_frames; /* FRAME_NEW: to be asked for */
	size_t unresolved; /* frames NEW or ASKED */
	size_t raw; /* stacks RAW or LATE */
	uint32_t max;
	uint32_t generation; /* of indexes: changes when some are given up */
	uint32_t epoch; /* its owner's clock for `used` */
	uint64_t refused; /* stacks above four times the limit */
	uint64_t resets; /* times that all or some were given up */
	uint64_t given_up; /* stacks */
	/* The image that names the code which a process wrote into its memory, by process
	 * address; IMAGE_NONE: there is none. NULL: never. */
	uint32_t (*memory_image)(void *context, struct process *process);
	void *memory_context;
};

void stack_table_init(struct stack_table *table, uint32_t max);
void stack_table_deinit(struct stack_table *table);
/* True when it should be emptied. */
static inline bool stack_table_full(const struct stack_table *table)
{
	return table->stacks.count > table->max * 2ULL;
}
/* Gives up all but the stacks of which keep[index] is true (NULL: all); both arrays have
 * table->stacks.count entries. Those go on with the names they have, under the index that is in
 * moved[] (NULL: nobody asks) then; STACK_NONE: given up, also for want of memory. */
void stack_table_sift(struct stack_table *table, const bool *keep, uint32_t *moved);
/* How many were named last `age` epochs ago, or before. */
size_t stack_table_aged(const struct stack_table *table, uint32_t age);
static inline bool stack_aged(const struct stack_table *table, const struct stack *stack,
			      uint32_t age)
{
	return table->epoch - stack->used >= age;
}

/* Index for an ABI id, awaited if it has not come; STACK_NONE above the limit. */
uint32_t stack_table_index(struct stack_table *table, uint64_t id);
/* A stack has come. `process` is whose it is (NULL for kernel stacks, or if
 * unknown); its mappings must be those of the record's time. */
void stack_table_put(struct stack_table *table, const struct abi_stack *record,
		     struct process *process);
/* The stack with this id will be put when it has been walked. False: there is no room
 * for it, or it is there. */
bool stack_table_expect(struct stack_table *table, uint64_t id);
/* The process's mappings are known now: its RAW stacks become READY. */
void stack_table_mapped(struct stack_table *table, struct process *process);
/* An answer for one frame; `count` 0: it has no name, but perhaps a beginning. */
void stack_table_name(struct stack_table *table, uint32_t frame, const struct frame_name *names,
		      size_t count, uint64_t start);
/* The same answer holds for all places of the frame's file from `start` on, for so many bytes (0:
 * that is not known): they will not be asked for. */
void stack_table_learn(struct stack_table *table, uint32_t frame, uint64_t start, uint32_t size);
/* No name so far, of a frame that was to have an answer. */
void stack_table_late(struct stack_table *table, uint32_t frame);
/* A late frame is NEW again; -ENOMEM, and it is late still. */
int stack_table_ask_again(struct stack_table *table, uint32_t frame);
/* All that is known of an image's frames is to be asked for anew. */
void stack_table_ask_image_again(struct stack_table *table, uint32_t image);
/* The image is let go of: no stack names it, and its number may become another's. */
void stack_table_forget_image(struct stack_table *table, uint32_t image);
uint32_t stack_table_string(struct stack_table *table, const char *text);
