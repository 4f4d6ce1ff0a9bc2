/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * allocs [ROUNDS [MICROSECONDS [wait]]]: allocates at three places of its own, waits that many
 * microseconds after each round, and prints as JSON how much it was at each of them, and
 * how much of it is still in use. With "wait" it begins when a line comes on standard input.
 *
 *	churn   16 to 8000 bytes, freed at once
 *	grow    24 to 2000 bytes by realloc, in two steps, then freed
 *	keep    one of 100 to 5000 bytes a round, never freed
 */
#include <string.h>
#include <unistd.h>

#include "tests/programs/counted.h"

__attribute__((noinline)) static void churn(struct truth *truth)
{
	for (int i = 0; i < 100; i++) {
		size_t size = size_between(16, 8000);
		void *memory = malloc(size);

		count(truth, size);
		use(memory);
		free(memory);
	}
}

__attribute__((noinline)) static void grow(struct truth *truth)
{
	for (int i = 0; i < 20; i++) {
		size_t size = size_between(24, 1000);
		void *memory = calloc(1, size);

		count(truth, size);
		use(memory);
		size *= 2;
		memory = realloc(memory, size);
		count(truth, size);
		use(memory);
		free(memory);
	}
}

__attribute__((noinline)) static void keep(struct truth *truth)
{
	size_t size = size_between(100, 5000);
	void *memory = malloc(size);

	memset(memory, 1, size);
	count(truth, size);
	use(memory);
	truth->live_objects++;
	truth->live_bytes += size;
}

int main(int argc, char **argv)
{
	long rounds;
	unsigned wait;
	struct truth churned = {0}, grown = {0}, kept = {0};

	if (!rounds_of(argc, argv, &rounds, &wait))
		return 1;
	for (long i = 0; i < rounds; i++) {
		churn(&churned);
		grow(&grown);
		keep(&kept);
		if (wait)
			usleep(wait);
	}
	printf("{");
	print_truth("churn", &churned, ", ");
	print_truth("grow", &grown, ", ");
	print_truth("keep", &kept, "}\n");
	return 0;
}
