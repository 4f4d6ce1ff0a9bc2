/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What dlopener loads, and many_maps copies.
 */
#include "tests/programs/burn.h"

void plugin_work(uint64_t ns);
void plugin_call(void (*function)(uint64_t ns), uint64_t ns);

void plugin_work(uint64_t ns)
{
	BURN(ns);
}

void plugin_call(void (*function)(uint64_t ns), uint64_t ns)
{
	function(ns);
}
