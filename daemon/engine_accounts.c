/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where every sample went. The kernel side counts each firing, and what it made of it; the
 * daemon each record that it took, and what it made of that. Once nothing fires any more and
 * the rings are empty, both must come to the same, for each slot:
 *
 *	fired = idle + filtered + thinned + lost in a ring
 *	      + stored + refused + limited + unasked
 *
 * What is left over is unexplained: a fault of ours.
 */
#include "daemon/engine_internal.h"

#include <inttypes.h>
#include <stdlib.h>

#include "daemon/base/log.h"

static void add_kernel(struct engine_accounts *sum, const struct abi_counters *counters)
{
	sum->fired += counters->fired;
	sum->idle += counters->idle;
	sum->filtered += counters->filtered;
	sum->thinned += counters->thinned;
	sum->lost_ring += counters->samples[ABI_REASON_LOST_RING];
}

static int64_t unexplained(const struct engine_accounts *sum)
{
	return (int64_t)(sum->fired - sum->idle - sum->filtered - sum->thinned - sum->lost_ring -
			 sum->taken.stored - sum->taken.refused - sum->taken.limited -
			 sum->taken.unasked);
}

struct engine_accounts engine_accounts(const struct engine *engine,
				       const struct source_counters *counters)
{
	struct engine_accounts sum = {0};

	for (uint32_t slot = 0; slot < ABI_SLOTS_MAX; slot++) {
		const struct engine_taken *taken = &engine->taken[slot];
		struct engine_accounts one = {.taken = *taken};
		int64_t apart;

		if (slot == ABI_SLOT_PROCESS) /* counts processes */
			continue;
		add_kernel(&one, &counters->slot[slot]);
		apart = unexplained(&one);
		add_kernel(&sum, &counters->slot[slot]);
		sum.taken.stored += taken->stored;
		sum.taken.refused += taken->refused;
		sum.taken.limited += taken->limited;
		sum.taken.unasked += taken->unasked;
		/* Too many here and too few there are two faults, not none. */
		sum.unexplained += (uint64_t)llabs(apart);
	}
	return sum;
}

void engine_tell_accounts(struct engine *engine)
{
	struct source_counters *counters = malloc(sizeof(*counters));
	struct engine_accounts sum;

	/* A recording's firings are its own perfd's. */
	if (!counters || !engine->source->ops->target_slots) {
		free(counters);
		return;
	}
	engine->source->ops->get_counters(engine->source, counters);
	sum = engine_accounts(engine, counters);
	free(counters);
	log_notice("accounts: fired=%" PRIu64 " idle=%" PRIu64 " filtered=%" PRIu64
		   " thinned=%" PRIu64 " lost_ring=%" PRIu64 " stored=%" PRIu64 " refused=%" PRIu64
		   " limited=%" PRIu64 " unasked=%" PRIu64 " unexplained=%" PRIu64
		   " view_cpu=%" PRIu64 " view_faults=%" PRIu64 " view_mmap=%" PRIu64
		   " view_munmap=%" PRIu64,
		   sum.fired, sum.idle, sum.filtered, sum.thinned, sum.lost_ring, sum.taken.stored,
		   sum.taken.refused, sum.taken.limited, sum.taken.unasked, sum.unexplained,
		   engine->taken[ABI_SLOT_CPU].stored, engine->taken[ABI_SLOT_FAULTS].stored,
		   engine->taken[ABI_SLOT_MMAP].stored, engine->taken[ABI_SLOT_MUNMAP].stored);
}
