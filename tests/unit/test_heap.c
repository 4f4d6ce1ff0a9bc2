/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The parts of libperfd-heap.so: draws, the set of pointers, and the functions around
 * the real allocator (glibc's here), each alloc of which must have its one free.
 */
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/heap_library.h"
#include "tests/unit/suite.h"

/* What the probes told: the live pointers, in the order told. */
#define LIVE_MAX (1u << 18)
static struct {
	pthread_mutex_t lock;
	uint64_t live[LIVE_MAX]; /* open addressing; 0: free, 1: was used */
	uint64_t allocs, frees, bytes, weight;
	uint64_t twice, unknown; /* told of again while live; freed while not */
} told = {.lock = PTHREAD_MUTEX_INITIALIZER};

static uint64_t *live_place(uint64_t address, bool insert)
{
	uint32_t at = (uint32_t)(address * 0x9e3779b97f4a7c15ULL >> 40) % LIVE_MAX;
	uint64_t *place = NULL;

	for (uint32_t i = 0; i < LIVE_MAX; i++) {
		uint64_t *entry = &told.live[(at + i) % LIVE_MAX];

		if (*entry == address)
			return entry;
		if (*entry <= 1 && !place)
			place = entry;
		if (!*entry)
			break;
	}
	return insert ? place : NULL;
}

void heap_probe_alloc(const void *pointer, uint64_t size, uint64_t weighted_bytes)
{
	uint64_t *place;

	pthread_mutex_lock(&told.lock);
	place = live_place((uintptr_t)pointer, true);
	if (*place == (uintptr_t)pointer)
		told.twice++;
	*place = (uintptr_t)pointer;
	told.allocs++;
	told.bytes += size;
	told.weight += weighted_bytes;
	pthread_mutex_unlock(&told.lock);
}

void heap_probe_free(const void *pointer)
{
	uint64_t *place;

	pthread_mutex_lock(&told.lock);
	place = live_place((uintptr_t)pointer, false);
	if (place)
		*place = 1;
	else
		told.unknown++;
	told.frees++;
	pthread_mutex_unlock(&told.lock);
}

static uint32_t searches;

static uintptr_t rallocx_flags;

static void *real_rallocx(uintptr_t pointer, uintptr_t size, uintptr_t flags)
{
	rallocx_flags = flags;
	return realloc((void *)pointer, size);
}

void heap_find_real(void)
{
	searches++;
#define X(result, name, parameters, arguments) heap_real.name = name;
	X(, malloc, , )
	X(, calloc, , )
	X(, realloc, , )
	X(, reallocarray, , )
	X(, memalign, , )
	X(, aligned_alloc, , )
	X(, posix_memalign, , )
	X(, valloc, , )
	X(, pvalloc, , )
	X(, free, , )
#undef X
	heap_real.cfree = free;
	heap_real.rallocx = real_rallocx;
}

/* --- draws ----------------------------------------------------------------------------- */

START_TEST(its_logarithm_and_exponential_are_the_libraries)
{
	for (double x = 1; x > 1e-15; x *= 0.93)
		ck_assert_double_le(fabs(heap_log(x) - log(x)), 4e-16 * (1 + fabs(log(x))));
	ck_assert(heap_log(1) == 0);
	for (double x = 1e-12; x < 60; x *= 1.07)
		ck_assert_double_le(fabs(heap_one_minus_exp(x) / -expm1(-x) - 1), 1e-15);
	ck_assert(heap_one_minus_exp(1e9) == 1);
}
END_TEST

START_TEST(gaps_are_exponential)
{
	enum { DRAWS = 200000 };
	struct heap_thread thread = {.random = 12345};
	double sum = 0, squares = 0, above = 0, interval = 1 << 19;

	for (int i = 0; i < DRAWS; i++) {
		double gap = (double)heap_sampler_gap(&thread, 1 << 19);

		sum += gap;
		squares += gap * gap;
		above += gap > interval;
	}
	/* mean R, second moment 2 R², P(gap > R) = 1/e: each within 4 standard errors */
	ck_assert_double_le(fabs(sum / DRAWS / interval - 1), 4 / sqrt(DRAWS));
	ck_assert_double_le(fabs(squares / DRAWS / interval / interval - 2),
			    4 * sqrt(20.0 / DRAWS));
	ck_assert_double_le(fabs(above / DRAWS - exp(-1)), 4 * sqrt(0.2325 / DRAWS));
	ck_assert_uint_eq(heap_sampler_gap(&thread, 0), 0);
}
END_TEST

START_TEST(a_weight_is_the_inverse_of_the_chance)
{
	static const uint64_t sizes[] = {1, 8, 24, 1000, 65536, 1 << 19, 1 << 20, 1 << 25};

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		struct heap_control control = {.interval = 1 << 19, .seed = 7};
		struct heap_thread thread = {0};
		double p = -expm1(-(double)sizes[s] / (1 << 19)), want = (double)sizes[s] / p;
		double sum = 0, count = 0;

		for (int i = 0; i < 200000 || count < 100; i++) {
			uint64_t weight;

			if (!heap_sampler_step(&thread, &control, 1, sizes[s], &weight))
				continue;
			/* One of the two whole numbers next to it. */
			ck_assert_double_lt(fabs((double)weight - want), 1);
			sum += (double)weight;
			count++;
		}
		ck_assert_double_le(fabs(sum / count - want), 4 * 0.5 / sqrt(count));
	}
}
END_TEST

START_TEST(a_wide_interval_is_looked_at_often_enough)
{
	struct heap_control control = {.interval = HEAP_INTERVAL_MAX, .seed = 3};
	struct heap_thread thread = {0};
	uint64_t weight, bytes = 0;

	heap_sampler_step(&thread, &control, 1, 1, &weight);
	ck_assert_uint_le(thread.left, HEAP_CHECK_BYTES);
	ck_assert_uint_gt(thread.reserve, 0);
	control.interval = 1000;
	control.changes++;
	while (thread.interval != 1000) {
		ck_assert(!heap_sampler_step(&thread, &control, 1, 4096, &weight));
		bytes += 4096;
		ck_assert_uint_le(bytes, HEAP_CHECK_BYTES);
	}
}
END_TEST

/* Whatever the gap is at, and however it is handed out. */
START_TEST(what_is_as_large_as_the_band_is_a_sample)
{
	static const uint64_t bands[] = {1, 2, 5000, 1 << 17, 8 << 20};

	for (size_t b = 0; b < sizeof(bands) / sizeof(bands[0]); b++) {
		struct heap_control control = {.interval = 1 << 19, .seed = 9, .band = bands[b]};
		struct heap_thread thread = {0};
		uint64_t weight;

		for (uint64_t i = 0; i < 20000; i++) {
			uint64_t size = i % 7 ? i % 300 + 1 : bands[b] + i;
			bool sampled = heap_sampler_step(&thread, &control, 1, size, &weight);

			/* What would fit into the hot path's portion is never so large. */
			ck_assert_uint_lt(thread.left, bands[b]);
			if (size < bands[b])
				continue;
			ck_assert(sampled);
			ck_assert_uint_eq(weight, size);
		}
	}
}
END_TEST

/* A band that comes and goes, and small pieces below it: both sums are exact in the mean. */
START_TEST(a_band_that_changes_bends_nothing)
{
	struct heap_control control = {.interval = 1 << 16, .seed = 11};
	struct heap_thread thread = {0};
	double truth[2] = {0}, got[2] = {0}, variance[2] = {0};

	for (int i = 0; i < 3000000; i++) {
		uint64_t size = i % 50 ? 100 + (uint64_t)i % 900 : 40000 + (uint64_t)i % 90000;
		bool large = size >= 40000;
		uint64_t weight;

		if (i % 1000 == 0) {
			control.band = i % 3000 ? (uint64_t)(i % 7) << 15 : 0;
			control.interval = 1ULL << (12 + i / 1000 % 6);
			control.changes++;
		}
		truth[large] += (double)size;
		if (!heap_sampler_step(&thread, &control, 1, size, &weight))
			continue;
		got[large] += (double)weight;
		variance[large] += (double)weight * ((double)weight - (double)size);
	}
	for (int i = 0; i < 2; i++)
		ck_assert_double_le(fabs(got[i] - truth[i]), 4 * sqrt(variance[i]));
}
END_TEST

START_TEST(what_is_above_the_grant_is_coarse)
{
	struct heap_control control = {.interval = 1000, .seed = 13, .band = 2000, .granted = 100};
	struct heap_thread thread = {0};
	uint64_t weight, samples = 0;
	double got = 0;

	for (int i = 0; i < 1000000; i++) {
		uint64_t size = i % 2 ? 100 : 3000;

		if (!heap_sampler_step(&thread, &control, 1, size, &weight))
			continue;
		samples++;
		got += (double)weight;
		control.sampled++;
	}
	/* Of 1.55 GB one in 64,000 bytes, and the first hundred. */
	ck_assert_uint_ge(samples, 22000);
	ck_assert_uint_le(samples, 26000);
	ck_assert_double_le(fabs(got / 1.55e9 - 1), 4 / sqrt((double)samples));
	/* More is granted: threads take notice. */
	control.granted = samples + 1000;
	control.changes++;
	for (int i = 0; i < 1000 && thread.interval != 1000; i++)
		heap_sampler_step(&thread, &control, 1, 100, &weight);
	ck_assert_uint_eq(thread.interval, 1000);
	ck_assert_uint_eq(thread.band, 2000);
}
END_TEST

START_TEST(a_forked_child_draws_other_numbers)
{
	struct heap_control control = {.interval = 1 << 19, .seed = 5};
	struct heap_thread parent = {0}, child;
	uint64_t weight;

	heap_sampler_step(&parent, &control, 1, 1, &weight);
	child = parent;
	heap_sampler_step(&child, &control, 2, 1, &weight);
	ck_assert_uint_ne(child.random, parent.random);
	ck_assert_uint_ne(child.left, parent.left);
}
END_TEST

/* --- the set -------------------------------------------------------------------------------- */

static void *address(uint64_t number)
{
	return (void *)(uintptr_t)(0x555500000000ULL + number * 16);
}

START_TEST(what_is_in_the_set_comes_out_once)
{
	struct heap_pointers *set = calloc(1, sizeof(*set));
	bool ended;

	for (uint64_t i = 0; i < 20000; i++)
		ck_assert(heap_pointers_insert(set, address(i * 7), &ended) && !ended);
	for (uint64_t i = 0; i < 20000 * 7; i++) {
		bool there = i % 7 == 0;

		ck_assert(!there || heap_pointers_may_have(set, address(i)));
		ck_assert(heap_pointers_remove(set, address(i)) == there);
		ck_assert(!heap_pointers_remove(set, address(i)));
	}
	for (uint32_t i = 0; i < HEAP_COUNTERS; i++)
		ck_assert(set->counters[i] == 0 || set->counters[i] == 255);
	ck_assert(!heap_pointers_remove(set, NULL));
	ck_assert(!heap_pointers_insert(set, NULL, &ended));
	ck_assert(!heap_pointers_insert(set, (void *)(1ULL << 52), &ended));
	free(set);
}
END_TEST

/* One in 65,536 was refused beside full near buckets, when its two others might be such, too. */
START_TEST(a_set_with_room_refuses_nobody)
{
	struct heap_pointers *set = calloc(1, sizeof(*set));
	bool ended;

	for (uint64_t stride = 1; stride <= 64; stride++) {
		memset(set, 0, sizeof(*set));
		for (uint64_t i = 0; i < 10000; i++)
			ck_assert(heap_pointers_insert(set, address(i * stride), &ended));
	}
	free(set);
}
END_TEST

START_TEST(a_full_set_refuses)
{
	struct heap_pointers *set = calloc(1, sizeof(*set));
	uint64_t in = 0, tries = 2ULL * HEAP_BUCKETS * HEAP_BUCKET_SLOTS;
	bool ended, *there = calloc(tries, sizeof(*there));

	for (uint64_t i = 0; i < tries; i++) {
		there[i] = heap_pointers_insert(set, address(i), &ended);
		in += there[i];
	}
	/* With two places to choose from it is nearly full before it refuses. */
	ck_assert_uint_ge(in, HEAP_BUCKETS * HEAP_BUCKET_SLOTS * 9 / 10);
	for (uint64_t i = 0; i < tries; i++)
		ck_assert(heap_pointers_remove(set, address(i)) == there[i]);
	for (size_t i = 0; i < sizeof(set->slots) / sizeof(set->slots[0]); i++)
		ck_assert_uint_eq(set->slots[i], 0);
	free(there);
	free(set);
}
END_TEST

START_TEST(a_suspended_pointer_resumes_or_goes)
{
	struct heap_pointers *set = calloc(1, sizeof(*set));
	heap_suspended where;
	bool ended;

	heap_pointers_insert(set, address(1), &ended);
	where = heap_pointers_suspend(set, address(1), 77);
	ck_assert_ptr_nonnull(where);
	ck_assert(!heap_pointers_remove(set, address(1)));
	ck_assert_ptr_null(heap_pointers_suspend(set, address(1), 78));
	ck_assert(heap_pointers_finish(address(1), 77, where, true));
	where = heap_pointers_suspend(set, address(1), 77);
	ck_assert(heap_pointers_finish(address(1), 77, where, false));
	heap_pointers_end(set, address(1), where);
	ck_assert(!heap_pointers_may_have(set, address(1)));
	free(set);
}
END_TEST

/* Until its end has been told, nobody who gets the address may be told of: it waits, and gives
 * up where nothing moves. */
START_TEST(the_end_is_told_before_the_next_beginning)
{
	struct heap_pointers *set = calloc(1, sizeof(*set));
	heap_suspended where;
	bool ended;

	heap_pointers_insert(set, address(1), &ended);
	where = heap_pointers_suspend(set, address(1), 77);
	ck_assert(heap_pointers_finish(address(1), 77, where, false));
	ck_assert(heap_pointers_may_have(set, address(1)));
	ck_assert(!heap_pointers_remove(set, address(1)));
	ck_assert(!heap_pointers_insert(set, address(1), &ended) && !ended);
	heap_pointers_end(set, address(1), where);
	ck_assert(heap_pointers_insert(set, address(1), &ended) && !ended);
	free(set);
}
END_TEST

START_TEST(who_gets_a_suspended_address_ends_its_time)
{
	struct heap_pointers *set = calloc(1, sizeof(*set));
	heap_suspended where;
	bool ended;

	heap_pointers_insert(set, address(1), &ended);
	where = heap_pointers_suspend(set, address(1), 77);
	ck_assert(heap_pointers_insert(set, address(1), &ended) && ended);
	ck_assert(!heap_pointers_finish(address(1), 77, where, false));
	/* The new owner's, suspended by another thread, is not the old one's either. */
	heap_pointers_suspend(set, address(1), 78);
	ck_assert(!heap_pointers_finish(address(1), 77, where, false));
	ck_assert(heap_pointers_finish(address(1), 78, where, true));
	ck_assert(heap_pointers_remove(set, address(1)));
	ck_assert(!heap_pointers_may_have(set, address(1)));
	/* One that was freed behind our back ends as well. */
	heap_pointers_insert(set, address(2), &ended);
	ck_assert(heap_pointers_insert(set, address(2), &ended) && ended);
	free(set);
}
END_TEST

/* --- the functions -------------------------------------------------------------------------- */

static void every_allocation(void)
{
	heap_set_interval(0);
	/* Until this thread has noticed. */
	while (perfd_heap_control.sampled == 0)
		heap_free(heap_malloc(HEAP_CHECK_BYTES));
	memset(&told.allocs, 0, sizeof(told) - offsetof(__typeof__(told), allocs));
}

START_TEST(each_function_tells_what_was_asked_for)
{
	void *pointers[10];
	uint64_t bytes = 10 + 3 * 20 + 30 + 40 + 64 + 50 + 60 + 70 + 80;

	every_allocation();
	pointers[0] = heap_malloc(10);
	pointers[1] = heap_calloc(3, 20);
	pointers[2] = heap_realloc(NULL, 30);
	pointers[3] = heap_reallocarray(NULL, 4, 10);
	pointers[4] = heap_aligned_alloc(64, 64);
	ck_assert_int_eq(heap_posix_memalign(&pointers[5], 64, 50), 0);
	pointers[6] = heap_memalign(256, 60);
	pointers[7] = heap_valloc(70);
	pointers[8] = heap_pvalloc(80);
	ck_assert_uint_eq(told.allocs, 9);
	ck_assert_uint_eq(told.bytes, bytes);
	ck_assert_uint_eq(told.weight, bytes);
	for (int i = 0; i < 9; i++) {
		ck_assert_ptr_nonnull(pointers[i]);
		(i % 2 ? heap_free : heap_cfree)(pointers[i]);
	}
	ck_assert_uint_eq(told.frees, 9);
	heap_free(NULL);
	ck_assert_uint_eq(told.frees, 9);
	ck_assert_uint_eq(told.twice + told.unknown, 0);
	ck_assert_uint_eq(searches, 1);
}
END_TEST

START_TEST(what_fails_is_not_told)
{
	void *pointer = (void *)1, *live;

	every_allocation();
	ck_assert_ptr_null(heap_malloc(SIZE_MAX / 2));
	ck_assert_ptr_null(heap_calloc(SIZE_MAX, 16));
	ck_assert_int_ne(heap_posix_memalign(&pointer, 3, 16), 0);
	ck_assert_ptr_eq(pointer, (void *)1);
	ck_assert_ptr_null(heap_aligned_alloc(16, SIZE_MAX / 2));
	ck_assert_uint_eq(told.allocs, 0);
	/* A resize that fails leaves what there was, and its free is told later. */
	live = heap_malloc(100);
	ck_assert_ptr_null(heap_realloc(live, SIZE_MAX / 2));
	ck_assert_ptr_null(heap_reallocarray(live, SIZE_MAX, 2));
	ck_assert_ptr_null(heap_rallocx((uintptr_t)live, SIZE_MAX / 2, 0));
	ck_assert_uint_eq(told.frees, 0);
	heap_free(live);
	ck_assert_uint_eq(told.frees, 1);
	ck_assert_uint_eq(told.allocs, 1);
	/* No bytes: no sample. */
	heap_free(heap_malloc(0));
	ck_assert_uint_eq(told.allocs, 1);
}
END_TEST

START_TEST(a_resize_is_a_free_and_an_allocation)
{
	char *pointer;

	every_allocation();
	pointer = heap_malloc(100);
	strcpy(pointer, "kept");
	pointer = heap_realloc(pointer, 100000);
	ck_assert_str_eq(pointer, "kept");
	ck_assert_uint_eq(told.allocs, 2);
	ck_assert_uint_eq(told.frees, 1);
	pointer = heap_realloc(pointer, 99000); /* in place */
	ck_assert_uint_eq(told.allocs, 3);
	ck_assert_uint_eq(told.frees, 2);
	pointer = heap_reallocarray(pointer, 10, 10);
	ck_assert_str_eq(pointer, "kept");
	ck_assert_uint_eq(told.allocs, 4);
	ck_assert_ptr_null(heap_realloc(pointer, 0)); /* glibc's free() */
	ck_assert_uint_eq(told.allocs, 4);
	ck_assert_uint_eq(told.frees, 4);
	pointer = heap_malloc(10);
	ck_assert_ptr_null(heap_reallocarray(pointer, 0, 8));
	ck_assert_uint_eq(told.frees, 5);
	pointer = heap_malloc(10);
	pointer = heap_rallocx((uintptr_t)pointer, 5000, 64);
	ck_assert_uint_eq(rallocx_flags, 64);
	ck_assert_uint_eq(told.allocs, 7);
	ck_assert_uint_eq(told.frees, 6);
	heap_free(pointer);
	ck_assert_uint_eq(told.frees, 7);
	ck_assert_uint_eq(told.twice + told.unknown, 0);
}
END_TEST

START_TEST(nobody_looks_and_nothing_is_told)
{
	void *before, *after;

	every_allocation();
	before = heap_malloc(10);
	perfd_heap_control.mode = HEAP_WATCHED;
	after = heap_malloc(10);
	ck_assert_uint_eq(told.allocs, 1);
	/* What was told of is followed. */
	heap_free(before);
	heap_free(after);
	ck_assert_uint_eq(told.frees, 1);
	heap_alloc_semaphore = 1;
	heap_free(heap_malloc(10));
	ck_assert_uint_eq(told.allocs, 2);
	perfd_heap_control.mode = HEAP_OFF;
	heap_free(heap_malloc(10));
	ck_assert_uint_eq(told.allocs, 2);
	ck_assert_uint_eq(told.frees, 2);
}
END_TEST

START_TEST(a_full_table_counts_what_it_leaves_out)
{
	enum { MANY = 300000 };
	void **pointers = calloc(MANY, sizeof(*pointers));
	uint64_t live = 0;

	every_allocation();
	for (int i = 0; i < MANY; i++)
		pointers[i] = heap_malloc(24);
	ck_assert_uint_gt(perfd_heap_control.untracked, MANY / 2);
	ck_assert_uint_eq(told.allocs + perfd_heap_control.untracked, MANY);
	ck_assert_uint_eq(told.weight + perfd_heap_control.untracked_bytes, MANY * 24);
	live = told.allocs;
	for (int i = 0; i < MANY; i++)
		heap_free(pointers[i]);
	ck_assert_uint_eq(told.frees, live);
	ck_assert_uint_eq(told.twice + told.unknown, 0);
	free(pointers);
}
END_TEST

/* --- many threads ---------------------------------------------------------------------------- */

#define SHELF 512
static void *shelf[SHELF]; /* pointers that any thread takes and leaves */

static void *churn(void *context)
{
	unsigned int random = (unsigned int)(uintptr_t)context * 2654435761u + 1;

	for (int i = 0; i < 60000; i++) {
		void **place, *pointer;

		random = random * 1664525u + 1013904223u;
		place = &shelf[random >> 8 & (SHELF - 1)];
		pointer = __atomic_exchange_n(place, NULL, __ATOMIC_ACQ_REL);
		if (!pointer)
			pointer = heap_malloc((random >> 20 & 127) + 1);
		else if (random & 64)
			pointer = heap_realloc(pointer, (random >> 18 & 1023) + 1);
		else
			heap_free(pointer), pointer = NULL;
		pointer = __atomic_exchange_n(place, pointer, __ATOMIC_ACQ_REL);
		heap_free(pointer);
	}
	return NULL;
}

START_TEST(threads_that_free_each_others_never_mismatch)
{
	pthread_t threads[4];

	every_allocation();
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SHELF; i++)
		heap_free(shelf[i]);
	ck_assert_uint_gt(told.allocs, 100000);
	ck_assert_uint_eq(told.allocs, told.frees);
	ck_assert_uint_eq(told.twice, 0);
	ck_assert_uint_eq(told.unknown, 0);
	/* Somebody may have been preempted for long while it told of an end. */
	ck_assert_uint_le(perfd_heap_control.untracked, 10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("heap");

	SUITE_CASE(suite, "draws", its_logarithm_and_exponential_are_the_libraries,
		   gaps_are_exponential, a_weight_is_the_inverse_of_the_chance,
		   a_wide_interval_is_looked_at_often_enough,
		   what_is_as_large_as_the_band_is_a_sample, a_band_that_changes_bends_nothing,
		   what_is_above_the_grant_is_coarse, a_forked_child_draws_other_numbers);
	SUITE_CASE(suite, "set", what_is_in_the_set_comes_out_once, a_set_with_room_refuses_nobody,
		   a_full_set_refuses, a_suspended_pointer_resumes_or_goes,
		   the_end_is_told_before_the_next_beginning,
		   who_gets_a_suspended_address_ends_its_time);
	SUITE_CASE(suite, "functions", each_function_tells_what_was_asked_for,
		   what_fails_is_not_told, a_resize_is_a_free_and_an_allocation,
		   nobody_looks_and_nothing_is_told, a_full_table_counts_what_it_leaves_out,
		   threads_that_free_each_others_never_mismatch);
	return suite_main(suite);
}
