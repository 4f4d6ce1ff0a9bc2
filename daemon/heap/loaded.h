/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How the library is loaded, and what it stands in for: the table of the functions
 * that it replaces, the search for the real ones, and the slots of loaded objects.
 */
#pragma once

#include "daemon/heap/allocator.h"
#include "daemon/heap/object.h"

enum heap_kind {
	HEAP_KIND_C, /* in every C library */
	HEAP_KIND_CXX, /* operators: ours only where the allocator has its own */
	HEAP_KIND_EXTRA, /* likewise, and never ours by name */
};

/* One function that the library replaces. */
struct heap_function {
	const char *name;
	enum heap_kind kind;
	void *replacement;
	size_t place; /* in struct heap_real, of the function that was there */
};
extern const struct heap_function heap_functions[];
extern const size_t heap_function_count;

#define HEAP_FUNCTIONS_MAX 48

/* What C++ programs call by our name: ours, the real one, or one that looks for it. */
struct heap_front {
#define X(name) heap_new_fn *name;
#define Y(name)
	HEAP_NEW_FUNCTIONS(X, Y)
#undef X
#define X(name) heap_delete_fn *name;
	HEAP_DELETE_FUNCTIONS(X, Y)
#undef X
#undef Y
};
extern struct heap_front heap_front;

/* The real function as a word; 0: there is none. */
uintptr_t heap_real_of(const struct heap_function *function);
/* Is it replaced where the program calls it by a slot? */
bool heap_replaces(const struct heap_function *function);
bool heap_object_is_ours(const struct heap_object *object);
/* Another allocator is loaded beside the one that goes first and the C library's, so a
 * slot that is not filled yet may become any of them. */
bool heap_other_allocators(void);

/* Puts our functions into the slots that call the real ones, in all loaded objects;
 * `extra`: only those of HEAP_KIND_EXTRA. No thread may be in the loader: the caller
 * sees to it, as nothing public here could wait for it without danger. The count of
 * slots is in the control; 0, or -errno of mprotect(2). */
int heap_slots_patch(bool extra);
int heap_slots_restore(void);

/* For an injector, at a moment when no thread is in the loader: 0, or -errno (-ENOEXEC:
 * the program has an allocator inside; -EPERM: it is privileged). Exported. */
int perfd_heap_attach(void);
/* Likewise. The code stays, as somebody may be in it, and does nothing more. */
int perfd_heap_detach(void);
