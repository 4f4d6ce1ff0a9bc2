/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap_table.h"

#include "daemon/base/clock.h"
#include "daemon/heap_follow.h"
#include "daemon/source_heap.h"

#define LARGE 65536u /* objects: a smaller one is made in no time */
/* Of observed time, in which a sixteenth of a large one is filled at the most: by what has two
 * thousand samples a second, and frees none (alloc_pattern.h). */
#define KEPT_NS (2 * NSEC_PER_SEC)

int heap_table_take(struct heap_table *table, struct source_heap *heap, uint32_t pid,
		    uint32_t objects, uint64_t observed_ns, uint32_t *count)
{
	int r;

	if (table->there)
		return 0;
	r = source_heap_follow(heap, pid, objects);
	if (r)
		return r;
	*table = (struct heap_table){.there = true, .made_at = observed_ns};
	++*count;
	return 0;
}

void heap_table_leave(struct heap_table *table, struct source_heap *heap, uint32_t pid,
		      uint32_t objects, uint64_t observed_ns, uint32_t *count)
{
	if (objects < LARGE || observed_ns - table->made_at >= KEPT_NS || *count > HEAP_FATES_MAX)
		heap_table_drop(table, heap, pid, count);
}

void heap_table_drop(struct heap_table *table, struct source_heap *heap, uint32_t pid,
		     uint32_t *count)
{
	if (!table->there)
		return;
	source_heap_follow(heap, pid, 0);
	table->there = false;
	--*count;
}
