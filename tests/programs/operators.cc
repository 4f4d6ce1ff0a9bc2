/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * operators [ROUNDS [MICROSECONDS [wait]]]: allocates by C++'s operators, and prints as JSON how
 * much at each place. With "wait" it begins when a line comes on standard input.
 *
 *	by_new		new of 16 to 8000 bytes
 *	by_array	new[], and one that does not throw
 *	by_alignment	of 64 bytes' alignment
 */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <unistd.h>

static uint64_t state = 88172645463325252ull;

static size_t size_between(size_t low, size_t high)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return low + (size_t)(state % (high - low + 1));
}

static void use(void *memory)
{
	__asm__ volatile("" : : "r"(memory) : "memory");
}

struct truth {
	uint64_t objects, bytes;

	void count(size_t size)
	{
		objects++;
		bytes += size;
	}
};

extern "C" {
__attribute__((noinline)) static void by_new(truth *truth)
{
	for (int i = 0; i < 50; i++) {
		size_t size = size_between(16, 8000);
		void *memory = ::operator new(size);

		use(memory);
		::operator delete(memory, size);
		truth->count(size);
	}
}

__attribute__((noinline)) static void by_array(truth *truth)
{
	for (int i = 0; i < 30; i++) {
		size_t size = size_between(16, 8000);
		void *memory = i % 2 ? ::operator new[](size) : ::operator new[](size, std::nothrow);

		use(memory);
		::operator delete[](memory);
		truth->count(size);
	}
}

/* Whole multiples of the alignment, as some allocators take more than was asked for. */
__attribute__((noinline)) static void by_alignment(truth *truth)
{
	for (int i = 0; i < 20; i++) {
		size_t size = size_between(1, 100) * 64;
		void *memory = ::operator new(size, std::align_val_t(64));

		use(memory);
		::operator delete(memory, std::align_val_t(64));
		truth->count(size);
	}
}
}

static void print(const char *name, const truth *truth, const char *end)
{
	printf("\"%s\": {\"objects\": %" PRIu64 ", \"bytes\": %" PRIu64 "}%s", name, truth->objects,
	       truth->bytes, end);
}

int main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 1000, wait = argc > 2 ? atol(argv[2]) : 0;
	truth single = {}, array = {}, aligned = {};

	if (argc > 3 && getchar() == EOF)
		return 1;
	for (long i = 0; i < rounds; i++) {
		by_new(&single);
		by_array(&array);
		by_alignment(&aligned);
		if (wait)
			usleep((useconds_t)wait);
	}
	printf("{");
	print("by_new", &single, ", ");
	print("by_array", &array, ", ");
	print("by_alignment", &aligned, "}\n");
	return 0;
}
