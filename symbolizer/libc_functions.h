/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where some functions of a process's C library are: those to call for loading another
 * library, and those in which no thread should be meanwhile. Read out of the process's
 * memory, so it needs no file. Foreign bytes: through process_library.h.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"

/* X(name): the loader's face, a system call, waiting without a lock; Y(name): allocator, loader,
 * and what holds their locks. */
#define LIBC_FUNCTIONS(X, Y)                                                                       \
	X(dlopen)                                                                                  \
	X(dlsym)                                                                                   \
	X(dlerror)                                                                                 \
	X(__libc_dlopen_mode)                                                                      \
	X(__libc_dlsym)                                                                            \
	X(syscall)                                                                                 \
	X(pthread_cond_wait)                                                                       \
	X(pthread_cond_timedwait)                                                                  \
	X(pthread_cond_clockwait)                                                                  \
	Y(malloc)                                                                                  \
	Y(calloc)                                                                                  \
	Y(realloc)                                                                                 \
	Y(reallocarray)                                                                            \
	Y(free)                                                                                    \
	Y(memalign)                                                                                \
	Y(aligned_alloc)                                                                           \
	Y(posix_memalign)                                                                          \
	Y(valloc)                                                                                  \
	Y(pvalloc)                                                                                 \
	Y(malloc_trim)                                                                             \
	Y(malloc_info)                                                                             \
	Y(malloc_stats)                                                                            \
	Y(mallinfo)                                                                                \
	Y(mallinfo2)                                                                               \
	Y(mallopt)                                                                                 \
	Y(fork)                                                                                    \
	Y(vfork)                                                                                   \
	Y(posix_spawn)                                                                             \
	Y(posix_spawnp)                                                                            \
	Y(system)                                                                                  \
	Y(popen)                                                                                   \
	Y(pthread_create)                                                                          \
	Y(pthread_exit)                                                                            \
	Y(dlclose)                                                                                 \
	Y(dlmopen)                                                                                 \
	Y(dlvsym)                                                                                  \
	Y(dladdr)                                                                                  \
	Y(dladdr1)                                                                                 \
	Y(dlinfo)                                                                                  \
	Y(dl_iterate_phdr)                                                                         \
	Y(exit)                                                                                    \
	Y(quick_exit)                                                                              \
	Y(__cxa_finalize)

enum libc_function {
#define X(name) LIBC_##name,
	LIBC_FUNCTIONS(X, X)
#undef X
		LIBC_FUNCTION_COUNT
};

/* Those that wait for others and have let their lock go meanwhile. */
#define LIBC_WAIT_FIRST LIBC_pthread_cond_wait
#define LIBC_WAIT_LAST LIBC_pthread_cond_clockwait
/* From here on: those in which no thread should be. */
#define LIBC_BUSY_FIRST LIBC_malloc

struct libc_functions {
	struct {
		uint64_t address; /* of the process; 0: there is none */
		uint64_t size; /* bytes */
	} at[LIBC_FUNCTION_COUNT];
};

/* `memory`: /proc/PID/mem; `code`: where the library's code is mapped, from `offset` in its
 * file on. -ENOEXEC: no library that could be read. */
int libc_functions_read(int memory, uint64_t code, uint64_t offset, struct error *error,
			struct libc_functions *ret);
/* Over the worker's wire; -EBADMSG. */
void libc_functions_encode(const struct libc_functions *functions, struct strbuf *answer);
int libc_functions_decode(const void *payload, size_t size, struct error *error,
			  struct libc_functions *ret);
