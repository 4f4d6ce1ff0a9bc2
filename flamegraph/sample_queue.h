/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Samples on their way into a profile, some dozens at a time: until it is their turn, the
 * place of each one's stack in the profile's index has come nearer. For readers of hundreds
 * of thousands of different stacks, which would wait for memory at each.
 *
 * What is in the queue is not in the profile: flush before looking there, and at the end.
 * The queue refers to the profile. Zero-initialised but for that it is empty.
 */
#pragma once

#include "flamegraph/profile.h"

#define SAMPLE_QUEUE_MAX 32

struct queued_sample {
	struct profile_sample sample; /* without its stack */
	uint32_t hash; /* profile_stack_hash() */
	size_t end; /* of its frames in the queue's */
	uint64_t values[PROFILE_VALUES_MAX];
};

struct sample_queue {
	struct profile *profile;
	size_t count;
	struct queued_sample items[SAMPLE_QUEUE_MAX];
	VEC(uint32_t) frames; /* of all of them, end to end */
};

void sample_queue_deinit(struct sample_queue *queue);
/* A sample of a stack of the profile's frames, root first. 0 or -ENOMEM. */
int sample_queue_add(struct sample_queue *queue, const uint32_t *frames, size_t count,
		     const struct profile_sample *sample, const uint64_t *values);
/* All of them into the profile. 0 or -ENOMEM; the queue is empty then. */
int sample_queue_flush(struct sample_queue *queue);
