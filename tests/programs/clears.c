/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * clears: says "ready", and then has calloc(3) clear 100 KiB again and again, in zeroes(), which
 * main() calls, until its standard input ends: most of its time it is inside the allocator.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BYTES (100u << 10)

__attribute__((noinline)) static void zeroes(void)
{
	for (int i = 0; i < 1000; i++) {
		char *memory = calloc(1, BYTES);

		__asm__ volatile("" : : "r"(memory) : "memory");
		if (memory)
			memory[BYTES / 2] = 1;
		free(memory);
	}
	__asm__ volatile("");
}

int main(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	void *memory;

	puts("ready");
	fflush(stdout);
	/* What is freed is not given back to the kernel, for something lies behind it. */
	memory = malloc(BYTES);
	if (!memory || !malloc(16))
		return 1;
	free(memory);
	while (!poll(&input, 1, 0))
		zeroes();
	return 0;
}
