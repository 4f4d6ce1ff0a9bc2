/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a profile of allocations has beside its samples: its sites, and the moments at which
 * they were looked at.
 *
 * Ownership: the data owns its sites. Stacks and processes are ids of the profile that has it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/vec.h"
#include "flamegraph/heap_site.h"

#define HEAP_SNAPSHOTS_MAX 64u

struct heap_data {
	VEC(struct heap_site) sites; /* each stack of a process once */
	VEC(uint64_t) snapshots; /* ns since the profile's beginning, ascending */
	uint64_t peak_ns; /* likewise; when all sites together had most in use */
	bool frees; /* frees were followed: what is in use, and how long, is known */
	/* Since then all is followed; before, what was in use became unknown `breaks` times. Ns
	 * since the profile's beginning. */
	uint64_t since_ns;
	uint32_t breaks;
	/* Of the time that probes on functions were wanted, in which they looked; 0: it was not
	 * by such. */
	uint64_t wanted_ns, observed_ns;
	bool joined; /* of several sessions: no peak and no snapshots, for these do not add up */
};

void heap_data_deinit(struct heap_data *data);

/* How the ids of a profile become those of another. */
struct heap_data_map {
	const uint32_t *stacks, *processes; /* NULL: as they are */
	uint64_t shift_ns; /* of moments */
};
/* Adds all of `from`. -ENOMEM: `into` then has a part of it. */
int heap_data_join(struct heap_data *into, const struct heap_data *from,
		   const struct heap_data_map *map);
