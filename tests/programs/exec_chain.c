/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * exec_chain [LINKS] [CPU_MS]: burns CPU_MS in before_exec and executes itself,
 * LINKS times in one process; the last one burns in after_exec.
 */
#include "tests/programs/burn.h"

#include <unistd.h>

static void before_exec(uint64_t ns)
{
	BURN(ns);
}

static void after_exec(uint64_t ns)
{
	BURN(ns);
}

int main(int argc, char **argv)
{
	uint64_t links = number(argc, argv, 1, 3), ms = number(argc, argv, 2, 100);
	char links_text[32], ms_text[32];

	if (!links) {
		after_exec(ms * MS);
		return 0;
	}
	before_exec(ms * MS);
	snprintf(links_text, sizeof(links_text), "%llu", (unsigned long long)links - 1);
	snprintf(ms_text, sizeof(ms_text), "%llu", (unsigned long long)ms);
	execl(argv[0], argv[0], links_text, ms_text, (char *)NULL);
	return 127;
}
