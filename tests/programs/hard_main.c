/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The cases written in C and assembler: see hard.h.
 */
#include "tests/programs/hard.h"

#include <sys/prctl.h>

void bottom(uint64_t ns)
{
	BURN(ns);
}

int hard_main(int argc, char **argv, const struct hard_case *const *tables)
{
	const char *wanted = argc > 1 ? argv[1] : "--list";
	int list = !strcmp(wanted, "--list");

	for (; *tables; tables++) {
		for (const struct hard_case *one = *tables; one->name; one++) {
			if (list)
				printf("%s\t%s\t%s\n", one->name, one->leaf, one->pattern);
			if (strcmp(one->name, wanted) != 0)
				continue;
			prctl(PR_SET_NAME, one->name); /* its samples by this name */
			one->run(number(argc, argv, 2, 500) * MS);
			AFTER_CALL();
			return 0;
		}
	}
	if (!list)
		fprintf(stderr, "%s: no such case\n", wanted);
	return !list;
}
