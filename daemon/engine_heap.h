/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libperfd-heap.so in processes that run already: put in for a session, taken out of the
 * way with its end. The injector (injection.h) stops the process; here it is judged by
 * the unwinder whether it may be done at that moment, and which thread does it.
 *
 * A thread is in nobody's way if no frame of its stack lies in the loader, in an allocator's
 * library, or in one of the C library's functions that hold their locks, and if its
 * innermost frame is in the C library only for a system call that waits. Where a stack
 * cannot be walked to its end (code that a process wrote itself), what was walked must be
 * so, and the thread must wait in a call that no allocator or loader makes. The thread that
 * is to call has a whole stack, or waits like that.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"

struct engine;
struct heap_target;
struct process;

typedef VEC(struct heap_target *) heap_targets;

/* engine.h has what begins it. */

/* The session has ended: the library is to leave. */
void engine_heap_leave(struct engine *engine, uint32_t session);
/* Does it go on, and with that process? */
bool engine_heap_is_of(const struct heap_target *target, const struct process *process);
/* The process has mapped code: it may have calls of the allocator that are to be seen. */
void engine_heap_mapped(struct engine *engine, const struct process *process);
/* Takes it out everywhere, and waits for that, a moment. */
void engine_heap_destroy(struct engine *engine);
