/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap_safety.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

#include "daemon/engine_internal.h"
#include "daemon/host_walk.h"

#define RESTART_BLOCK 516 /* ERESTART_RESTARTBLOCK: a sleep with a rest to come */

enum place {
	PLACE_OTHER,
	PLACE_LIBC,
	PLACE_LOADER,
	PLACE_ALLOCATOR,
};

/* Libraries by the beginning of their files' names. */
static const struct {
	const char *name;
	enum place place;
} libraries[] = {
	{"libc.so.6", PLACE_LIBC},
	{"libc-2.", PLACE_LIBC},
	{"ld-musl-", PLACE_LIBC},
	{"libc.musl-", PLACE_LIBC},
	{"ld-linux", PLACE_LOADER},
	{"ld-2.", PLACE_LOADER},
	{"ld.so", PLACE_LOADER},
	{"libjemalloc", PLACE_ALLOCATOR},
	{"libtcmalloc", PLACE_ALLOCATOR},
	{"libmimalloc", PLACE_ALLOCATOR},
	{"libsnmalloc", PLACE_ALLOCATOR},
	{"libhoard", PLACE_ALLOCATOR},
	{"libperfd-heap", PLACE_ALLOCATOR},
	{"memfd:libperfd-heap", PLACE_ALLOCATOR},
};

/* Calls that neither an allocator nor a loader makes, and that wait for others. */
static const long waiting_calls[] = {
	SYS_epoll_wait,     SYS_epoll_pwait,     SYS_epoll_pwait2,  SYS_poll,
	SYS_ppoll,          SYS_select,          SYS_pselect6,      SYS_accept,
	SYS_accept4,        SYS_recvfrom,        SYS_recvmsg,       SYS_recvmmsg,
	SYS_nanosleep,      SYS_clock_nanosleep, SYS_wait4,         SYS_waitid,
	SYS_pause,          SYS_rt_sigtimedwait, SYS_rt_sigsuspend, SYS_io_getevents,
	SYS_io_uring_enter, SYS_msgrcv,          SYS_semop,         SYS_semtimedop,
	SYS_connect,        SYS_sendto,          SYS_sendmsg,       SYS_flock,
	SYS_fdatasync,      SYS_fsync,
};

static enum place place_of(const struct image_table *images, uint32_t id)
{
	const struct image *image = id ? image_table_get(images, id) : NULL;
	const char *name = image && image->path ? strrchr(image->path, '/') : NULL;

	for (size_t i = 0; name && i < sizeof(libraries) / sizeof(libraries[0]); i++)
		if (!strncmp(name + 1, libraries[i].name, strlen(libraries[i].name)))
			return libraries[i].place;
	return PLACE_OTHER;
}

int heap_safety_find_libc(struct heap_safety *safety, const struct image_table *images,
			  const struct mapping_set *maps)
{
	struct mapping_place at = {0};
	const struct mapping *mapping;

	while ((mapping = mapping_set_next(maps, &at))) {
		const struct image *image = image_table_get(images, mapping->image);

		if (!image || place_of(images, mapping->image) != PLACE_LIBC)
			continue;
		safety->code = mapping->start;
		safety->offset = mapping->offset;
		safety->image = mapping->image;
		safety->musl = strstr(image->path, "musl") != NULL;
		return 0;
	}
	return -ENOENT;
}

void heap_safety_know(struct heap_safety *safety, const struct libc_functions *functions)
{
	safety->functions = *functions;
	safety->known = true;
}

void heap_safety_begin(struct heap_safety *safety)
{
	safety->busy = false;
	safety->caller = 0;
	safety->rank = 0;
}

static bool waits(int64_t number)
{
	for (size_t i = 0; i < sizeof(waiting_calls) / sizeof(waiting_calls[0]); i++)
		if (waiting_calls[i] == number)
			return true;
	return false;
}

/* Is the frame in one of these of libc's functions? */
static bool is_within(const struct heap_safety *safety, uint64_t frame, size_t first, size_t end)
{
	uint64_t at = ABI_FRAME_OFFSET(frame) - safety->offset + safety->code;

	if (ABI_FRAME_IMAGE(frame) != safety->image)
		return false;
	for (size_t i = first; i < end; i++)
		if (safety->functions.at[i].address && at >= safety->functions.at[i].address &&
		    at - safety->functions.at[i].address < safety->functions.at[i].size)
			return true;
	return false;
}

static void in_the_way(struct heap_safety *safety, const struct inject_stack *stack,
		       const char *where)
{
	safety->busy = true;
	snprintf(safety->why, sizeof(safety->why), "thread %d is in %s", stack->tid, where);
}

/* What of a walked stack is in the way; NULL: nothing. */
static const char *obstacle(const struct heap_safety *safety, const struct image_table *images,
			    const struct inject_stack *stack, const struct host_stack *walked,
			    bool *ret_left)
{
	bool asleep = false;

	*ret_left = false;
	for (uint32_t i = 0; i < walked->stack.count; i++) {
		uint64_t frame = walked->frames[i];

		switch (place_of(images, ABI_FRAME_IMAGE(frame))) {
		case PLACE_LOADER:
			return "the loader";
		case PLACE_ALLOCATOR:
			/* Its own thread that waits for work (jemalloc's) holds no lock. */
			if (!asleep)
				return "an allocator's library";
			break;
		case PLACE_LIBC:
			if (is_within(safety, frame, LIBC_BUSY_FIRST, LIBC_FUNCTION_COUNT))
				return "the allocator or a function that holds its locks";
			if (i == 0 && stack->system_call < 0)
				return "the C library's code";
			asleep |= is_within(safety, frame, LIBC_WAIT_FIRST, LIBC_WAIT_LAST + 1);
			break;
		case PLACE_OTHER:
			*ret_left = true;
			break;
		}
	}
	return NULL;
}

void heap_safety_look(struct heap_safety *safety, struct engine *engine,
		      const struct mapping_set *maps, const struct inject_stack *stack)
{
	struct host_stack walked;
	uint32_t lacks;
	const char *where;
	bool left, whole, waiting = waits(stack->system_call);
	int rank;

	engine->source->ops->walk(engine->source, &stack->raw, maps, true, &walked, &lacks);
	whole = walked.stack.hdr.reason == ABI_REASON_COMPLETE;
	where = obstacle(safety, &engine->images, stack, &walked, &left);
	/* Where the walk ends early, at least libc must have been left, or the call be one
	 * that neither allocator nor loader makes. */
	if (!where && !whole && !left && !waiting)
		where = "code whose callers are not known";
	if (where) {
		in_the_way(safety, stack, where);
		return;
	}
	/* The best waits for a file or socket with nothing to be remembered about it. */
	if (waiting)
		rank = (whole ? 4 : 2) + (stack->wait_reason != RESTART_BLOCK);
	else
		rank = whole ? 1 : 0;
	if (rank > safety->rank) {
		safety->rank = rank;
		safety->caller = stack->tid;
	}
}

int32_t heap_safety_verdict(struct heap_safety *safety)
{
	int32_t caller = safety->busy ? INJECT_AGAIN : safety->caller;

	if (!caller && !safety->busy)
		snprintf(safety->why, sizeof(safety->why), "no thread has a stack that is known");
	heap_safety_begin(safety);
	return caller;
}
