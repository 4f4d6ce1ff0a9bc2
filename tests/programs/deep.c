/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * deep [DEPTH] [CPU_MS]: burns CPU_MS in bottom, DEPTH calls of descend below main.
 */
#include "tests/programs/burn.h"

static void bottom(uint64_t ns)
{
	BURN(ns);
}

static uint64_t descend(uint64_t depth, uint64_t ns)
{
	if (!depth) {
		bottom(ns);
		return 0;
	}
	return descend(depth - 1, ns) + 1;
}

int main(int argc, char **argv)
{
	uint64_t depth = number(argc, argv, 1, 100);

	/* Itself the first, so depth - 1 below it. */
	return descend(depth - 1, number(argc, argv, 2, 500) * MS) == depth - 1 ? 0 : 1;
}
