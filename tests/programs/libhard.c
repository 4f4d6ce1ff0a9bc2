/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What hard_process.c loads, and what calls it back.
 */
#include "tests/programs/hard.h"

KEEP void plugin_call(uint64_t ns, void (*back)(uint64_t ns));

void plugin_call(uint64_t ns, void (*back)(uint64_t ns))
{
	back(ns);
	AFTER_CALL();
}
