/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap/allocator.h"

#include "daemon/heap/probe.h"
#include "daemon/heap/system.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define SLOW __attribute__((noinline, cold))

static __thread struct heap_thread heap_thread;
struct heap_pointers heap_pointers;
bool heap_nests;

void heap_begin_anew(void)
{
	heap_thread = (struct heap_thread){0};
}

/* --- before the real functions are known --------------------------------------------- */

#define X(result, name, parameters, arguments)                                                     \
	static result first_##name parameters                                                      \
	{                                                                                          \
		heap_find_real();                                                                  \
		return heap_real.name arguments;                                                   \
	}
HEAP_C_FUNCTIONS(X)
#undef X
#define X(name)                                                                                    \
	static void *first_##name(uintptr_t size, uintptr_t second, uintptr_t third)               \
	{                                                                                          \
		heap_find_real();                                                                  \
		return heap_real.name(size, second, third);                                        \
	}
HEAP_NEW_FUNCTIONS(X, X)
#undef X
#define X(name)                                                                                    \
	static void first_##name(void *pointer, uintptr_t second, uintptr_t third)                 \
	{                                                                                          \
		heap_find_real();                                                                  \
		heap_real.name(pointer, second, third);                                            \
	}
HEAP_DELETE_FUNCTIONS(X, X)
#undef X

struct heap_real heap_real __attribute__((aligned(64))) = {
#define X(result, name, parameters, arguments) .name = first_##name,
	HEAP_C_FUNCTIONS(X)
#undef X
#define X(name) .name = first_##name,
		HEAP_NEW_FUNCTIONS(X, X) HEAP_DELETE_FUNCTIONS(X, X)
#undef X
};

/* --- sampling ------------------------------------------------------------------------ */

/* Takes the bytes off the thread's gap; false (once in many) when there are not so many:
 * then sampled() is to be asked. */
static inline bool fits(uint64_t size)
{
#if defined(__x86_64__)
	bool borrow;

	/* In place, which compilers do not make of it by themselves. */
	__asm__("sub %2, %0" : "+m"(heap_thread.left), "=@ccb"(borrow) : "r"(size));
	return likely(!borrow);
#else
	return likely(!__builtin_sub_overflow(heap_thread.left, size, &heap_thread.left));
#endif
}

static bool watched(void)
{
	uint32_t mode = __atomic_load_n(&perfd_heap_control.mode, __ATOMIC_RELAXED);
	uint32_t state = perfd_heap_control.state;

	/* In the other states some of the program's calls may come here, and the frees
	 * of them may not. */
	if (state != HEAP_PRELOADED && state != HEAP_PATCHED)
		return false;
	return mode == HEAP_ALWAYS ||
	       (mode == HEAP_WATCHED && (heap_alloc_semaphore || heap_free_semaphore));
}

/* After fits() said no: is this allocation a sample that somebody wants? */
static bool sampled(uint64_t size, uint64_t *ret_weight)
{
	heap_thread.left += size; /* it was taken off */
	return heap_sampler_step(&heap_thread, &perfd_heap_control, system_tid(), size,
				 ret_weight) &&
	       watched();
}

static void add(uint64_t *counter, uint64_t value)
{
	__atomic_fetch_add(counter, value, __ATOMIC_RELAXED);
}

static void tell_free(const void *pointer)
{
	add(&perfd_heap_control.freed, 1);
	heap_probe_free(pointer);
}

/* Nobody but us knows the pointer yet. */
static void tell(const void *pointer, uint64_t size, uint64_t weight)
{
	bool ended;

	if (!pointer)
		return;
	if (!heap_pointers_insert(&heap_pointers, pointer, &ended)) {
		/* Its free could not be told: half of it would be a wrong number. */
		add(&perfd_heap_control.untracked, 1);
		add(&perfd_heap_control.untracked_bytes, weight);
		return;
	}
	if (ended)
		tell_free(pointer);
	add(&perfd_heap_control.sampled, 1);
	heap_probe_alloc(pointer, size, weight);
}

static SLOW void forget(const void *pointer)
{
	if (heap_pointers_remove(&heap_pointers, pointer))
		tell_free(pointer);
}

/* Before the memory goes back: afterwards it may be another's. */
static inline void given_back(const void *pointer)
{
	if (!likely(!heap_pointers_may_have(&heap_pointers, pointer)))
		forget(pointer);
}

/* An allocation by `call`, which gives the pointer. */
#define SAMPLED(size, call)                                                                        \
	do {                                                                                       \
		uint64_t weight = 0;                                                               \
		bool sample = sampled((size), &weight);                                            \
		void *pointer = call;                                                              \
                                                                                                   \
		if (sample)                                                                        \
			tell(pointer, (size), weight);                                             \
		return pointer;                                                                    \
	} while (0)

/* --- the C library's ----------------------------------------------------------------- */

static SLOW void *sampled_malloc(size_t size)
{
	SAMPLED(size, heap_real.malloc(size));
}

void *heap_malloc(size_t size)
{
	return fits(size) ? heap_real.malloc(size) : sampled_malloc(size);
}

static SLOW void *sampled_calloc(size_t count, size_t size)
{
	SAMPLED(count * size, heap_real.calloc(count, size));
}

void *heap_calloc(size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes) || heap_nests || fits(bytes))
		return heap_real.calloc(count, size);
	return sampled_calloc(count, size);
}

/* The others are rare, and may be made of each other: musl's valloc() calls memalign(),
 * which calls aligned_alloc(), and jemalloc's operators for wide types do, each by its
 * name and so by way of us. The innermost call is the one that counts. */
static __thread const void *heap_seen;

static SLOW void *counted(void *pointer, size_t size)
{
	uint64_t weight = 0;

	if (!pointer || heap_seen == pointer)
		return pointer;
	heap_seen = pointer;
	if (!fits(size) && sampled(size, &weight))
		tell(pointer, size, weight);
	return pointer;
}

#define COUNTED(size, call)                                                                        \
	do {                                                                                       \
		heap_seen = NULL;                                                                  \
		return counted(call, size);                                                        \
	} while (0)

void *heap_memalign(size_t alignment, size_t size)
{
	COUNTED(size, heap_real.memalign(alignment, size));
}

void *heap_aligned_alloc(size_t alignment, size_t size)
{
	COUNTED(size, heap_real.aligned_alloc(alignment, size));
}

int heap_posix_memalign(void **ret, size_t alignment, size_t size)
{
	int r;

	heap_seen = NULL;
	r = heap_real.posix_memalign(ret, alignment, size);
	if (!r)
		counted(*ret, size);
	return r;
}

void *heap_valloc(size_t size)
{
	COUNTED(size, heap_real.valloc(size));
}

void *heap_pvalloc(size_t size)
{
	COUNTED(size, heap_real.pvalloc(size));
}

void heap_free(void *pointer)
{
	given_back(pointer);
	heap_real.free(pointer);
}

void heap_cfree(void *pointer)
{
	given_back(pointer);
	heap_real.cfree(pointer);
}

/* --- realloc() ------------------------------------------------------------------------- */

/* flags: rallocx()'s; NULL: it is realloc(). */
static SLOW void *resize(void *pointer, size_t size, bool fitted, const uintptr_t *flags)
{
	heap_suspended where = NULL;
	uint32_t tid = system_tid();
	uint64_t weight = 0;
	bool sample = !fitted && sampled(size, &weight);
	void *result;
	bool gone;

	if (heap_pointers_may_have(&heap_pointers, pointer))
		where = heap_pointers_suspend(&heap_pointers, pointer, tid);
	result = flags ? heap_real.rallocx((uintptr_t)pointer, size, *flags)
		       : heap_real.realloc(pointer, size);
	/* Of no bytes, it may be a free() with a NULL for its result. */
	gone = result || !size;
	if (where && heap_pointers_finish(pointer, tid, where, !gone) && gone) {
		tell_free(pointer);
		heap_pointers_end(&heap_pointers, pointer, where);
	}
	if (sample)
		tell(result, size, weight);
	return result;
}

void *heap_realloc(void *pointer, size_t size)
{
	bool fitted = fits(size);

	if (likely(fitted && !heap_pointers_may_have(&heap_pointers, pointer)))
		return heap_real.realloc(pointer, size);
	return resize(pointer, size, fitted, NULL);
}

/* The real one would call realloc() by its name, and so us. */
void *heap_reallocarray(void *pointer, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) /* fails, and nothing is freed */
		return heap_real.reallocarray(pointer, count, size);
	return heap_realloc(pointer, bytes);
}

/* --- an allocator's own ---------------------------------------------------------------- */

static SLOW void *sampled_new(heap_new_fn *function, uintptr_t size, uintptr_t second,
			      uintptr_t third)
{
	SAMPLED(size, function(size, second, third));
}

#define X(name)                                                                                    \
	void *heap_##name(uintptr_t size, uintptr_t second, uintptr_t third)                       \
	{                                                                                          \
		return fits(size) ? heap_real.name(size, second, third)                            \
				  : sampled_new(heap_real.name, size, second, third);              \
	}
HEAP_NEW_PLAIN(X)
X(mallocx)
#undef X

void *heap_rallocx(uintptr_t pointer, uintptr_t size, uintptr_t flags)
{
	bool fitted = fits(size);

	if (likely(fitted && !heap_pointers_may_have(&heap_pointers, (void *)pointer)))
		return heap_real.rallocx(pointer, size, flags);
	return resize((void *)pointer, size, fitted, &flags);
}

#define X(name)                                                                                    \
	void *heap_##name(uintptr_t size, uintptr_t second, uintptr_t third)                       \
	{                                                                                          \
		COUNTED(size, heap_real.name(size, second, third));                                \
	}
HEAP_NEW_WIDE(X)
#undef X

#define X(name)                                                                                    \
	void heap_##name(void *pointer, uintptr_t second, uintptr_t third)                         \
	{                                                                                          \
		given_back(pointer);                                                               \
		heap_real.name(pointer, second, third);                                            \
	}
HEAP_DELETE_FUNCTIONS(X, X)
#undef X

#ifdef HEAP_EXPORT
/* By their own names, for who preloads the library. The headers' prototypes have
 * attributes that ours need not have. */
#define X(result, name, parameters, arguments)                                                     \
	extern __typeof__(heap_##name) exported_##name __asm__(#name)                              \
		__attribute__((alias("heap_" #name), visibility("default")));
HEAP_C_FUNCTIONS(X)
#undef X
#endif
