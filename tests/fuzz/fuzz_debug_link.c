/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Any bytes as a section .gnu_debuglink: a name that can be a file's in a folder, or
 * none.
 */
#include <stdlib.h>
#include <string.h>

#include "symbolizer/debug_link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct debug_link link;

	debug_link_parse(data, size, &link);
	if (strnlen(link.name, sizeof(link.name)) > DEBUG_LINK_NAME_MAX || strchr(link.name, '/') ||
	    !strcmp(link.name, "..") || (!link.name[0] && link.crc))
		abort();
	return 0;
}
