/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * heap_capped OBJECTS BYTES: with a line on standard input allocates so many of that size in
 * take(), and says so; with the next one frees them all, and ends.
 */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) static void *take(size_t bytes)
{
	void *memory = malloc(bytes);

	__asm__ volatile("" : : "r"(memory) : "memory");
	return memory;
}

int main(int argc, char **argv)
{
	size_t objects = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	size_t bytes = argc > 2 ? strtoul(argv[2], NULL, 10) : 4096;
	void **all = calloc(objects, sizeof(*all));

	if (!all || getchar() == EOF)
		return 1;
	while (getchar() != '\n')
		;
	for (size_t i = 0; i < objects; i++)
		all[i] = take(bytes);
	puts("all are in use");
	fflush(stdout);
	if (getchar() == EOF)
		return 1;
	for (size_t i = 0; i < objects; i++)
		free(all[i]);
	free(all);
	return 0;
}
