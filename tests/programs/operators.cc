/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * operators [ROUNDS [MICROSECONDS [wait]]]: allocates by C++'s operators, and prints as JSON how
 * much at each place. With "wait" it begins when a line comes on standard input.
 *
 *	by_new		new of 16 to 8000 bytes
 *	by_array	new[], and one that does not throw
 *	by_alignment	of 64 bytes' alignment
 */
#include <new>
#include <unistd.h>

#include "tests/programs/counted.h"

extern "C" {
__attribute__((noinline)) static void by_new(truth *truth)
{
	for (int i = 0; i < 50; i++) {
		size_t size = size_between(16, 8000);
		void *memory = ::operator new(size);

		use(memory);
		::operator delete(memory, size);
		count(truth, size);
	}
}

__attribute__((noinline)) static void by_array(truth *truth)
{
	for (int i = 0; i < 30; i++) {
		size_t size = size_between(16, 8000);
		void *memory = i % 2 ? ::operator new[](size) : ::operator new[](size, std::nothrow);

		use(memory);
		::operator delete[](memory);
		count(truth, size);
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
		count(truth, size);
	}
}
}

int main(int argc, char **argv)
{
	long rounds;
	unsigned wait;
	truth single = {}, array = {}, aligned = {};

	if (!rounds_of(argc, argv, &rounds, &wait))
		return 1;
	for (long i = 0; i < rounds; i++) {
		by_new(&single);
		by_array(&array);
		by_alignment(&aligned);
		if (wait)
			usleep(wait);
	}
	printf("{");
	print_truth("by_new", &single, ", ");
	print_truth("by_array", &array, ", ");
	print_truth("by_alignment", &aligned, "}\n");
	return 0;
}
