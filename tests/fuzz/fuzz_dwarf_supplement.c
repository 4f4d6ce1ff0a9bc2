/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as a .gnu_debugaltlink or a .debug_sup: nothing, or a path that ends
 * and an id that is not empty.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/dwarf_supplement.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dwarf_supplement supplement;

	for (int standard = 0; standard < 2; standard++) {
		uint8_t *copy = malloc(size + !size);

		if (!copy)
			abort();
		memcpy(copy, data, size);
		memset(&supplement, 0xa5, sizeof(supplement));
		dwarf_supplement_parse(copy, size, standard, &supplement);
		free(copy);
		if (!memchr(supplement.path, 0, sizeof(supplement.path)) ||
		    !supplement.path[0] != !supplement.id_size ||
		    supplement.id_size > DWARF_SUPPLEMENT_ID_MAX)
			abort();
	}
	return 0;
}
