/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Follows sampled allocations until they are freed: what each site has in use, what it had
 * when all sites together had most, how long things lived, and snapshots from time to time.
 *
 * An owner is who has addresses of its own: a process. A site is an owner's stack. Who calls
 * names both by numbers; the tracker makes a place for each site and hands it back.
 *
 * The peak is kept without copying: a site's share of it is what it has in use, until that
 * changes for the first time after the peak; only then it is set aside.
 *
 * Snapshots begin at one a second. When HEAP_SNAPSHOTS_MAX are there, every other one is
 * dropped and the distance doubles.
 *
 * Bounded: at most HEAP_OBJECTS_MAX are followed at once, of HEAP_SITES_MAX sites. Of what
 * is above, allocations count, but nothing else is known: they are in no figure of what is in
 * use, and are counted in `untracked`.
 *
 * Who looks at frees may have to stop for a while (heap_tracker_break()). What was in use then is
 * of unknown fate, like what nobody follows; what is in use, the peak and growth are from then on
 * those of what came since. Sums of what was allocated, freed soon or is of unknown fate go on.
 *
 * Times are of one clock, in ns, and ascend but for what threads do at the same moment.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/hashmap.h"
#include "daemon/base/vec.h"
#include "flamegraph/heap_data.h"

#define HEAP_OBJECTS_MAX (1u << 20) /* if nobody says otherwise */
#define HEAP_SITES_MAX 8192u
#define HEAP_SNAPSHOT_NS 1000000000ULL
#define HEAP_OWNERS_MAX 65535u
#define HEAP_SITE_NONE UINT32_MAX

struct heap_object {
	uint64_t key; /* owner and address; 0: the place is free */
	uint64_t time;
	uint64_t count, bytes;
	uint32_t site; /* HEAP_SITE_NONE: it is followed only so that its end is no surprise */
	uint32_t next_free; /* place + 1; 0: none */
};

/* A site with what is needed while it changes. */
struct heap_tracked {
	struct heap_site site; /* its stack is the caller's number; live includes what is new */
	uint32_t owner;
	uint8_t reason; /* the caller's */
	uint64_t peak_epoch; /* site.peak is of that peak; else it is site.live */
	/* Of what moves since the last snapshot. */
	double fresh_var, moved_var;
};

struct heap_owner {
	struct heap_sum live, most; /* now; at most since heap_tracker_take_most() */
	uint64_t ended; /* 0: no */
};

struct heap_tracker {
	struct hashmap index; /* of objects */
	VEC(struct heap_object) objects;
	uint32_t first_free;
	size_t objects_max;
	size_t object_count; /* in use */
	struct hashmap site_index;
	VEC(struct heap_tracked) sites;
	VEC(struct heap_owner) owners;
	struct heap_sum live; /* of all owners that have not ended */
	uint64_t peak_bytes, peak_time, peak_epoch;
	VEC(uint64_t) snapshots;
	uint64_t last_snapshot, snapshot_ns;
	bool follows; /* somebody tells of frees */
	uint64_t since; /* all is followed; 0: from the beginning */
	uint32_t breaks;
	uint64_t frees, unknown_frees;
	uint64_t lost_frees; /* an address came again without its free */
	uint64_t untracked; /* sampled, but not followed */
	uint64_t untracked_sites; /* of these: for want of room for sites */
};

struct heap_allocation {
	uint64_t time;
	uint32_t owner; /* < HEAP_OWNERS_MAX */
	uint32_t stack;
	uint8_t reason;
	uint64_t address; /* 0: nobody will tell of its end */
	bool unfollowed; /* likewise, for want of room where the frees are seen */
	uint64_t count, bytes; /* what it stands for */
};

#define HEAP_LIFE_UNKNOWN UINT64_MAX

/* `time`: of the beginning. */
void heap_tracker_init(struct heap_tracker *tracker, uint64_t time);
void heap_tracker_deinit(struct heap_tracker *tracker);
void heap_tracker_alloc(struct heap_tracker *tracker, const struct heap_allocation *what);
/* Others of a time that nobody looked at, as one that was seen: they add to what was allocated
 * and what became of it, by its life (ns until it was freed, or HEAP_LIFE_UNKNOWN), and are in no
 * figure of what is in use. */
void heap_tracker_repeat(struct heap_tracker *tracker, const struct heap_allocation *what,
			 uint64_t life);
void heap_tracker_free(struct heap_tracker *tracker, uint64_t time, uint32_t owner,
		       uint64_t address);
/* It is in use, but nobody will tell of its end. */
void heap_tracker_lose(struct heap_tracker *tracker, uint64_t time, uint32_t owner,
		       uint64_t address);
/* An address that is no allocation of its own, but will be freed. */
void heap_tracker_ignore(struct heap_tracker *tracker, uint64_t time, uint32_t owner,
			 uint64_t address);
/* Nobody looked for a while: what becomes of all that the owner has in use is unknown. Moments
 * (peak, growth) begin anew. */
void heap_tracker_break(struct heap_tracker *tracker, uint64_t time, uint32_t owner);
/* The owner ends: what it has in use is leaked. */
void heap_tracker_end(struct heap_tracker *tracker, uint64_t time, uint32_t owner);
/* The owner loses all it had without freeing it, and goes on. */
void heap_tracker_clear(struct heap_tracker *tracker, uint64_t time, uint32_t owner);
/* Takes a snapshot if it is time for one. */
void heap_tracker_tick(struct heap_tracker *tracker, uint64_t time);
/* The most that the owner had in use since it was asked for last. */
struct heap_sum heap_tracker_take_most(struct heap_tracker *tracker, uint32_t owner);
/* The caller has other numbers for stacks: those of the sites, in the tracker's order; NULL: none
 * is known any more (UINT32_MAX). -ENOMEM: what comes from now on begins sites of its own. */
int heap_tracker_renumber(struct heap_tracker *tracker, const uint32_t *stacks);
/* A copy of everything as of now, with sites in the tracker's order: `stack` as the caller
 * numbered it, `process` the owner. Moments are since `begin`. -ENOMEM: nothing in *ret. */
int heap_tracker_export(const struct heap_tracker *tracker, uint64_t begin, uint64_t now,
			struct heap_data *ret);
