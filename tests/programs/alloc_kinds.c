/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * alloc_kinds KIND: allocates in its own way, from a line on standard input to the next (or the
 * end of it), at three places of its own, and prints as JSON how much it was at each of them:
 *
 *	little	some hundred pieces of 20 to 500 bytes a second
 *	bursts	the same, and 10 pieces of 1 to 9 MiB at once, every four seconds
 *	small	as many pieces of 8 to 128 bytes as 2 ms in 3 give, at 20,000 a second at most
 *	heavy	3,000 pieces of 8 to 64 KiB a second and more
 *
 * All are freed at once.
 */
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs/counted.h"

static void take(struct truth *truth, size_t size)
{
	void *memory = malloc(size);

	count(truth, size);
	use(memory);
	free(memory);
}

__attribute__((noinline)) static void take_little(struct truth *truth)
{
	for (int i = 0; i < 10; i++)
		take(truth, size_between(20, 500));
	use(truth);
}

__attribute__((noinline)) static void take_large(struct truth *truth)
{
	for (int i = 0; i < 10; i++)
		take(truth, size_between(1 << 20, 9 << 20));
	use(truth);
}

__attribute__((noinline)) static void take_small(struct truth *truth)
{
	for (int i = 0; i < 600; i++)
		take(truth, size_between(8, 128));
	use(truth);
}

__attribute__((noinline)) static void take_heavy(struct truth *truth)
{
	for (int i = 0; i < 90; i++)
		take(truth, size_between(8 << 10, 64 << 10));
	use(truth);
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Whether there is something to read, within so many milliseconds. No buffers: they are
 * allocations, too. */
static int wait_line(int ms)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	char c = 0;

	if (poll(&in, 1, ms) <= 0)
		return 0;
	while (read(STDIN_FILENO, &c, 1) == 1 && c != '\n')
		;
	return 1;
}

int main(int argc, char **argv)
{
	const char *kind = argc > 1 ? argv[1] : "little";
	struct truth little = {0}, large = {0}, small = {0}, heavy = {0};
	uint64_t burst;

	wait_line(-1);
	burst = now_ms() + 1000;
	while (!wait_line(30)) {
		if (!strcmp(kind, "small")) {
			take_small(&small);
			continue;
		}
		if (!strcmp(kind, "heavy")) {
			take_heavy(&heavy);
			continue;
		}
		take_little(&little);
		if (!strcmp(kind, "bursts") && now_ms() >= burst) {
			take_large(&large);
			burst += 4000;
		}
	}
	printf("{");
	print_truth("take_little", &little, ", ");
	print_truth("take_large", &large, ", ");
	print_truth("take_small", &small, ", ");
	print_truth("take_heavy", &heavy, "}\n");
	return 0;
}
