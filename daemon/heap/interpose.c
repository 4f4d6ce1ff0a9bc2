/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * C++'s operators by their own names, which a program finds before its allocator's when
 * the library is preloaded. The C functions are aliases, at the end of allocator.c.
 */
#include "daemon/heap/loaded.h"

#define EXPORT __attribute__((visibility("default")))

#define Y(name)
#define X(name)                                                                                    \
	extern heap_new_fn exported_##name __asm__(#name) EXPORT;                                  \
	void *exported_##name(uintptr_t size, uintptr_t second, uintptr_t third)                   \
	{                                                                                          \
		return heap_front.name(size, second, third);                                       \
	}
HEAP_NEW_FUNCTIONS(X, Y)
#undef X
#define X(name)                                                                                    \
	extern heap_delete_fn exported_##name __asm__(#name) EXPORT;                               \
	void exported_##name(void *pointer, uintptr_t second, uintptr_t third)                     \
	{                                                                                          \
		heap_front.name(pointer, second, third);                                           \
	}
HEAP_DELETE_FUNCTIONS(X, Y)
#undef X
