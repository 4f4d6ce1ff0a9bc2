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
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct truth {
	uint64_t objects, bytes, live_objects, live_bytes;
};

static uint64_t state = 88172645463325252ull;

static size_t size_between(size_t low, size_t high)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return low + (size_t)(state % (high - low + 1));
}

static void count(struct truth *truth, size_t size)
{
	truth->objects++;
	truth->bytes += size;
}

/* The result must be used, or the compiler leaves the call out. */
static void use(void *memory)
{
	__asm__ volatile("" : : "r"(memory) : "memory");
}

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

static void print(const char *name, const struct truth *truth, const char *end)
{
	printf("\"%s\": {\"objects\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"live_objects\": %" PRIu64 ", \"live_bytes\": %" PRIu64 "}%s",
	       name, truth->objects, truth->bytes, truth->live_objects, truth->live_bytes, end);
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 1000, wait = argc > 2 ? atol(argv[2]) : 0;
	struct truth churned = {0}, grown = {0}, kept = {0};

	if (argc > 3 && getchar() == EOF)
		return 1;
	for (long i = 0; i < rounds; i++) {
		churn(&churned);
		grow(&grown);
		keep(&kept);
		if (wait)
			usleep((useconds_t)wait);
	}
	printf("{");
	print("churn", &churned, ", ");
	print("grow", &grown, ", ");
	print("keep", &kept, "}\n");
	return 0;
}
