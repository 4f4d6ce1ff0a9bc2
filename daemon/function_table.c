/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/function_table.h"

#include <stddef.h>

#define PAGE_SHIFT 12 /* some dozens of functions */
#define NONE UINT32_MAX

void function_table_deinit(struct function_table *table)
{
	vec_free(&table->items);
	hashmap_deinit(&table->pages);
}

static uint64_t page_of(uint32_t image, uint64_t offset)
{
	return (uint64_t)image << 40 ^ offset >> PAGE_SHIFT;
}

static const struct known_function *find(const struct function_table *table, uint32_t image,
					 uint64_t offset)
{
	const uint64_t *first = hashmap_get(&table->pages, page_of(image, offset));
	uint32_t at = first ? (uint32_t)*first : NONE;

	for (; at != NONE; at = table->items.items[at].next) {
		const struct known_function *known = &table->items.items[at];

		if (known->image == image && offset - known->start < known->size)
			return known;
	}
	return NULL;
}

/* At the head of its page's list. */
static void put(struct function_table *table, const struct known_function *function, uint64_t page)
{
	const uint64_t *first = hashmap_get(&table->pages, page);
	struct known_function item = *function;

	item.next = first ? (uint32_t)*first : NONE;
	if (!vec_push(&table->items, item) &&
	    hashmap_put(&table->pages, page, table->items.count - 1))
		table->items.count--;
}

void function_table_add(struct function_table *table, const struct known_function *function,
			uint64_t offset)
{
	if (!function->start || offset < function->start ||
	    offset - function->start >= function->size ||
	    function->start + function->size < function->start ||
	    find(table, function->image, offset))
		return;
	if (table->items.count >= FUNCTION_TABLE_MAX) {
		vec_clear(&table->items);
		hashmap_clear(&table->pages);
		table->resets++;
	}
	put(table, function, page_of(function->image, offset));
}

const struct known_function *function_table_find(struct function_table *table, uint32_t image,
						 uint64_t offset)
{
	const struct known_function *known = find(table, image, offset);

	table->hits += known != NULL;
	return known;
}

/* They stay in their lists until all are forgotten, and cover nothing. */
void function_table_forget(struct function_table *table, uint32_t image)
{
	for (size_t i = 0; i < table->items.count; i++)
		if (table->items.items[i].image == image)
			table->items.items[i].size = 0;
}
