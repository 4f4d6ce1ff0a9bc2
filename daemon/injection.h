/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The daemon's handle on an injector at work (inject.h). Its end is told by `done`,
 * once, out of the event loop; an injector that says nothing for too long is killed, and
 * the kernel lets its process go.
 *
 * Ownership: injection_start() takes the library's descriptor, on error too. An injection
 * is the caller's to destroy, in `done` at the earliest; one under way is then given up.
 */
#pragma once

#include <event2/event.h>

#include "daemon/base/error.h"
#include "daemon/inject.h"

/* A round's stacks, one after the other; then injection_verdict() is owed. */
typedef void injection_stack_fn(void *context, const struct inject_stack *stack);
typedef int32_t injection_verdict_fn(void *context);
/* error: 0, or -errno with a sentence in result->text. */
typedef void injection_done_fn(void *context, const struct inject_result *result);

struct injection_owner {
	injection_stack_fn *on_stack;
	injection_verdict_fn *verdict;
	injection_done_fn *done;
	void *context;
};

struct injection;

int injection_start(struct event_base *base, const char *program, const struct inject_order *order,
		    int library, const struct injection_owner *owner, struct error *error,
		    struct injection **ret);
/* Goes on with it at once, without the event loop, until it is done or `deadline`. */
void injection_finish(struct injection *injection, uint64_t deadline);
void injection_destroy(struct injection *injection);
