/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a table of symbols is asked for once it is there; symtab.c makes it.
 */
#include <string.h>

#include "symbolizer/symtab.h"

const char *symtab_find(const struct symtab *symtab, uint64_t address)
{
	const struct symtab_range *ranges = symtab->ranges.items;
	size_t low = 0, high = symtab->ranges.count;

	/* The first range above the address is at `low` in the end. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || address - ranges[low - 1].address >= ranges[low - 1].size)
		return NULL;
	return symtab->names.items + ranges[low - 1].name;
}

bool symtab_is_also(const struct symtab *symtab, const char *name, const char *other)
{
	uint32_t at = (uint32_t)(name - symtab->names.items);
	size_t low = 0, high = symtab->aliases.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (symtab->aliases.items[middle].name < at)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < symtab->aliases.count && symtab->aliases.items[low].name == at; low++) {
		if (!strcmp(symtab->names.items + symtab->aliases.items[low].other, other))
			return true;
	}
	return false;
}

size_t symtab_memory(const struct symtab *symtab)
{
	return symtab->ranges.capacity * sizeof(*symtab->ranges.items) + symtab->names.capacity +
	       symtab->aliases.capacity * sizeof(*symtab->aliases.items);
}
