/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Programs that use memory in a known way, for what is said of them:
 *
 *	heap_story leak SECONDS		1 MB/s is forgotten, among 500 MB/s that is not
 *	heap_story fragment SECONDS	much is resident, and little of it in use
 *	heap_story cache SECONDS	a start, and a cache that fills for 10 s and then evicts
 *	heap_story peak			5 MB for a second, 40 MB more for half of one, gone again
 *	heap_story exit ROUNDS		temporary ones, ones of 20 ms, and some that stay until exit
 *	heap_story grow			until somebody puts an end to it
 *
 * With "wait" as the last argument it first reads lines: at "warm" it allocates and frees
 * somewhat in warm_up(), for whoever makes himself ready, at "go" it begins.
 * At its end it prints as JSON what is true of it: bytes and objects, times by CLOCK_REALTIME.
 */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs/counted.h"

#define TICK_NS 10000000ull
#define SECOND 1000000000ull
#define MB 1000000ull

static uint64_t now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* Its first byte is written. */
static void *touched(void *memory)
{
	if (!memory)
		abort();
	*(volatile char *)memory = 1;
	use(memory);
	return memory;
}

static void sleep_until(uint64_t at)
{
	struct timespec time = {(time_t)(at / SECOND), (long)(at % SECOND)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL))
		;
}

/* ---- leak ---- */

#define RING 64u

__attribute__((noinline)) static void serve(uint64_t bytes)
{
	static void *ring[RING];
	static unsigned int at;

	while (bytes > 8000) {
		size_t size = size_between(200, 8000);

		free(ring[at]);
		ring[at] = touched(malloc(size));
		at = (at + 1) % RING;
		bytes -= size;
	}
}

static void *forgotten;

__attribute__((noinline)) static uint64_t remember(uint64_t bytes, uint64_t *objects)
{
	uint64_t sum = 0;

	for (; sum < bytes; ++*objects) {
		size_t size = size_between(100, 1000);

		forgotten = touched(malloc(size));
		sum += size;
	}
	return sum;
}

static void leak(uint64_t seconds)
{
	uint64_t begin = now(CLOCK_MONOTONIC), leaked = 0, objects = 0, ticks = 0;

	for (; ticks < seconds * (SECOND / TICK_NS); ticks++) {
		serve(500 * MB * TICK_NS / SECOND);
		leaked += remember((ticks + 1) * MB * TICK_NS / SECOND - leaked, &objects);
		sleep_until(begin + (ticks + 1) * TICK_NS);
	}
	printf("{\"leaked_bytes\": %" PRIu64 ", \"leaked_objects\": %" PRIu64 "}\n", leaked,
	       objects);
}

/* ---- fragment ---- */

#define PAIRS 25000u

/* A small one beside each large one, which is freed: nearly each page keeps a small one, and
 * what is larger does not fit between them. */
__attribute__((noinline)) static void pin(void)
{
	static void *large[PAIRS];

	for (unsigned int i = 0; i < PAIRS; i++) {
		large[i] = touched(memset(malloc(4000), 1, 4000));
		forgotten = touched(malloc(120));
	}
	for (unsigned int i = 0; i < PAIRS; i++)
		free(large[i]);
}

__attribute__((noinline)) static void burst(void)
{
	static void *large[2000];

	for (unsigned int i = 0; i < 2000; i++)
		large[i] = touched(malloc(6000));
	for (unsigned int i = 0; i < 2000; i++)
		free(large[i]);
}

static void fragment(uint64_t seconds)
{
	uint64_t begin = now(CLOCK_MONOTONIC);

	pin();
	for (uint64_t turn = 0; turn < seconds * 2; turn++) {
		burst();
		sleep_until(begin + (turn + 1) * SECOND / 2);
	}
	printf("{\"live_bytes\": %u}\n", PAIRS * 120);
}

/* ---- cache ---- */

#define ENTRIES 20000u

__attribute__((noinline)) static void load(void)
{
	for (unsigned int i = 0; i < 10000; i++)
		forgotten = touched(malloc(2000));
}

__attribute__((noinline)) static void put(void **entry)
{
	free(*entry);
	*entry = touched(malloc(1000));
}

static void cache(uint64_t seconds)
{
	static void *entries[ENTRIES];
	uint64_t begin = now(CLOCK_MONOTONIC), at = 0;

	load();
	for (uint64_t ticks = 0; ticks < seconds * (SECOND / TICK_NS); ticks++) {
		for (; at < ENTRIES * (ticks + 1) * TICK_NS / (10 * SECOND); at++)
			put(&entries[at % ENTRIES]);
		sleep_until(begin + (ticks + 1) * TICK_NS);
	}
	printf("{\"live_bytes\": %llu}\n", 20 * MB + ENTRIES * 1000ull);
}

/* ---- peak ---- */

__attribute__((noinline)) static void **build(unsigned int count)
{
	void **index = touched(malloc(count * sizeof(*index)));

	for (unsigned int i = 0; i < count; i++)
		index[i] = touched(malloc(4000));
	return index;
}

static void drop(void **index, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		free(index[i]);
	free(index);
}

__attribute__((noinline)) static void **keep(void)
{
	return build(1250);
}

__attribute__((noinline)) static void **gather(void)
{
	return build(10000);
}

static void peak(void)
{
	uint64_t begin = now(CLOCK_MONOTONIC), from, until;
	void **base = keep(), **more;

	sleep_until(begin + SECOND);
	more = gather();
	from = now(CLOCK_REALTIME);
	sleep_until(begin + SECOND * 3 / 2);
	until = now(CLOCK_REALTIME);
	drop(more, 10000);
	for (unsigned int turn = 0; turn < 50; turn++) {
		serve(MB);
		sleep_until(begin + SECOND * 3 / 2 + (turn + 1) * TICK_NS);
	}
	drop(base, 1250);
	printf("{\"peak_bytes\": %" PRIu64 ", \"from_ns\": %" PRIu64 ", \"until_ns\": %" PRIu64
	       "}\n",
	       (uint64_t)11250 * 4000 + 11250 * sizeof(void *), from, until);
}

/* ---- exit ---- */

__attribute__((noinline)) static uint64_t parse(void)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < 400; i++) {
		size_t size = size_between(16, 496);

		free(touched(malloc(size)));
		bytes += size;
	}
	return bytes;
}

__attribute__((noinline)) static uint64_t hold(void)
{
	static void *held[20];
	static unsigned int at;
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < 10; i++) {
		size_t size = size_between(16, 8000);

		free(held[at]);
		held[at] = touched(malloc(size));
		at = (at + 1) % 20;
		bytes += size;
	}
	return bytes;
}

__attribute__((noinline)) static uint64_t forget(void)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < 10; i++) {
		size_t size = size_between(16, 3000);

		forgotten = touched(malloc(size));
		bytes += size;
	}
	return bytes;
}

static void leave(uint64_t rounds)
{
	uint64_t parsed = 0, held = 0, kept = 0;

	for (uint64_t turn = 0; turn < rounds; turn++) {
		parsed += parse();
		held += hold();
		kept += forget();
		/* Late is late: what is held is held for two rounds of 5 ms and more. */
		sleep_until(now(CLOCK_MONOTONIC) + TICK_NS / 2);
	}
	printf("{\"temporary_bytes\": %" PRIu64 ", \"temporary_objects\": %" PRIu64
	       ", \"held_bytes\": %" PRIu64 ", \"leaked_bytes\": %" PRIu64
	       ", \"leaked_objects\": %" PRIu64 "}\n",
	       parsed, rounds * 400, held, kept, rounds * 10);
}

/* ---- grow ---- */

__attribute__((noinline)) static void fill(void)
{
	size_t size = size_between(1000, 100000);

	forgotten = touched(memset(malloc(size), 1, size));
}

static void grow(void)
{
	uint64_t begin = now(CLOCK_MONOTONIC);

	for (uint64_t tick = 0;; tick++) {
		for (unsigned int i = 0; i < 10; i++)
			fill();
		sleep_until(begin + (tick + 1) * TICK_NS);
	}
}

__attribute__((noinline)) static void warm_up(void)
{
	for (unsigned int i = 0; i < 8; i++)
		free(touched(malloc(60000)));
}

/* Without stdio, which allocates. */
static void wait_for_word(void)
{
	char letter, word = 0;

	while (read(STDIN_FILENO, &letter, 1) == 1) {
		word = word ? word : letter;
		if (letter != '\n')
			continue;
		if (word == 'g')
			return;
		warm_up();
		word = 0;
	}
	exit(3);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	uint64_t number = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

	if (!strcmp(argv[argc - 1], "wait"))
		wait_for_word();

	if (!strcmp(what, "leak"))
		leak(number);
	else if (!strcmp(what, "fragment"))
		fragment(number);
	else if (!strcmp(what, "cache"))
		cache(number);
	else if (!strcmp(what, "peak"))
		peak();
	else if (!strcmp(what, "exit"))
		leave(number);
	else if (!strcmp(what, "grow"))
		grow();
	else
		return 2;
	return 0;
}
