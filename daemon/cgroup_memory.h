/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How much memory the processes of each cgroup have together, look by look: what they have
 * resident (file, anonymous, shared), added up. What several of them share counts in each.
 *
 * A row is kept as long as its cgroup has processes, and CGROUP_MEMORY_KEEP_NS longer: the
 * time lines refer to its kind. At most CGROUP_MEMORY_MAX have rows of their own; the
 * processes of others are summed up in one, which is counted in `others`.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/clock.h"
#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "daemon/session_times.h"

#define CGROUP_MEMORY_MAX 1024u
#define CGROUP_MEMORY_KEEP_NS (600 * NSEC_PER_SEC)

struct cgroup_table;

struct cgroup_memory_row {
	uint64_t id;
	char *path; /* "": of those without rows of their own */
	struct measure_kind kind; /* its name is the path */
	uint64_t bytes, before; /* in this look, and when it was last noted */
	uint64_t noted, seen; /* boot time, ns */
};

struct cgroup_memory {
	VEC(struct cgroup_memory_row *) rows;
	struct hashmap by_id; /* -> place */
	uint64_t others; /* processes without a row of their own cgroup, in the last look */
};

typedef void cgroup_memory_fn(void *context, const struct cgroup_memory_row *row);

void cgroup_memory_deinit(struct cgroup_memory *memory);
/* A look begins. */
void cgroup_memory_begin(struct cgroup_memory *memory);
/* A process of it; id 0, or one whose path is not known, is passed over. */
void cgroup_memory_add(struct cgroup_memory *memory, struct cgroup_table *paths, uint64_t id,
		       uint64_t bytes, uint64_t now);
/* The look is over: calls for each row that has changed, or was not noted for long; once
 * more, with 0 bytes, for one that is empty now. */
void cgroup_memory_end(struct cgroup_memory *memory, uint64_t now, cgroup_memory_fn *note,
		       void *context);
