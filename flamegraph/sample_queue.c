/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/sample_queue.h"

#include <string.h>

#include "flamegraph/profile_internal.h"

void sample_queue_deinit(struct sample_queue *queue)
{
	vec_free(&queue->frames);
	queue->count = 0;
}

static int put(struct profile *profile, struct queued_sample *item, const uint32_t *frames,
	       size_t count)
{
	size_t stacks = profile->stack_ends.count;

	item->sample.stack = profile_stack_hashed(profile, item->hash, frames, count);
	if (item->sample.stack == PROFILE_NONE)
		return -ENOMEM;
	/* No sample is like one of a stack that was not there. */
	if (item->sample.stack == stacks)
		return profile_append_sample(profile, &item->sample, item->values);
	return profile_add_sample(profile, &item->sample, item->values);
}

int sample_queue_flush(struct sample_queue *queue)
{
	size_t begin = 0;
	int r = 0;

	for (size_t i = 0; !r && i < queue->count; i++) {
		struct queued_sample *item = &queue->items[i];

		r = put(queue->profile, item, queue->frames.items + begin, item->end - begin);
		begin = item->end;
	}
	queue->count = 0;
	vec_clear(&queue->frames);
	return r;
}

int sample_queue_add(struct sample_queue *queue, const uint32_t *frames, size_t count,
		     const struct profile_sample *sample, const uint64_t *values)
{
	struct queued_sample *item;
	int r = queue->count == SAMPLE_QUEUE_MAX ? sample_queue_flush(queue) : 0;

	if (r)
		return r;
	if (vec_reserve(&queue->frames, queue->frames.count + count))
		return -ENOMEM;
	if (count)
		memcpy(queue->frames.items + queue->frames.count, frames, count * sizeof(*frames));
	queue->frames.count += count;
	item = &queue->items[queue->count++];
	item->sample = *sample;
	item->hash = profile_stack_hash(queue->profile, frames, count);
	item->end = queue->frames.count;
	for (uint32_t i = 0; i < queue->profile->value_type_count; i++)
		item->values[i] = values[i];
	return 0;
}
