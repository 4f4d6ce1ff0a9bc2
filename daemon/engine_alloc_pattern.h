/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rules by which processes' allocations are sampled (alloc_pattern.h), as people see them:
 * marks and the series "heap interval" in the sessions that follow the process, rows of `rates`.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

struct engine;

/* Processes that `rates` tells of, at most: those that allocate most. */
#define ENGINE_ALLOC_PATTERNS_MAX 64u

/* What has changed since: to be called with each run of heap_follow.h. */
void engine_tell_alloc_patterns(struct engine *engine, uint64_t now);
/* All followed processes, or those of the owner's sessions. New reference. */
json_t *engine_alloc_patterns(const struct engine *engine, bool all, uid_t owner);
