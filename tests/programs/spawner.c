/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * spawner [CHILDREN] [CPU_MS]: forks CHILDREN, each of which forks one more; every
 * one burns CPU_MS: in parent_work, child_work or grandchild_work.
 */
#include "tests/programs/burn.h"

#include <sys/wait.h>
#include <unistd.h>

static void parent_work(uint64_t ns)
{
	BURN(ns);
}

static void child_work(uint64_t ns)
{
	BURN(ns);
}

static void grandchild_work(uint64_t ns)
{
	BURN(ns);
}

static void child(uint64_t ns)
{
	if (!fork()) {
		grandchild_work(ns);
		_exit(0);
	}
	child_work(ns);
	while (wait(NULL) > 0)
		;
	_exit(0);
}

int main(int argc, char **argv)
{
	uint64_t children = number(argc, argv, 1, 3), ns = number(argc, argv, 2, 300) * MS;

	for (uint64_t i = 0; i < children; i++) {
		if (!fork())
			child(ns);
	}
	parent_work(ns);
	while (wait(NULL) > 0)
		;
	return 0;
}
