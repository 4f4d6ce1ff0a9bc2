/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap/sampler.h"

#define LN_2 0.69314718055994530942
/* A thread looks for changes so often between two samples, on average: what little that costs is
 * little beside a sample. */
#define CHECKS 4u
#define CHECK_BYTES_MIN 4096u
#define SQRT_HALF 0.70710678118654752440

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators,
 * scrambled", 2016). */
static uint64_t random_next(struct heap_thread *thread)
{
	uint64_t x = thread->random;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	thread->random = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* In (0, 1], in steps of 2^-53. */
static double random_unit(struct heap_thread *thread)
{
	return (double)((random_next(thread) >> 11) + 1) * 0x1p-53;
}

static uint64_t clock_ticks(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#else
	uint64_t ticks;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	return ticks;
#endif
}

/* The finalizer of splitmix64: neighbouring seeds give unlike numbers. */
static uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

static void seed(struct heap_thread *thread, struct heap_control *control, uint32_t tid)
{
	uint64_t from = control->seed ? control->seed : clock_ticks() ^ (uintptr_t)thread;

	from = mix(from) + __atomic_fetch_add(&control->threads, 1, __ATOMIC_RELAXED);
	thread->random = mix(from) | 1;
	thread->tid = tid;
}

double heap_log(double x)
{
	union {
		double value;
		uint64_t bits;
	} u = {.value = x};
	int exponent = (int)(u.bits >> 52 & 0x7ff) - 1022;
	double f, square, sum = 0;

	u.bits = (u.bits & 0xfffffffffffffULL) | 0x3feULL << 52; /* in [1/2, 1) */
	if (u.value < SQRT_HALF) {
		u.value *= 2;
		exponent--;
	}
	/* ln m = 2 artanh((m - 1) / (m + 1)), |f| < 0.172: eleven terms for 2^-53. */
	f = (u.value - 1) / (u.value + 1);
	square = f * f;
	for (int i = 21; i >= 1; i -= 2)
		sum = sum * square + 1.0 / i;
	return 2 * f * sum + exponent * LN_2;
}

/* exp(-x) for 0 <= x < 745. */
static double exp_minus(double x)
{
	union {
		double value;
		uint64_t bits;
	} scale;
	uint64_t halvings = (uint64_t)(x / LN_2 + 0.5);
	double rest = (double)halvings * LN_2 - x; /* |rest| <= ln 2 / 2 */
	double sum = 1;

	for (int i = 15; i >= 1; i--)
		sum = 1 + sum * rest / i;
	scale.bits = (1023 - halvings) << 52;
	return sum * scale.value;
}

double heap_one_minus_exp(double x)
{
	double sum = 0;

	if (x > 40) /* exp(-40) is below half a step of a double at 1 */
		return 1;
	if (x > 0.5)
		return 1 - exp_minus(x);
	/* x - x^2/2! + x^3/3! …: no digits are lost where x is small */
	for (int i = 15; i >= 1; i--)
		sum = (1 - sum) * x / i;
	return sum;
}

uint64_t heap_sampler_gap(struct heap_thread *thread, uint64_t interval)
{
	if (!interval)
		return 0;
	if (interval > HEAP_INTERVAL_MAX)
		interval = HEAP_INTERVAL_MAX;
	return (uint64_t)(-heap_log(random_unit(thread)) * (double)interval);
}

/* Of what is left of the gap, what the hot path may use up. */
static void hand_out(struct heap_thread *thread, uint64_t gap)
{
	uint64_t most = thread->interval / CHECKS;

	if (most < CHECK_BYTES_MIN)
		most = CHECK_BYTES_MIN;
	if (most > HEAP_CHECK_BYTES)
		most = HEAP_CHECK_BYTES;
	if (most >= thread->band)
		most = thread->band - 1;
	thread->left = gap < most ? gap : most;
	thread->reserve = gap - thread->left;
}

static uint64_t coarse(uint64_t bytes)
{
	return bytes < HEAP_INTERVAL_MAX / HEAP_COARSE ? bytes * HEAP_COARSE : HEAP_INTERVAL_MAX;
}

static void draw(struct heap_thread *thread, const struct heap_control *control)
{
	uint64_t granted, band;

	/* `changes` first: a change in between is seen again at the next look. */
	thread->changes = __atomic_load_n(&control->changes, __ATOMIC_ACQUIRE);
	thread->interval = __atomic_load_n(&control->interval, __ATOMIC_RELAXED);
	band = __atomic_load_n(&control->band, __ATOMIC_RELAXED);
	granted = __atomic_load_n(&control->granted, __ATOMIC_RELAXED);
	if (granted && __atomic_load_n(&control->sampled, __ATOMIC_RELAXED) >= granted) {
		thread->interval = coarse(thread->interval);
		band = coarse(band);
	}
	thread->band = band ? band : UINT64_MAX;
	hand_out(thread, heap_sampler_gap(thread, thread->interval));
}

static uint64_t weigh(struct heap_thread *thread, uint64_t size)
{
	uint64_t interval = thread->interval;
	double weight;

	if (!interval)
		return size;
	if (interval > HEAP_INTERVAL_MAX)
		interval = HEAP_INTERVAL_MAX;
	weight = (double)size / heap_one_minus_exp((double)size / (double)interval);
	/* The fraction decides by chance: the unit is never 0, so a whole number stays. */
	return (uint64_t)(weight + 1 - random_unit(thread));
}

bool heap_sampler_step(struct heap_thread *thread, struct heap_control *control, uint32_t tid,
		       uint64_t size, uint64_t *ret_weight)
{
	if (thread->tid != tid) {
		seed(thread, control, tid);
		draw(thread, control);
	}
	if (size >= thread->band) {
		*ret_weight = size;
		draw(thread, control);
		return true;
	}
	/* An allocation with k bytes of the gap before its point is a sample if it has
	 * more than k: gaps are rounded down. */
	if (size > thread->left && size - thread->left > thread->reserve) {
		*ret_weight = weigh(thread, size);
		draw(thread, control);
		return true;
	}
	if (size > thread->left) {
		thread->reserve -= size - thread->left;
		thread->left = 0;
	} else {
		thread->left -= size;
	}
	if (thread->changes != __atomic_load_n(&control->changes, __ATOMIC_RELAXED)) {
		draw(thread, control);
	} else if (!thread->left) {
		hand_out(thread, thread->reserve);
	}
	return false;
}
