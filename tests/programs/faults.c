/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * faults [ROUNDS [MILLISECONDS]]: touches new memory, three quarters of it in one
 * function and a quarter in another, and prints as JSON how many page faults the
 * kernel counted. Between two rounds it waits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define PAGE 4096ul
#define PAGES 4000ul

/* Not one function with a count: the compiler must keep both. */
__attribute__((noinline)) static void touch_three_quarters(char *at)
{
	for (unsigned long i = 0; i < PAGES / 4 * 3; i++)
		*(volatile char *)(at + i * PAGE) = 1;
}

__attribute__((noinline)) static void touch_a_quarter(char *at)
{
	for (unsigned long i = 0; i < PAGES / 4; i++)
		*(volatile char *)(at + i * PAGE) = 2;
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 50, wait_ms = argc > 2 ? atol(argv[2]) : 1;
	struct rusage usage;

	for (long i = 0; i < rounds; i++) {
		char *memory = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (memory == MAP_FAILED)
			return 1;
		madvise(memory, PAGES * PAGE, MADV_NOHUGEPAGE);
		touch_three_quarters(memory);
		touch_a_quarter(memory + PAGES / 4 * 3 * PAGE);
		munmap(memory, PAGES * PAGE);
		usleep((useconds_t)wait_ms * 1000);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"faults\": %ld, \"rounds\": %ld, \"pages\": %lu}\n",
	       usage.ru_minflt + usage.ru_majflt, rounds, PAGES);
	return 0;
}
