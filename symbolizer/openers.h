/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The daemon's handle on its openers: small processes (this program, executed anew)
 * that look up and open targets' files, because a look-up or an open(2) may never
 * return where a file system hangs. The daemon asks and goes on; the answer comes as a
 * callback out of openers_dispatch(), with the file in a parcel (parcel.h), which goes
 * to the symbolizer's worker as it is: symbolizer_add_image() and its kin take it
 * in place of a descriptor. The daemon itself never has a descriptor of such a file.
 *
 * How to use it (a new kind of file: opener_request.h):
 *
 *	struct opener_request request = {.kind = OPENER_PATH, .pid = pid, .path = path};
 *
 *	r = openers_open(openers, &request, on_file, context);	// 0: on_file() will come
 *
 *	static void on_file(void *context, int error, const char *text,
 *			    struct opener_file *file)
 *	{
 *		if (error)
 *			return;			// text says why
 *		symbolizer_add_debug(symbolizer, image, TAKE_FD(file->fd));
 *	}
 *
 * Requests are answered in no fixed order. One that has no answer at the deadline fails
 * with -ETIMEDOUT, its opener is killed and replaced; a file system that did that is
 * left alone for a minute (-EHOSTDOWN). While one opener is slow, another takes over
 * what waits behind, so one dead server delays nobody else. A killed opener that does
 * not end (its call cannot be interrupted) is abandoned, counted, and reaped when it
 * does; with too many of those only files on devices of this machine are opened.
 *
 * What an opener may do: opener_process.c. What it says is foreign: a reply that does
 * not fit ends it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "symbolizer/opener_request.h"

struct openers;

/* At most so many requests wait at a time; one more is refused with -EAGAIN. */
#define OPENERS_PENDING_MAX 65536
/* Openers at a time. */
#define OPENERS_MAX 4
/* Abandoned ones, beyond which only local files are opened. */
#define OPENERS_ABANDONED_MAX 32

struct openers_config {
	uint64_t deadline_ns; /* for one request */
	/* To exec for an opener: "/proc/self/exe" and e.g. {"perfd", "--opener", NULL}.
	 * Kept, not copied. */
	const char *program;
	const char *const *argv;
};

/* error: 0, or -errno with a sentence and file NULL. file: lives until it returns; its
 * descriptor is closed after, unless it was taken (TAKE_FD). Runs inside
 * openers_dispatch(), never inside openers_open(). */
typedef void openers_fn(void *context, int error, const char *text, struct opener_file *file);

struct openers_stats {
	uint32_t processes; /* openers now */
	uint32_t abandoned; /* killed, but still in a system call */
	uint64_t requests, failures;
	uint64_t timeouts; /* of the failures: no answer before the deadline */
	uint64_t left_alone; /* of the failures: their file system did that a moment ago */
	uint64_t restarts; /* openers that had to be replaced */
	int pid; /* of the one that works now; 0: none */
};

int openers_create(const struct openers_config *config, struct error *error, struct openers **ret);
/* Ends them. Requests under way are forgotten, their callbacks not called. Not to be
 * called from inside a callback. */
void openers_destroy(struct openers *openers);
/* Readable when openers_dispatch() has something to do; deadlines too. Never changes. */
int openers_fd(const struct openers *openers);
/* Handles what has come. Never blocks. */
void openers_dispatch(struct openers *openers);
/* 0, and `done` will be called; or -EAGAIN, -ENOMEM, -ENAMETOOLONG and it will not. */
int openers_open(struct openers *openers, const struct opener_request *request, openers_fn *done,
		 void *context);
size_t openers_pending(const struct openers *openers);
void openers_get_stats(const struct openers *openers, struct openers_stats *ret);

/* Where an opener finds its socket after exec. */
#define OPENERS_FD 3
/* An opener's main: serves until the socket ends, and ends the process. */
int openers_opener_main(int fd);
