/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Samples summed over a stretch of time: by process, thread name and stacks.
 * It holds references to its processes and indexes into the stack table (of
 * one generation, see window_renumber()); it is folded into a profile once its frames have names,
 * and dropped.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/process_table.h"
#include "daemon/stack_table.h"
#include "flamegraph/heap_data.h"
#include "flamegraph/profile.h"

struct window_sample {
	struct process *process; /* a reference */
	char comm[ABI_COMM_MAX]; /* of the thread, when it was sampled */
	uint32_t kernel_stack; /* indexes, or STACK_NONE */
	uint32_t user_stack;
	uint8_t reason; /* enum abi_reason */
	bool repeats; /* another one's weight, for a time that nobody looked at */
	uint32_t tick; /* when: in steps of the window from its beginning */
	uint64_t count;
	uint64_t weight;
	uint32_t site; /* place + 1 in the window's heap; 0: none */
	uint32_t next; /* of the same hash, or UINT32_MAX */
};

struct window {
	uint64_t start; /* boot time, ns */
	uint64_t end;
	uint64_t step_ns; /* samples are told apart by when they were taken as fine as this */
	VEC(struct window_sample) samples;
	struct hashmap index;
	struct heap_data *heap; /* of allocations, by stack: owned; NULL: nothing of them */
};

void window_deinit(struct window *window);
/* Adds count and weight; -ENOMEM. */
int window_add(struct window *window, const struct window_sample *sample);
/* Samples whose stack was walked late get the walk's reason; `reasons`, counted by
 * reason, follow. */
void window_settle(struct window *window, const struct stack_table *stacks, uint64_t *reasons);
/* Sets keep[] of the stacks that it has. */
void window_keep_stacks(const struct window *window, bool *keep);
/* Indexes of the stack table are others now: moved[old], as stack_table_sift() tells. */
void window_renumber(struct window *window, const uint32_t *moved);
/* True when every stack of the window is READY and every frame of them has its
 * answer. */
bool window_resolved(const struct window *window, const struct stack_table *stacks);
/* True when a frame of the window has no name so far, and may get one. */
bool window_late(const struct window *window, const struct stack_table *stacks);

/* How window samples become profile samples. */
struct window_fold {
	const struct stack_table *stacks;
	const struct image_table *images;
	struct profile *profile;
	uint64_t begins_ns; /* of the window, since the profile's beginning */
	uint32_t scale; /* counts are in 1/scale; 0: as they are */
	/* The profile's index for a process; PROFILE_NONE is fine. */
	uint32_t (*process)(void *context, struct process *process);
	void *context;
};
/* Adds all samples to how->profile, whose value types are 0: samples (count),
 * 1: weight, and, where there are those, 2 and 3 what is in use, 4 and 5 what was at the peak, 6
 * and 7 what was temporary. The window's heap becomes the profile's. What has no name yet is
 * named by its place. -ENOMEM. */
int window_fold(struct window *window, const struct window_fold *how);
