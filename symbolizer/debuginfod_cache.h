/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A folder of debug files by build id, as they came from a debuginfod server: at most
 * `limit` bytes of them, the least lately used go first. What servers do not have is
 * remembered too, for some minutes, as an empty file. Several processes may share one
 * folder: files appear whole, by rename(2).
 *
 * Nothing of a file is read here. The folder must be the user's own, and nobody else's to
 * write. Ownership: the struct owns its descriptor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/base/error.h"

#define DEBUGINFOD_BUILD_ID_MAX 64u /* bytes */
#define DEBUGINFOD_NAME_SIZE (2 * DEBUGINFOD_BUILD_ID_MAX + 16)
#define DEBUGINFOD_MISSING_SECONDS 600 /* how long "not there" is believed */

struct debuginfod_cache {
	int folder; /* -1: none */
	uint64_t limit; /* bytes */
	uint64_t evicted; /* files */
};

/* Makes the folder if only it is missing. -EPERM: it is somebody else's; -errno; with a
 * sentence. */
int debuginfod_cache_open(struct debuginfod_cache *cache, const char *path, uint64_t limit,
			  struct error *error);
void debuginfod_cache_close(struct debuginfod_cache *cache);
/* *ret_fd: for reading, the caller's. -ENOENT: not known; -ENODATA: no server had it a
 * moment ago; -EINVAL: no build id. */
int debuginfod_cache_get(struct debuginfod_cache *cache, const uint8_t *build_id, size_t size,
			 int *ret_fd);
/* A file to be filled, for writing, the caller's: to be kept or dropped under the same
 * build id. -EEXIST: somebody fills it already. */
int debuginfod_cache_begin(struct debuginfod_cache *cache, const uint8_t *build_id, size_t size,
			   int *ret_fd);
/* It is whole: from now on it is there. Makes room. *ret_fd as debuginfod_cache_get(). */
int debuginfod_cache_keep(struct debuginfod_cache *cache, const uint8_t *build_id, size_t size,
			  int *ret_fd);
void debuginfod_cache_drop(struct debuginfod_cache *cache, const uint8_t *build_id, size_t size);
/* No server has it, or what it has is another build's: what is there goes. */
void debuginfod_cache_missing(struct debuginfod_cache *cache, const uint8_t *build_id, size_t size);
/* Bytes in the folder now. */
uint64_t debuginfod_cache_bytes(const struct debuginfod_cache *cache);
