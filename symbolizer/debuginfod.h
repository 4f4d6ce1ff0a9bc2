/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Debug files by build id from debuginfod servers, in the background: out of a folder
 * that is kept (debuginfod_cache.h), else by a process without privileges, one for each
 * file, a few at a time (fetcher.h). Nothing of a file is read here; whether it is of the
 * right build is for the worker to say (symbolizer_add_debug()), and
 * debuginfod_wrong() throws it away if it is not.
 *
 * A server that does not answer is left alone for a while, ever longer: what is asked
 * meanwhile fails at once. What no server has is not asked for again for ten minutes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"

struct debuginfod;

/* At most so many files wait; one more is refused with -EAGAIN. */
#define DEBUGINFOD_PENDING_MAX 1024
/* Fetched at a time. */
#define DEBUGINFOD_FETCHES_MAX 3

struct debuginfod_config {
	const char *urls; /* apart by spaces; kept, not copied, as the next three */
	const char *folder;
	/* To exec for a fetcher: "/proc/self/exe" and e.g. {"perfd", "--fetcher", NULL}. */
	const char *program;
	const char *const *argv;
	uint64_t cache_bytes; /* of all files; one may take half of it */
	uint64_t timeout_ns; /* for one file */
};

/* error: 0 and a descriptor for reading, the callee's; or -errno with a sentence:
 * -ENOENT: no server has it; -EHOSTDOWN: they are left alone; others. Runs inside
 * debuginfod_dispatch(). */
typedef void debuginfod_fn(void *context, int error, const char *text, int fd);

struct debuginfod_stats {
	uint64_t asked, cached, fetched, bytes, missing, failed;
	uint64_t timeouts; /* of the failed */
	uint64_t left_alone; /* of the failed: servers gave no answer a moment ago */
	uint64_t wrong; /* of another build than was asked for */
	uint64_t evicted;
	uint64_t cache_bytes; /* in the folder now */
	uint32_t pending;
};

int debuginfod_create(const struct debuginfod_config *config, struct error *error,
		      struct debuginfod **ret);
/* What is under way is forgotten, its callbacks not called. */
void debuginfod_destroy(struct debuginfod *debuginfod);
/* Readable when debuginfod_dispatch() has something to do. Never changes. */
int debuginfod_fd(const struct debuginfod *debuginfod);
void debuginfod_dispatch(struct debuginfod *debuginfod);
/* 0: the callback will come; -EAGAIN, -EINVAL (no build id), -ENOMEM: it will not. */
int debuginfod_ask(struct debuginfod *debuginfod, const uint8_t *build_id, size_t size,
		   debuginfod_fn *done, void *context);
/* What came is not that build's debug file. */
void debuginfod_wrong(struct debuginfod *debuginfod, const uint8_t *build_id, size_t size);
void debuginfod_get_stats(const struct debuginfod *debuginfod, struct debuginfod_stats *ret);
