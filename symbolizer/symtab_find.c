/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a table of symbols is asked for once it is there; symtab.c makes it.
 */
#include <string.h>

#include "symbolizer/symtab.h"

/* The last range that begins at the address or before; NULL: none does. */
static const struct symtab_range *last_before(const struct symtab *symtab, uint64_t address)
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
	return low ? &ranges[low - 1] : NULL;
}

const struct symtab_range *symtab_range_of(const struct symtab *symtab, uint64_t address)
{
	const struct symtab_range *range = last_before(symtab, address);

	return range && address - range->address < range->size ? range : NULL;
}

const char *symtab_find(const struct symtab *symtab, uint64_t address)
{
	const struct symtab_range *range = symtab_range_of(symtab, address);

	return range ? symtab->names.items + range->name : NULL;
}

bool symtab_names_any(const struct symtab *symtab, uint64_t start, uint64_t end)
{
	const struct symtab_range *range = end > start ? last_before(symtab, end - 1) : NULL;

	return range && (range->address >= start || start - range->address < range->size);
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
