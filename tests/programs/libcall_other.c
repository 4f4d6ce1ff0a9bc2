/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What remapper maps: the same code as in the other one of these, under another name.
 */
#include <stdint.h>

void call_other(void (*function)(uint64_t ns), uint64_t ns);

void call_other(void (*function)(uint64_t ns), uint64_t ns)
{
	function(ns);
}
