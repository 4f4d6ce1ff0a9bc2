/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap/loaded.h"

#include <sys/auxv.h>

#include "daemon/heap/probe.h"
#include "daemon/heap/system.h"

#define WAIT_MAX_MS 10000u
#define WAIT_STEPS_MS 2 /* looks a millisecond */

/* The C library is not linked: what another one lacks is NULL. */
#pragma weak getauxval
#pragma weak environ
extern char **environ;

struct heap_control perfd_heap_control __attribute__((visibility("default"))) = {
	.magic = HEAP_CONTROL_MAGIC,
	.version = HEAP_CONTROL_VERSION,
	.mode = HEAP_WATCHED,
	.state = HEAP_NEW,
	.interval = HEAP_INTERVAL_DEFAULT,
	.usual = HEAP_INTERVAL_DEFAULT,
};

#define PLACE(name) offsetof(struct heap_real, name)
const struct heap_function heap_functions[] = {
#define X(result, name, parameters, arguments)                                                     \
	{#name, HEAP_KIND_C, (void *)heap_##name, PLACE(name)},
	HEAP_C_FUNCTIONS(X)
#undef X
#define X(name) {#name, HEAP_KIND_CXX, (void *)heap_##name, PLACE(name)},
#define Y(name) {#name, HEAP_KIND_EXTRA, (void *)heap_##name, PLACE(name)},
		HEAP_NEW_FUNCTIONS(X, Y) HEAP_DELETE_FUNCTIONS(X, Y)
#undef X
#undef Y
};
const size_t heap_function_count = sizeof(heap_functions) / sizeof(*heap_functions);
_Static_assert(sizeof(heap_functions) / sizeof(*heap_functions) <= HEAP_FUNCTIONS_MAX, "");

/* What the last search found. */
static struct {
	bool others; /* see heap_other_allocators() */
	bool owned[HEAP_FUNCTIONS_MAX]; /* the allocator's own */
} loaded;

struct search {
	uint32_t objects;
	uint32_t allocator, ours; /* numbers of objects, from 1 on; 0: not seen */
	bool others;
	bool nests; /* the allocator is musl's */
	struct heap_name names[HEAP_FUNCTIONS_MAX];
	void *found[HEAP_FUNCTIONS_MAX];
	uint32_t owner[HEAP_FUNCTIONS_MAX];
};

uintptr_t heap_real_of(const struct heap_function *function)
{
	return *(const uintptr_t *)((const char *)&heap_real + function->place);
}

bool heap_replaces(const struct heap_function *function)
{
	return function->kind == HEAP_KIND_C || loaded.owned[function - heap_functions];
}

bool heap_other_allocators(void)
{
	return loaded.others;
}

bool heap_object_is_ours(const struct heap_object *object)
{
	return heap_object_has_address(object, (uintptr_t)&perfd_heap_control);
}

/* Both define functions of the family without being anybody's second allocator. */
static bool is_system_library(const struct heap_object *object)
{
	return heap_object_function(object, heap_name_of("__libc_start_main")) ||
	       heap_object_function(object, heap_name_of("__tls_get_addr"));
}

/* The object has a malloc(). */
static void note_allocator(struct search *search, const struct heap_object *object)
{
	if (search->allocator) {
		search->others |= !is_system_library(object);
		return;
	}
	search->allocator = search->objects;
	search->nests = heap_object_function(object, heap_name_of("__libc_start_main")) &&
			!heap_object_function(object, heap_name_of("gnu_get_libc_version"));
}

static int search_object(struct dl_phdr_info *info, size_t size, void *context)
{
	struct search *search = context;
	struct heap_object object;

	(void)size;
	search->objects++;
	if (!heap_object_read(info, &object))
		return 0;
	if (heap_object_is_ours(&object)) {
		search->ours = search->objects;
		return 0;
	}
	if (heap_object_function(&object, heap_name_of("malloc")))
		note_allocator(search, &object);
	for (size_t i = 0; i < heap_function_count; i++) {
		if (search->found[i])
			continue;
		search->found[i] = heap_object_function(&object, search->names[i]);
		search->owner[i] = search->objects;
	}
	return 0;
}

/* --- what stands in for a function that nobody has ------------------------------------ */

static void *no_memory(void)
{
	return NULL;
}

static int no_memory_posix(void)
{
	return 12; /* ENOMEM */
}

static void nothing_freed(void)
{
}

/* realloc() sees to the overflow: nothing has so many bytes. */
static void *real_reallocarray(void *pointer, size_t count, size_t size)
{
	size_t bytes;

	return heap_real.realloc(pointer,
				 __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes);
}

static void real_cfree(void *pointer)
{
	heap_real.free(pointer);
}

static void *stand_in(const struct heap_function *function)
{
	switch (function->place) {
	case PLACE(reallocarray):
		return (void *)real_reallocarray;
	case PLACE(cfree):
		return (void *)real_cfree;
	case PLACE(posix_memalign):
		return (void *)no_memory_posix;
	case PLACE(free):
		return (void *)nothing_freed;
	default:
		return function->kind == HEAP_KIND_C ? (void *)no_memory : NULL;
	}
}

/* --- C++ by name ------------------------------------------------------------------------ */

/* The C++ library may be loaded later than we: looked for at each call until then. A
 * program without one that calls its operators gets the C library's. */
#define X(name)                                                                                    \
	static void *late_##name(uintptr_t size, uintptr_t second, uintptr_t third)                \
	{                                                                                          \
		heap_find_real();                                                                  \
		if (heap_front.name == late_##name)                                                \
			return heap_malloc(size);                                                  \
		return heap_front.name(size, second, third);                                       \
	}
#define Y(name)
HEAP_NEW_FUNCTIONS(X, Y)
#undef X
#define X(name)                                                                                    \
	static void late_##name(void *pointer, uintptr_t second, uintptr_t third)                  \
	{                                                                                          \
		heap_find_real();                                                                  \
		if (heap_front.name == late_##name)                                                \
			heap_free(pointer);                                                        \
		else                                                                               \
			heap_front.name(pointer, second, third);                                   \
	}
HEAP_DELETE_FUNCTIONS(X, Y)
#undef X

struct heap_front heap_front = {
#define X(name) .name = late_##name,
	HEAP_NEW_FUNCTIONS(X, Y) HEAP_DELETE_FUNCTIONS(X, Y)
#undef X
};

static void set_front(void)
{
#define X(name)                                                                                    \
	if (loaded.owned[function - heap_functions])                                               \
		heap_front.name = heap_##name;                                                     \
	else if (heap_real.name)                                                                   \
		heap_front.name = heap_real.name;                                                  \
	function++;
#undef Y
#define Y(name) function++;
	const struct heap_function *function = heap_functions;

	while (function->kind == HEAP_KIND_C)
		function++;
	HEAP_NEW_FUNCTIONS(X, Y)
	HEAP_DELETE_FUNCTIONS(X, Y)
#undef X
#undef Y
}

/* --- the search --------------------------------------------------------------------------- */

static void set_state(const struct search *search)
{
	uint32_t state = perfd_heap_control.state;

	if (state != HEAP_NEW && state != HEAP_BYPASSED)
		return;
	if (search->allocator > search->ours)
		state = HEAP_PRELOADED;
	else
		state = search->allocator == 1 ? HEAP_BYPASSED : HEAP_NEW;
	if (getauxval && getauxval(AT_SECURE)) {
		state = HEAP_REFUSED;
		perfd_heap_control.mode = HEAP_OFF;
	}
	perfd_heap_control.state = state;
}

void heap_find_real(void)
{
	struct search search = {0};

	for (size_t i = 0; i < heap_function_count; i++)
		search.names[i] = heap_name_of(heap_functions[i].name);
	dl_iterate_phdr(search_object, &search);
	loaded.others = search.others;
	heap_nests = search.nests;
	for (size_t i = 0; i < heap_function_count; i++) {
		const struct heap_function *function = &heap_functions[i];
		void **place = (void **)((char *)&heap_real + function->place);
		void *real = search.found[i] ? search.found[i] : stand_in(function);

		loaded.owned[i] = search.found[i] && function->kind != HEAP_KIND_C &&
				  search.owner[i] == search.allocator;
		/* Threads that come here together find the same. */
		__atomic_store_n(place, real, __ATOMIC_RELEASE);
	}
	set_front();
	set_state(&search);
}

/* --- when the library is loaded ---------------------------------------------------------- */

/* The value of NAME=VALUE, or NULL. */
static const char *variable(const char *text, const char *name)
{
	while (*name && *text == *name)
		text++, name++;
	return !*name && *text == '=' ? text + 1 : NULL;
}

static uint64_t number(const char *text)
{
	uint64_t value = 0;

	for (; *text >= '0' && *text <= '9' && value <= HEAP_INTERVAL_MAX; text++)
		value = value * 10 + (uint64_t)(*text - '0');
	return value > HEAP_INTERVAL_MAX ? HEAP_INTERVAL_MAX : value;
}

/* Until a tracer has its probes in, so that it sees what comes from here on. Once: what this
 * program executes is to find no such wish. */
static void wait_for_watcher(char *value)
{
	uint64_t ms = number(value), looks = (ms < WAIT_MAX_MS ? ms : WAIT_MAX_MS) * WAIT_STEPS_MS;

	for (; *value >= '0' && *value <= '9'; value++)
		*value = '0';
	while (looks-- && !(heap_alloc_semaphore && heap_free_semaphore))
		system_sleep(1000000 / WAIT_STEPS_MS);
}

static void read_environment(void)
{
	char *wait = NULL;

	for (char **line = &environ ? environ : NULL; line && *line; line++) {
		const char *value;

		if ((value = variable(*line, "PERFD_HEAP_INTERVAL"))) {
			perfd_heap_control.interval = perfd_heap_control.usual = number(value);
			perfd_heap_control.flags |= HEAP_FIXED;
		} else if ((value = variable(*line, "PERFD_HEAP_MODE")))
			perfd_heap_control.mode =
				number(value) > HEAP_ALWAYS ? HEAP_OFF : (uint32_t)number(value);
		else if ((value = variable(*line, "PERFD_HEAP_SEED")))
			perfd_heap_control.seed = number(value);
		else if ((value = variable(*line, "PERFD_HEAP_WAIT")))
			wait = *line + (value - *line);
	}
	if (wait && perfd_heap_control.state == HEAP_PRELOADED &&
	    perfd_heap_control.mode == HEAP_WATCHED)
		wait_for_watcher(wait);
	perfd_heap_control.changes++;
	heap_begin_anew(); /* the loader and others may have allocated before */
}

__attribute__((constructor)) static void begin(void)
{
	heap_find_real();
	if (perfd_heap_control.state == HEAP_REFUSED)
		return;
	read_environment();
	if (perfd_heap_control.state == HEAP_PRELOADED)
		heap_slots_patch(true);
}

__attribute__((visibility("default"))) int perfd_heap_attach(void)
{
	int r;

	heap_find_real();
	if (perfd_heap_control.state == HEAP_BYPASSED)
		return -8; /* ENOEXEC */
	if (perfd_heap_control.state == HEAP_REFUSED)
		return -1; /* EPERM */
	if (perfd_heap_control.state == HEAP_PRELOADED)
		return 0;
	r = heap_slots_patch(false);
	if (r < 0)
		heap_slots_restore();
	else
		perfd_heap_control.state = HEAP_PATCHED;
	return r;
}

__attribute__((visibility("default"))) int perfd_heap_detach(void)
{
	int r;

	if (perfd_heap_control.state != HEAP_PATCHED)
		return 0;
	r = heap_slots_restore();
	if (!r)
		perfd_heap_control.state = HEAP_DETACHED;
	return r;
}
