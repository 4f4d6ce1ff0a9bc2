/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/raw_stacks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RAW_BYTES_MAX (32u << 20)
/* A file's table takes some 100 ms at most, but there is one worker, a program may map many files
 * that were never seen before, and the machine may be busy. Nobody waits for what is not being
 * made; and results wait for names for longer. */
#define RAW_WAIT_NS 6000000000ULL
#define TRIES_MAX 64 /* files in one stack */

static void drop(struct raw_stacks *stacks, struct raw_stack *item)
{
	stacks->bytes -= item->raw->hdr.size;
	free(item->raw);
	mapping_set_unref(item->maps);
	process_unref(item->process);
}

void raw_stacks_deinit(struct raw_stacks *stacks)
{
	for (size_t i = 0; i < stacks->items.count; i++)
		drop(stacks, &stacks->items.items[i]);
	vec_free(&stacks->items);
}

int raw_stacks_put(struct raw_stacks *stacks, const struct abi_raw *raw, struct process *process,
		   uint64_t now)
{
	struct raw_stack item = {.until = now + RAW_WAIT_NS};

	if (raw->hdr.size < sizeof(*raw) || raw->bytes > raw->hdr.size - sizeof(*raw))
		return -EINVAL;
	if (stacks->bytes + raw->hdr.size > RAW_BYTES_MAX)
		return -ENOSPC;
	item.raw = malloc(raw->hdr.size);
	if (!item.raw || vec_reserve(&stacks->items, stacks->items.count + 1)) {
		free(item.raw);
		return -ENOMEM;
	}
	memcpy(item.raw, raw, raw->hdr.size);
	item.process = process_ref(process);
	/* Its mappings may be others by the time it is walked. */
	if (process->maps_state == MAPS_KNOWN && process->maps)
		item.maps = mapping_set_ref(process->maps);
	stacks->items.items[stacks->items.count++] = item;
	stacks->bytes += raw->hdr.size;
	stacks->kept++;
	return 0;
}

/* Nothing it waits for has come since. */
static bool still_waits(struct raw_stack *item, const struct raw_stacks_walk *how)
{
	if (!item->maps && item->process->maps_state == MAPS_KNOWN && item->process->maps)
		item->maps = mapping_set_ref(item->process->maps);
	return !item->maps || (item->lacks && unwinder_awaits(how->unwinder, item->lacks));
}

/* True when it is done with. */
static bool walk_one(struct raw_stacks *stacks, struct raw_stack *item,
		     const struct raw_stacks_walk *how)
{
	const struct source_ops *ops = how->source->ops;
	bool last = how->last || how->now >= item->until;
	struct host_stack stack;

	if (!last && still_waits(item, how))
		return false;
	for (unsigned int tries = 0;
	     !ops->walk(how->source, item->raw, item->maps, last, &stack, &item->lacks); tries++) {
		if (!unwinder_awaits(how->unwinder, item->lacks))
			unwinder_missed(how->unwinder, item->lacks);
		if (unwinder_awaits(how->unwinder, item->lacks))
			return false;
		/* It is there now, or will not come soon. */
		last = !unwinder_has(how->unwinder, item->lacks) || tries == TRIES_MAX;
	}
	stacks->results[stack.stack.hdr.reason]++;
	how->done(how->context, item->process, &stack.stack);
	return true;
}

void raw_stacks_walk(struct raw_stacks *stacks, const struct raw_stacks_walk *how)
{
	size_t kept = 0;

	for (size_t i = 0; i < stacks->items.count; i++) {
		struct raw_stack item = stacks->items.items[i];

		if (walk_one(stacks, &item, how))
			drop(stacks, &item);
		else
			stacks->items.items[kept++] = item;
	}
	stacks->items.count = kept;
}
