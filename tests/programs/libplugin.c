/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What dlopener loads.
 */
#include "tests/programs/burn.h"

void plugin_work(uint64_t ns);

void plugin_work(uint64_t ns)
{
	BURN(ns);
}
