/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * two_allocators [ROUNDS [MICROSECONDS [wait]]]: a program that brings an allocator along, under
 * names with a prefix as jemalloc's, and uses the C library's beside it. It prints as JSON how
 * much it allocated at each place. With "wait" it begins when a line comes on standard input.
 *
 *	by_own		je_malloc and je_calloc, 16 to 8000 bytes
 *	by_own_resize	je_realloc of what it has, 100 to 5000 bytes
 *	by_libc		malloc, freed at once
 */
#include <unistd.h>

#include "tests/programs/counted.h"

#define ARENA (1u << 20)

static unsigned char arena[ARENA];
static size_t used;

/* Nothing is given back: the arena begins anew. */
static void *take(size_t size)
{
	size_t at = used;

	if (size > ARENA / 2)
		return NULL;
	if (at + size > ARENA)
		at = 0;
	used = (at + size + 15) & ~(size_t)15;
	return arena + at;
}

/* Never called, and nobody can put a probe there: the kernel takes none on such an instruction. */
__asm__(".text\n"
	".globl je_valloc\n"
	".type je_valloc, @function\n"
	"je_valloc:\n"
	"	hlt\n"
	"	ret\n"
	".size je_valloc, . - je_valloc\n");

void *je_malloc(size_t size);
void *je_calloc(size_t number, size_t size);
void *je_realloc(void *old, size_t size);

__attribute__((noipa)) void *je_malloc(size_t size)
{
	return take(size);
}

__attribute__((noipa)) void *je_calloc(size_t number, size_t size)
{
	return take(number * size);
}

__attribute__((noipa)) void *je_realloc(void *old, size_t size)
{
	use(old);
	return take(size);
}

__attribute__((noinline)) static void by_own(struct truth *truth)
{
	for (int i = 0; i < 50; i++) {
		size_t size = size_between(16, 8000);

		use(i % 2 ? je_malloc(size) : je_calloc(1, size));
		count(truth, size);
	}
}

__attribute__((noinline)) static void by_own_resize(struct truth *truth)
{
	static unsigned char first[16];
	void *memory = first;

	for (int i = 0; i < 20; i++) {
		size_t size = size_between(100, 5000);

		memory = je_realloc(memory, size);
		use(memory);
		count(truth, size);
	}
}

__attribute__((noinline)) static void by_libc(struct truth *truth)
{
	for (int i = 0; i < 50; i++) {
		size_t size = size_between(16, 8000);
		void *memory = malloc(size);

		use(memory);
		free(memory);
		count(truth, size);
	}
}

int main(int argc, char **argv)
{
	long rounds;
	unsigned wait;
	struct truth own = {0}, resized = {0}, libc = {0};

	if (!rounds_of(argc, argv, &rounds, &wait))
		return 1;
	for (long i = 0; i < rounds; i++) {
		by_own(&own);
		by_own_resize(&resized);
		by_libc(&libc);
		if (wait)
			usleep(wait);
	}
	printf("{");
	print_truth("by_own", &own, ", ");
	print_truth("by_own_resize", &resized, ", ");
	print_truth("by_libc", &libc, "}\n");
	return 0;
}
