/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * mappings [ROUNDS [MILLISECONDS]]: after a wait, takes and gives back address space at places
 * of its own, and prints as JSON how many bytes and calls at each.
 *
 *	take_many	mmap of 1 to 8 pages, ten times a round
 *	take_large	mmap of 1 to 4 MiB
 *	grow_mapping	mremap of one from 16 to 64 pages
 *	grow_heap	brk, 1 to 4 pages more
 *	give_back	munmap of all of those that were mapped
 *	shrink_heap	brk, back to where it was
 *	fails		mmap of no bytes, and brk(0): nothing
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096ull

enum { MANY, LARGE, MAPPING, HEAP, BACK, SHRINK, PLACES };
static const char *const names[PLACES] = {"take_many", "take_large", "grow_mapping",
					  "grow_heap", "give_back",  "shrink_heap"};
static uint64_t bytes[PLACES], calls[PLACES];
static uint64_t state = 88172645463325252ull;

static uint64_t between(uint64_t low, uint64_t high)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return low + state % (high - low + 1);
}

static void count(int place, uint64_t size)
{
	bytes[place] += size;
	calls[place]++;
}

/* As system calls, so that no allocator has an opinion. */
static char *map(uint64_t size)
{
	long at = syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == -1)
		abort();
	return (char *)at;
}

__attribute__((noinline)) static void give_back(char *at, uint64_t size)
{
	if (syscall(SYS_munmap, at, size))
		abort();
	count(BACK, size);
}

__attribute__((noinline)) static void take_many(void)
{
	char *at[10];
	uint64_t size[10];

	for (int i = 0; i < 10; i++) {
		size[i] = between(1, 8) * PAGE;
		at[i] = map(size[i] - between(0, 1) * 100); /* rounded up to a page */
		count(MANY, size[i]);
	}
	for (int i = 0; i < 10; i++)
		give_back(at[i], size[i]);
}

__attribute__((noinline)) static void take_large(void)
{
	uint64_t size = between(256, 1024) * PAGE;
	char *at = map(size);

	count(LARGE, size);
	give_back(at, size);
}

__attribute__((noinline)) static char *grow_mapping(char *at)
{
	long to = syscall(SYS_mremap, at, 16 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);

	if (to == -1)
		abort();
	count(MAPPING, 48 * PAGE);
	return (char *)to;
}

__attribute__((noinline)) static void grow_heap(char *from, uint64_t size)
{
	if (syscall(SYS_brk, from + size) != (long)(from + size))
		abort();
	count(HEAP, size);
}

__attribute__((noinline)) static void shrink_heap(char *to, uint64_t size)
{
	if (syscall(SYS_brk, to) != (long)to)
		abort();
	count(SHRINK, size);
}

__attribute__((noinline)) static void fails(void)
{
	syscall(SYS_brk, 0);
	syscall(SYS_mmap, NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 1000;

	if (argc > 2)
		usleep((useconds_t)atol(argv[2]) * 1000);
	for (long i = 0; i < rounds; i++) {
		uint64_t size = between(1, 4) * PAGE;
		char *heap, *small;

		take_many();
		take_large();
		small = map(16 * PAGE);
		give_back(grow_mapping(small), 64 * PAGE);
		heap = (char *)((syscall(SYS_brk, 0) + (long)PAGE - 1) & ~((long)PAGE - 1));
		grow_heap(heap, size);
		shrink_heap(heap, size);
		fails();
	}
	printf("{");
	for (int i = 0; i < PLACES; i++)
		printf("%s\"%s\": {\"calls\": %" PRIu64 ", \"bytes\": %" PRIu64 "}", i ? ", " : "",
		       names[i], calls[i], bytes[i]);
	printf("}\n");
	return 0;
}
