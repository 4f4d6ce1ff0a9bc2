/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any text as a name: each form is within its bounds, the same when it is asked for
 * again, and its fold is not longer than what is folded.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/demangle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct demangler *demangler, const char *name, enum demangle_form form)
{
	uint32_t number = demangler_find(demangler, name, form);

	if (number != demangler_find(demangler, name, form))
		abort();
	if (number != DEMANGLE_SAME &&
	    strlen(demangler_text(demangler, number)) > DEMANGLE_LENGTH_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct demangler demangler = {0};
	char *name = malloc(size + 1), *brief = malloc(size + 1);

	if (!name || !brief)
		abort();
	memcpy(name, data, size);
	name[size] = '\0';
	demangle_fold(name, brief, size + 1);
	if (strlen(brief) > strlen(name))
		abort();
	check(&demangler, name, DEMANGLE_SHORT);
	check(&demangler, name, DEMANGLE_FULL);
	demangler_deinit(&demangler);
	free(name);
	free(brief);
	return 0;
}
