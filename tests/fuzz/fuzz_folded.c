/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Folded lines, of one and two columns, as a person's file may have them.
 */
#include "tests/fuzz/read_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return read_format("folded", data, size);
}
