/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The allocator's functions with sampling around them: what a program calls in place
 * of its own. Each calls the function that would have been called without us, with
 * what it was given, and gives what that gave, errno too.
 *
 * realloc() and rallocx() are a free and an allocation, once they have succeeded; posix_memalign()
 * is an allocation where it gives 0. Nothing here allocates or takes a lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/heap/control.h"
#include "daemon/heap/pointers.h"
#include "daemon/heap/sampler.h"

/* X(result, name, parameters, arguments): what a C library has. The first ones share a line of
 * the cache in heap_real. */
#define HEAP_C_FUNCTIONS(X)                                                                        \
	X(void *, malloc, (size_t size), (size))                                                   \
	X(void, free, (void *pointer), (pointer))                                                  \
	X(void *, calloc, (size_t count, size_t size), (count, size))                              \
	X(void *, realloc, (void *pointer, size_t size), (pointer, size))                          \
	X(void *, reallocarray, (void *pointer, size_t count, size_t size),                        \
	  (pointer, count, size))                                                                  \
	X(void *, memalign, (size_t alignment, size_t size), (alignment, size))                    \
	X(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))               \
	X(int, posix_memalign, (void **ret, size_t alignment, size_t size),                        \
	  (ret, alignment, size))                                                                  \
	X(void *, valloc, (size_t size), (size))                                                   \
	X(void *, pvalloc, (size_t size), (size))                                                  \
	X(void, cfree, (void *pointer), (pointer))

/* What an allocator may bring along, as jemalloc and tcmalloc do. Where they are the C++
 * library's own, they call malloc() and free(), and are left alone. With up to three
 * arguments of a word each, the size or pointer first (rallocx(): the pointer, and then the size).
 * X(name) that we may have too; Y(name): programs look for it to know their allocator, so
 * that ours must not be found. Wide: for types that want to be aligned. */
#define HEAP_NEW_PLAIN(X)                                                                          \
	X(_Znwm)                                                                                   \
	X(_Znam)                                                                                   \
	X(_ZnwmRKSt9nothrow_t)                                                                     \
	X(_ZnamRKSt9nothrow_t)
#define HEAP_NEW_WIDE(X)                                                                           \
	X(_ZnwmSt11align_val_t)                                                                    \
	X(_ZnamSt11align_val_t)                                                                    \
	X(_ZnwmSt11align_val_tRKSt9nothrow_t)                                                      \
	X(_ZnamSt11align_val_tRKSt9nothrow_t)
#define HEAP_NEW_FUNCTIONS(X, Y) HEAP_NEW_PLAIN(X) HEAP_NEW_WIDE(X) Y(mallocx) Y(rallocx)
#define HEAP_DELETE_FUNCTIONS(X, Y)                                                                \
	X(_ZdlPv)                                                                                  \
	X(_ZdaPv)                                                                                  \
	X(_ZdlPvm)                                                                                 \
	X(_ZdaPvm)                                                                                 \
	X(_ZdlPvRKSt9nothrow_t)                                                                    \
	X(_ZdaPvRKSt9nothrow_t)                                                                    \
	X(_ZdlPvSt11align_val_t)                                                                   \
	X(_ZdaPvSt11align_val_t)                                                                   \
	X(_ZdlPvmSt11align_val_t)                                                                  \
	X(_ZdaPvmSt11align_val_t)                                                                  \
	X(_ZdlPvSt11align_val_tRKSt9nothrow_t)                                                     \
	X(_ZdaPvSt11align_val_tRKSt9nothrow_t)                                                     \
	Y(free_sized)                                                                              \
	Y(free_aligned_sized)                                                                      \
	Y(dallocx)                                                                                 \
	Y(sdallocx)

typedef void *heap_new_fn(uintptr_t size, uintptr_t second, uintptr_t third);
typedef void heap_delete_fn(void *pointer, uintptr_t second, uintptr_t third);

/* What would be called without us: the first that the program's objects have after ours.
 * Before they are known, each finds all of them and calls itself again. */
struct heap_real {
#define X(result, name, parameters, arguments) result(*name) parameters;
	HEAP_C_FUNCTIONS(X)
#undef X
#define X(name) heap_new_fn *name;
	HEAP_NEW_FUNCTIONS(X, X)
#undef X
#define X(name) heap_delete_fn *name;
	HEAP_DELETE_FUNCTIONS(X, X)
#undef X
};
extern struct heap_real heap_real;
extern struct heap_pointers heap_pointers;
extern struct heap_control perfd_heap_control;
/* The real calloc() calls malloc() by its name (musl): what it allocates is seen there. */
extern bool heap_nests;

#define X(result, name, parameters, arguments) result heap_##name parameters;
HEAP_C_FUNCTIONS(X)
#undef X
#define X(name) heap_new_fn heap_##name;
HEAP_NEW_FUNCTIONS(X, X)
#undef X
#define X(name) heap_delete_fn heap_##name;
HEAP_DELETE_FUNCTIONS(X, X)
#undef X

/* The calling thread draws anew: the settings are another program's now. */
void heap_begin_anew(void);
/* Fills heap_real and says how we are loaded: real.c. A test has its own. */
void heap_find_real(void);
