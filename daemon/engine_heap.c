/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/engine_heap.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/engine_internal.h"
#include "daemon/heap_library.h"
#include "daemon/heap_safety.h"
#include "daemon/injection.h"

#define LOOK_MS 20 /* while mappings and tables are awaited */
#define READY_NS (5 * NSEC_PER_SEC) /* at most so long */
#define TRIES_NS (5 * NSEC_PER_SEC) /* for a moment when no thread is in the way */
#define FOLLOW_MS 500 /* after code was mapped */
#define LEAVE_NS (2 * NSEC_PER_SEC) /* that perfd's own end waits for a process */

enum heap_target_state {
	TARGET_PREPARING, /* its mappings, tables and functions are awaited */
	TARGET_ENTERING, /* an injector is at work */
	TARGET_IN,
	TARGET_LEAVING, /* likewise */
	TARGET_OVER, /* to be forgotten */
};

struct heap_target {
	struct engine *engine;
	struct process *process; /* a reference */
	uint32_t execs; /* of the process: another program does not have it */
	uint32_t session;
	enum heap_target_state state;
	bool in; /* the library is, whatever came of a later visit */
	bool leave; /* as soon as what is under way is done */
	bool asked, answered; /* for the functions */
	bool late; /* the library without static thread storage */
	bool mapped; /* code, since the last visit */
	uint64_t until; /* boot time, ns */
	struct event *timer;
	struct heap_safety safety;
	struct injection *injection;
	uint64_t detach; /* address of the function, in the process */
	engine_heap_fn *done; /* NULL: told, or nobody asks */
	void *context;
};

static void look_again(struct heap_target *target, unsigned int ms)
{
	struct timeval soon = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000};

	evtimer_add(target->timer, &soon);
}

static bool gone(const struct heap_target *target)
{
	return target->process->end || target->process->execs != target->execs;
}

static void tell(struct heap_target *target, const struct error *error)
{
	engine_heap_fn *done = target->done;

	target->done = NULL;
	if (done)
		done(target->context, error);
}

/* It is forgotten in its own turn of the loop. */
static void over(struct heap_target *target, const struct error *error)
{
	target->state = TARGET_OVER;
	look_again(target, 0);
	tell(target, error);
}

static void refuse(struct heap_target *target, int code, const char *why)
{
	struct error error = {0};

	bool gone = code == -ESRCH || code == -ECANCELED;

	error_set(&error, code, "libperfd-heap.so cannot be put into pid %u (%s): %s%s",
		  target->process->pid, target->process->comm, why,
		  gone ? ""
		       : "; attach -e heap sees what it allocates without it, by probes on its "
			 "allocator where that has names, and -e mmap what it maps");
	over(target, &error);
}

/* --- the injector's questions ------------------------------------------------------------- */

static void on_stack(void *context, const struct inject_stack *stack)
{
	struct heap_target *target = context;

	heap_safety_look(&target->safety, target->engine, target->process->maps, stack);
}

static int32_t on_verdict(void *context)
{
	struct heap_target *target = context;
	int32_t tid = heap_safety_verdict(&target->safety);

	/* Nobody waits for it any more. */
	if (gone(target) || (target->leave && target->state == TARGET_ENTERING))
		return INJECT_GIVE_UP;
	return tid;
}

static void on_entered(void *context, const struct inject_result *result);
static void on_left(void *context, const struct inject_result *result);

static int open_library(struct heap_target *target, char *path, size_t size, struct error *error)
{
	int r = heap_library_find(target->late || target->safety.musl, path, size, error);
	int fd;

	if (r < 0)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? error_set(error, -errno, "cannot open %s: %s", path, strerror(errno)) : fd;
}

static int inject(struct heap_target *target, bool leave, struct error *error)
{
	const struct libc_functions *libc = &target->safety.functions;
	bool modern = libc->at[LIBC_dlopen].address != 0;
	struct inject_order order = {
		.kind = INJECT_ORDER,
		.pid = (int32_t)target->process->pid,
		.duration_ns = TRIES_NS,
		.dlopen = libc->at[modern ? LIBC_dlopen : LIBC___libc_dlopen_mode].address,
		.dlsym = libc->at[modern ? LIBC_dlsym : LIBC___libc_dlsym].address,
		.dlerror = libc->at[LIBC_dlerror].address,
		.system_call = libc->at[LIBC_syscall].address,
		.function = leave ? target->detach : 0,
		/* glibc's inner function wants to be told that it is meant. */
		.flags = RTLD_NOW | (modern ? 0 : 0x80000000u),
		.symbol = "perfd_heap_attach",
		.other_symbol = "perfd_heap_detach",
	};
	struct injection_owner owner = {.on_stack = on_stack,
					.verdict = on_verdict,
					.done = leave ? on_left : on_entered,
					.context = target};
	int library = open_library(target, order.path, sizeof(order.path), error);
	int r;

	if (library < 0)
		return library;
	heap_safety_begin(&target->safety);
	r = injection_start(target->engine->base, "/proc/self/exe", &order, library, &owner, error,
			    &target->injection);
	if (!r)
		target->state = leave ? TARGET_LEAVING : TARGET_ENTERING;
	return r;
}

/* --- entering ------------------------------------------------------------------------------- */

static const char *explain(const struct inject_result *result)
{
	if (result->result == -ENOEXEC)
		return "it has an allocator inside, which it calls directly";
	if (result->result == -EPERM)
		return "it is a set-user-id program";
	return "its allocator's callers cannot be changed (mprotect)";
}

static void on_entered(void *context, const struct inject_result *result)
{
	struct heap_target *target = context;
	struct error fine = {0};
	char why[INJECT_TEXT_MAX + 200];

	if (result->other)
		target->detach = result->other;
	if (!result->error && !result->result) {
		log_debug(
			"pid %u: libperfd-heap.so is in after %u looks; it stood still for %.1f ms",
			target->process->pid, result->rounds, (double)result->stopped_ns / 1e6);
		target->state = TARGET_IN;
		target->in = true;
		look_again(target, target->leave ? 0 : FOLLOW_MS);
		tell(target, &fine);
		return;
	}
	if (target->in) {
		log_debug("pid %u: code that it has loaded since was not looked at: %s",
			  target->process->pid, result->text);
		target->state = TARGET_IN;
		look_again(target, 0);
		return;
	}
	/* There is little static storage to give in a program that runs. */
	if (result->error == -ENOENT && !target->late && strstr(result->text, "TLS")) {
		target->late = true;
		target->state = TARGET_PREPARING;
		look_again(target, 0);
		return;
	}
	if (!result->error)
		refuse(target, result->result, explain(result));
	else if (result->error == -EBUSY && target->safety.why[0]) {
		snprintf(why, sizeof(why), "%s (at the last look: %s)", result->text,
			 target->safety.why);
		refuse(target, result->error, why);
	} else
		refuse(target, result->error, result->text);
}

static void on_functions(void *context, int error, const char *text,
			 const struct libc_functions *functions)
{
	struct heap_target *target = context;

	target->answered = true;
	if (target->state != TARGET_PREPARING)
		return;
	/* It may be in the middle of an exec. */
	if (error == -EIO && clock_boot_ns() < target->until) {
		target->asked = target->answered = false;
		target->safety.code = 0;
		look_again(target, LOOK_MS);
		return;
	}
	if (error) {
		refuse(target, error, text);
		return;
	}
	if (!(functions->at[LIBC_dlopen].address && functions->at[LIBC_dlsym].address) &&
	    !(functions->at[LIBC___libc_dlopen_mode].address &&
	      functions->at[LIBC___libc_dlsym].address)) {
		refuse(target, -ENOEXEC, "its C library has no dlopen()");
		return;
	}
	if (!functions->at[LIBC_syscall].address) {
		refuse(target, -ENOEXEC, "its C library has no syscall()");
		return;
	}
	heap_safety_know(&target->safety, functions);
	look_again(target, 0);
}

static int ask_functions(struct heap_target *target)
{
	char path[64];
	int memory;

	snprintf(path, sizeof(path), "/proc/%u/mem", target->process->pid);
	memory = open(path, O_RDONLY | O_CLOEXEC);
	if (memory < 0)
		return -errno;
	target->asked = true;
	return symbolizer_libc(target->engine->resolver.symbolizer, memory, target->safety.code,
			       target->safety.offset, on_functions, target);
}

/* Its mappings, then its libc's functions, and meanwhile the tables of its files. */
static void prepare(struct heap_target *target)
{
	struct engine *engine = target->engine;
	bool late = clock_boot_ns() > target->until;
	struct error error = {0};
	int r;

	if (target->process->maps_state != MAPS_KNOWN || !target->process->maps) {
		if (late)
			refuse(target, -ETIMEDOUT, "its mappings could not be read in time");
		else
			look_again(target, LOOK_MS);
		return;
	}
	unwinder_need_all(&engine->unwinder, target->process);
	if (!target->safety.code) {
		r = heap_safety_find_libc(&target->safety, &engine->images, target->process->maps);
		if (r < 0) {
			refuse(target, r,
			       "it has no C library mapped: it is linked statically, or not "
			       "written for one");
			return;
		}
	}
	if (!target->asked) {
		r = ask_functions(target);
		if (r < 0)
			refuse(target, r, strerror(-r));
		return;
	}
	if (!target->safety.known ||
	    (unwinder_waits(&engine->unwinder, target->process) && !late)) {
		look_again(target, LOOK_MS);
		return;
	}
	r = inject(target, false, &error);
	if (r < 0)
		refuse(target, r, error.text);
}

/* --- leaving -----------------------------------------------------------------------------------
 */

static void on_left(void *context, const struct inject_result *result)
{
	struct heap_target *target = context;
	struct error fine = {0};

	if (result->error || result->result)
		log_warning("pid %u: libperfd-heap.so stays in its calls of the allocator, without "
			    "effect: %s",
			    target->process->pid,
			    result->error ? result->text : "they cannot be changed (mprotect)");
	else
		log_debug("pid %u: libperfd-heap.so is out; it stood still for %.1f ms",
			  target->process->pid, (double)result->stopped_ns / 1e6);
	over(target, &fine);
}

static void leave(struct heap_target *target)
{
	struct error error = {0};

	if (inject(target, true, &error) < 0) {
		log_warning("pid %u: libperfd-heap.so stays: %s", target->process->pid, error.text);
		over(target, &error);
	}
}

/* --- the clockwork ------------------------------------------------------------------------------
 */

static void free_target(struct heap_target *target)
{
	injection_destroy(target->injection);
	if (target->timer)
		event_free(target->timer);
	process_unref(target->process);
	free(target);
}

static void forget(struct heap_target *target)
{
	heap_targets *all = &target->engine->heaps;

	for (size_t i = 0; i < all->count; i++) {
		if (all->items[i] != target)
			continue;
		all->items[i] = all->items[--all->count];
		break;
	}
	free_target(target);
}

static void drop_injection(struct heap_target *target)
{
	injection_destroy(target->injection);
	target->injection = NULL;
}

/* In a turn of the loop of its own, so that nothing is freed under somebody's feet. */
static void on_timer(evutil_socket_t fd, short what, void *context)
{
	struct heap_target *target = context;
	struct error error = {0};

	(void)fd;
	(void)what;
	if (target->state == TARGET_ENTERING || target->state == TARGET_LEAVING)
		return;
	drop_injection(target);
	if (target->state == TARGET_OVER) {
		/* The worker may still owe an answer. */
		if (!target->asked || target->answered)
			forget(target);
		else
			look_again(target, LOOK_MS);
		return;
	}
	if (gone(target))
		refuse(target, -ESRCH, "it has ended");
	else if (target->state == TARGET_PREPARING && target->leave)
		refuse(target, -ECANCELED, "its session has ended");
	else if (target->state == TARGET_PREPARING)
		prepare(target);
	else if (target->leave)
		leave(target);
	else if (target->mapped) {
		target->mapped = false;
		if (inject(target, false, &error) < 0)
			log_debug("pid %u: %s", target->process->pid, error.text);
	}
}

int engine_heap_attach(struct engine *engine, uint32_t id, engine_heap_fn *done, void *context,
		       struct error *error)
{
	struct session *session = engine_find_session(engine, id);
	struct heap_target *target;

	if (!session || session->end != SESSION_RUNNING || !session->target)
		return error_set(error, -ENOENT, "session %u does not look at a process", id);
	if (!engine->source->ops->set_jvm)
		return error_set(error, -EOPNOTSUPP, "a recording has no processes");
	for (size_t i = 0; i < engine->heaps.count; i++)
		if (engine->heaps.items[i]->process == session->target &&
		    engine->heaps.items[i]->state != TARGET_OVER)
			return error_set(error, -EBUSY,
					 "session %u has libperfd-heap.so in pid %u already",
					 engine->heaps.items[i]->session, session->target->pid);
	target = calloc(1, sizeof(*target));
	if (!target)
		return error_set(error, -ENOMEM, "out of memory");
	*target = (struct heap_target){.engine = engine,
				       .process = process_ref(session->target),
				       .execs = session->target->execs,
				       .session = id,
				       .until = clock_boot_ns() + READY_NS,
				       .done = done,
				       .context = context};
	target->timer = evtimer_new(engine->base, on_timer, target);
	if (!target->timer || vec_push(&engine->heaps, target)) {
		free_target(target);
		return error_set(error, -ENOMEM, "out of memory");
	}
	engine_mappings_wanted(engine, target->process);
	look_again(target, 0);
	return 0;
}

void engine_heap_forget(struct engine *engine, void *context)
{
	for (size_t i = 0; i < engine->heaps.count; i++)
		if (engine->heaps.items[i]->context == context)
			engine->heaps.items[i]->done = NULL;
}

void engine_heap_leave(struct engine *engine, uint32_t session)
{
	for (size_t i = 0; i < engine->heaps.count; i++) {
		struct heap_target *target = engine->heaps.items[i];

		if (target->session != session || target->state == TARGET_OVER)
			continue;
		target->leave = true;
		look_again(target, 0);
	}
}

bool engine_heap_is_of(const struct heap_target *target, const struct process *process)
{
	return target->process == process && target->state != TARGET_OVER;
}

void engine_heap_mapped(struct engine *engine, const struct process *process)
{
	for (size_t i = 0; i < engine->heaps.count; i++) {
		struct heap_target *target = engine->heaps.items[i];

		if (target->process != process || target->mapped || target->state != TARGET_IN)
			continue;
		target->mapped = true;
		look_again(target, FOLLOW_MS);
	}
}

void engine_heap_destroy(struct engine *engine)
{
	while (engine->heaps.count) {
		struct heap_target *target = engine->heaps.items[0];
		uint64_t deadline = clock_boot_ns() + LEAVE_NS;

		target->done = NULL;
		target->leave = true;
		if (target->injection)
			injection_finish(target->injection, deadline);
		if (target->state == TARGET_IN && !gone(target)) {
			drop_injection(target);
			leave(target);
			if (target->injection)
				injection_finish(target->injection, deadline);
		}
		forget(target);
	}
	vec_free(&engine->heaps);
}
