/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * heap_phases FILE SEED [LENGTH [BUSY]]: allocates without end in one of three functions, drawn
 * anew for each phase, whose lengths are exponential: LENGTH (3) milliseconds, about, but it is
 *pieces that are counted, for a program that is slowed has as much to do as before. At each phase's
 *end a row of eight numbers of 64 bits is added to FILE, in a mapping: the boot time in ns, and how
 *many bytes and objects each place has allocated so far; 0: no row yet. It ends when FILE is full.
 *
 *	small	16 to 256 bytes
 *	middle	1 to 16 KiB, written to
 *	large	32 to 512 KiB, a part written to
 *
 * All are freed at once; between two of them it computes for a microsecond, five, and ten.
 *
 * BUSY: of a hundred phases so many allocate, the others compute (100).
 */
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PHASE_SMALL, PHASE_MIDDLE, PHASE_LARGE, PHASES };

#define ROWS (1u << 17)
/* Of work(), some two nanoseconds each. */
#define SMALL_TURNS 500
#define MIDDLE_TURNS 2500
#define LARGE_TURNS 5000

struct row {
	uint64_t time;
	uint64_t bytes[PHASES];
	uint64_t objects[PHASES];
	uint64_t pad;
};

struct phases {
	uint64_t random;
	struct row now;
};

static uint64_t clock_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_BOOTTIME, &time);
	return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t draw(struct phases *phases)
{
	phases->random ^= phases->random << 13;
	phases->random ^= phases->random >> 7;
	phases->random ^= phases->random << 17;
	return phases->random >> 11;
}

static double chance(struct phases *phases)
{
	return (double)draw(phases) / (double)(1ULL << 53);
}

static inline __attribute__((always_inline)) void
piece(struct phases *phases, int phase, uint64_t least, uint64_t most, uint64_t written)
{
	size_t size = least + draw(phases) % (most - least);
	char *memory = malloc(size);

	phases->now.bytes[phase] += size;
	phases->now.objects[phase]++;
	memset(memory, 1, size < written ? size : written);
	__asm__ volatile("" : : "r"(memory) : "memory");
	free(memory);
}

static void work(int turns)
{
	volatile uint32_t sink = 1;

	for (int turn = 0; turn < turns; turn++)
		sink = sink * 1664525u + 1013904223u;
}

__attribute__((noinline)) static void small(struct phases *phases, double length)
{
	for (uint64_t left = (uint64_t)(length * 1600); left--; work(SMALL_TURNS))
		piece(phases, PHASE_SMALL, 16, 256, 256);
}

__attribute__((noinline)) static void middle(struct phases *phases, double length)
{
	for (uint64_t left = (uint64_t)(length * 330); left--; work(MIDDLE_TURNS))
		piece(phases, PHASE_MIDDLE, 1 << 10, 16 << 10, 16 << 10);
}

__attribute__((noinline)) static void large(struct phases *phases, double length)
{
	for (uint64_t left = (uint64_t)(length * 160); left--; work(LARGE_TURNS))
		piece(phases, PHASE_LARGE, 32 << 10, 512 << 10, 4096);
}

int main(int argc, char **argv)
{
	double mean = argc > 3 ? atof(argv[3]) : 3;
	double busy = (argc > 4 ? atof(argv[4]) : 100) / 100;
	struct phases phases = {0};
	struct row *rows;
	int file;

	if (argc < 3) {
		fprintf(stderr, "usage: heap_phases FILE SEED [LENGTH [BUSY]]\n");
		return 2;
	}
	phases.random = strtoull(argv[2], NULL, 10) * 2654435769u + 88172645463325252u;
	file = open(argv[1], O_RDWR | O_CREAT, 0600);
	if (file < 0 || ftruncate(file, ROWS * sizeof(*rows))) {
		perror(argv[1]);
		return 1;
	}
	rows = mmap(NULL, ROWS * sizeof(*rows), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (rows == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (unsigned int i = 0; i < ROWS; i++) {
		double length = -mean * log(1 - chance(&phases));
		double which = chance(&phases) * PHASES;

		if (chance(&phases) >= busy)
			work((int)(length * 500000));
		else if (which < 1)
			small(&phases, length);
		else if (which < 2)
			middle(&phases, length);
		else
			large(&phases, length);
		phases.now.time = clock_ns();
		rows[i] = phases.now;
	}
	return 0;
}
