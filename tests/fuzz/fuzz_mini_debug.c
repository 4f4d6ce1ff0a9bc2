/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as symbols packed into a program: an error that names the section, or an
 * ELF file whose symbols can be read.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/mini_debug.h"
#include "symbolizer/symtab.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mini_debug mini = {0};
	struct error error = {0};
	struct symtab symtab;

	if (mini_debug_init_packed(&mini, data, size, &error)) {
		if (!strstr(error.text, ".gnu_debugdata"))
			abort();
		return 0;
	}
	if (!symtab_init_debug(&symtab, &mini.image, &mini.image, &error))
		symtab_deinit(&symtab);
	mini_debug_deinit(&mini);
	return 0;
}
