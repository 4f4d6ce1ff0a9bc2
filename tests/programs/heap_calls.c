/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Calls all functions of the allocator and says how many calls libperfd-heap.so saw of
 * each, by its own count: to be run with the library preloaded, or put in, and
 * PERFD_HEAP_MODE=2 PERFD_HEAP_INTERVAL=0 (every allocation is a sample).
 *
 *	heap_calls	a line "name sampled freed" a function, 1000 calls each, then
 *			"fork", "threads" and "state N"
 *	heap_calls wait	the same at each line that it reads; ends at the input's end
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/heap/control.h"

#define CALLS 1000

/* musl's headers lack some; a name that is not there is not called. (To clang-tidy the others are
 * said twice.) NOLINTBEGIN(readability-redundant-declaration) */
extern void *reallocarray(void *, size_t, size_t) __attribute__((weak));
extern void *valloc(size_t) __attribute__((weak));
extern void *pvalloc(size_t) __attribute__((weak));
extern void *memalign(size_t, size_t) __attribute__((weak));
extern void *rallocx(void *, size_t, int) __attribute__((weak)); /* jemalloc's */
extern int posix_memalign(void **, size_t, size_t) __attribute__((weak));
/* NOLINTEND(readability-redundant-declaration) */

static struct heap_control none;
static struct heap_control *control = &none;

static void *keep(void *pointer)
{
	__asm__ volatile("" : "+r"(pointer) : : "memory");
	if (pointer)
		*(volatile char *)pointer = 1;
	return pointer;
}

static void *by_malloc(void)
{
	return keep(malloc(100));
}

static void *by_calloc(void)
{
	char *pointer = keep(calloc(10, 10));

	if (pointer[99])
		abort();
	return pointer;
}

static void *by_realloc(void)
{
	return keep(realloc(keep(malloc(10)), 5000));
}

static void *by_reallocarray(void)
{
	return keep(reallocarray(NULL, 10, 10));
}

static void *by_rallocx(void)
{
	return keep(rallocx(keep(malloc(10)), 5000, 0));
}

static void *by_memalign(void)
{
	return keep(memalign(64, 100));
}

static void *by_aligned_alloc(void)
{
	void *pointer = keep(aligned_alloc(64, 128));

	if ((uintptr_t)pointer % 64)
		abort();
	return pointer;
}

static void *by_posix_memalign(void)
{
	void *pointer = NULL;

	errno = 5;
	if (posix_memalign(&pointer, 4096, 100) || errno != 5)
		abort();
	return keep(pointer);
}

static void *by_valloc(void)
{
	return keep(valloc(100));
}

static void *by_pvalloc(void)
{
	return keep(pvalloc(100));
}

static void *by_strdup(void)
{
	return keep(strdup("inside the C library"));
}

static void *by_large(void)
{
	return keep(malloc(1 << 20));
}

static const struct {
	const char *name;
	void *(*call)(void);
	bool missing;
} calls[] = {
	{"malloc", by_malloc, false},
	{"calloc", by_calloc, false},
	{"realloc", by_realloc, false},
	{"reallocarray", by_reallocarray, false},
	{"rallocx", by_rallocx, false},
	{"memalign", by_memalign, false},
	{"aligned_alloc", by_aligned_alloc, false},
	{"posix_memalign", by_posix_memalign, false},
	{"valloc", by_valloc, false},
	{"pvalloc", by_pvalloc, false},
	{"strdup", by_strdup, false},
	{"large", by_large, false},
};

static bool there(const char *name)
{
	if (!strcmp(name, "reallocarray"))
		return reallocarray != NULL;
	if (!strcmp(name, "rallocx"))
		return rallocx != NULL;
	if (!strcmp(name, "memalign"))
		return memalign != NULL;
	if (!strcmp(name, "valloc"))
		return valloc != NULL;
	if (!strcmp(name, "pvalloc"))
		return pvalloc != NULL;
	return true;
}

static void report(const char *name, const struct heap_control *before)
{
	printf("%s %llu %llu\n", name, (unsigned long long)(control->sampled - before->sampled),
	       (unsigned long long)(control->freed - before->freed));
	fflush(stdout);
}

static void *run_calls(void *context)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct heap_control before = *control;

		if (!there(calls[i].name))
			continue;
		for (int n = 0; n < CALLS; n++)
			free(calls[i].call());
		if (!context)
			report(calls[i].name, &before);
	}
	return NULL;
}

static void *allocate(void *ret)
{
	for (int i = 0; i < CALLS; i++)
		((void **)ret)[i] = by_malloc();
	return NULL;
}

/* Four threads allocate, this one frees. */
static void run_threads(void)
{
	static void *pointers[4][CALLS];
	struct heap_control before = *control;
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, allocate, pointers[i]);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 4; i++)
		for (int n = 0; n < CALLS; n++)
			free(pointers[i][n]);
	report("threads", &before);
}

/* The child frees what the parent allocated, in its own copy. */
static void run_fork(void)
{
	static void *pointers[CALLS];
	struct heap_control before;
	pid_t pid;

	allocate(pointers);
	before = *control;
	pid = fork();
	if (!pid) {
		for (int n = 0; n < CALLS; n++)
			free(pointers[n]);
		allocate(pointers);
		report("fork", &before);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	for (int n = 0; n < CALLS; n++)
		free(pointers[n]);
}

static void find_control(void)
{
	struct heap_control *found = dlsym(RTLD_DEFAULT, "perfd_heap_control");
	const char *path = getenv("HEAP_LIBRARY"); /* that was put in, under that name */
	void *library = NULL;

	if (!found && path && (library = dlopen(path, RTLD_NOW | RTLD_NOLOAD)))
		found = dlsym(library, "perfd_heap_control");
	control = found ? found : &none;
	if (library)
		dlclose(library);
}

static void run(void)
{
	find_control();
	printf("state %u\n", control->state);
	run_calls(NULL);
	run_threads();
	run_fork();
	printf("untracked %llu\n", (unsigned long long)control->untracked);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[64];

	if (argc < 2 || strcmp(argv[1], "wait")) {
		run();
		return 0;
	}
	while (fgets(line, sizeof(line), stdin)) {
		run();
		puts("done");
		fflush(stdout);
	}
	return 0;
}
