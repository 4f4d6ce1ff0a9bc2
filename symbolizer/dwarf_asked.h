/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The addresses that are about to be asked for, sorted: a unit that is read for
 * them alone leaves out whatever covers none of them. Where a pointer to this may
 * be NULL, that means all addresses.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dwarf_asked {
	const uint64_t *addresses; /* ELF addresses, ascending; the caller's */
	size_t count;
};

/* Some of them: [first, end). */
struct dwarf_asked_part {
	size_t first, end;
};

#define DWARF_ASKED_FEW 8u /* are looked through one by one */

/* The first one within `part` that is not below `address`; part.end if none is. */
static inline size_t dwarf_asked_from(const struct dwarf_asked *asked, struct dwarf_asked_part part,
				      uint64_t address)
{
	while (part.end - part.first > DWARF_ASKED_FEW) {
		size_t middle = part.first + (part.end - part.first) / 2;

		if (asked->addresses[middle] < address)
			part.first = middle + 1;
		else
			part.end = middle;
	}
	while (part.first < part.end && asked->addresses[part.first] < address)
		part.first++;
	return part.first;
}

/* Those of `part` in [start, end). */
static inline struct dwarf_asked_part dwarf_asked_in(const struct dwarf_asked *asked,
						     struct dwarf_asked_part part, uint64_t start,
						     uint64_t end)
{
	struct dwarf_asked_part in = {.first = dwarf_asked_from(asked, part, start)};

	part.first = in.first;
	in.end = in.first < part.end && asked->addresses[in.first] < end
			 ? dwarf_asked_from(asked, part, end)
			 : in.first;
	return in;
}
