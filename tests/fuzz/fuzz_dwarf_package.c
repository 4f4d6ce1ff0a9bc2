/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as the index of a package of split units: refused with the section and the offset,
 * or units in order, each of which is found.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/dwarf_package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dwarf_package package;
	struct error error = {0};
	int r = dwarf_package_parse(&package, data, size, &error);

	if (r) {
		if (!error.code || strncmp(error.text, "section .debug_cu_index", 23) != 0)
			abort();
		return 0;
	}
	if (package.units.count > size / 12)
		abort();
	for (size_t i = 0; i < package.units.count; i++) {
		const struct dwarf_contribution *unit = &package.units.items[i];
		const struct dwarf_contribution *found = dwarf_package_at(&package, unit->info);

		if (!found || found->info != unit->info || (i && unit->info < unit[-1].info))
			abort();
	}
	dwarf_package_deinit(&package);
	return 0;
}
