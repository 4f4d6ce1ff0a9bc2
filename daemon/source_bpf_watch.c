/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The live source's views of what is seen by tracepoints: when they look (duty.h).
 */
#include <errno.h>
#include <stdlib.h>

#include <bpf/bpf.h>

#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/source_bpf_internal.h"

#include "cpu.skel.h"

/* What one costs its CPU where nothing comes of it: measured by `make bench-memory`. */
#define FAULT_NS 90u
#define MAPPING_NS 350u
#define SAMPLE_NS 2000u /* of perfd's own time */

static const struct {
	uint32_t first, last; /* slots */
	uint32_t firing_ns; /* what a firing and all between two cost, without the programs */
} parts[BPF_WATCH_COUNT] = {
	[BPF_WATCH_FAULTS] = {ABI_SLOT_FAULTS, ABI_SLOT_FAULTS, ABI_FAULTS_PERIOD *FAULT_NS},
	[BPF_WATCH_MAPPINGS] = {ABI_SLOT_MMAP, ABI_SLOT_MUNMAP, MAPPING_NS},
};

static double budget(const struct source_bpf *s, enum bpf_watch which)
{
	/* A session looks all the time, and the view's part costs nothing more. */
	if (which == BPF_WATCH_MAPPINGS && source_mmap_has_sessions(&s->mmap))
		return 0;
	return s->config->view_budget_permille / 1e3 * (s->views > 0 ? s->views : 1);
}

void bpf_share_views(struct source *source, double part)
{
	self(source)->views = part;
}

static bool has_slot(const struct source_bpf *s, enum bpf_watch which, uint32_t slot)
{
	if (which == BPF_WATCH_FAULTS)
		return slot == ABI_SLOT_FAULTS && s->faults.skel;
	return slot == ABI_SLOT_MMAP || slot == ABI_SLOT_MUNMAP;
}

static uint64_t paid_by(const struct abi_counters *counters, uint32_t firing_ns)
{
	uint64_t paid = counters->fired * firing_ns + counters->run_ns;

	for (unsigned int reason = 0; reason < ABI_REASON_COUNT; reason++)
		paid += counters->samples[reason] * SAMPLE_NS;
	return paid;
}

/* What each CPU has paid, since it has been counted; the most that one paid since the last time. */
static uint64_t most_paid(struct source_bpf *s, enum bpf_watch which)
{
	struct bpf_watched *watched = &s->watched[which];
	int map = bpf_map__fd(s->programs.sampler->maps.counters);
	uint64_t most = 0;

	for (int cpu = 0; cpu < s->possible_cpus; cpu++)
		watched->sum[cpu] = 0;
	for (uint32_t slot = parts[which].first; slot <= parts[which].last; slot++) {
		if (!s->open[slot] || !has_slot(s, which, slot) ||
		    bpf_map_lookup_elem(map, &slot, s->per_cpu))
			continue;
		for (int cpu = 0; cpu < s->possible_cpus; cpu++)
			watched->sum[cpu] += paid_by(&s->per_cpu[cpu], parts[which].firing_ns);
	}
	for (int cpu = 0; cpu < s->possible_cpus; cpu++) {
		uint64_t paid = watched->sum[cpu] - watched->paid[cpu];

		if (watched->sum[cpu] > watched->paid[cpu] && paid > most)
			most = paid;
		watched->paid[cpu] = watched->sum[cpu];
	}
	return most;
}

static void tell(struct source_bpf *s, enum bpf_watch which)
{
	for (uint32_t slot = parts[which].first; slot <= parts[which].last; slot++)
		if (s->open[slot] && has_slot(s, which, slot) && bpf_write_slot(s, slot, true))
			log_warning("a view's window cannot be set: %d", errno);
}

static int look(struct source_bpf *s, enum bpf_watch which, bool on, struct error *error)
{
	if (which == BPF_WATCH_MAPPINGS)
		return source_mmap_look(&s->mmap, on, error);
	if (on)
		return source_faults_begin(&s->faults, error);
	source_faults_end(&s->faults);
	return 0;
}

static void run(struct source_bpf *s, enum bpf_watch which, uint64_t now)
{
	struct bpf_watched *watched = &s->watched[which];
	struct duty *duty = &watched->duty;
	enum duty_step step;
	struct error error;

	if (now < duty->next)
		return;
	duty->budget = budget(s, which);
	if (duty_wants_cost(duty, now)) {
		if (now > watched->looked)
			duty_cost(duty,
				  (double)most_paid(s, which) / (double)(now - watched->looked));
		watched->looked = now;
	}
	while ((step = duty_run(duty, now, (uint64_t)arc4random() << 32 | arc4random()))) {
		if (step != DUTY_CLOSE)
			tell(s, which);
		if (step == DUTY_TELL)
			continue;
		/* What fell between two looks is nobody's. */
		if (step == DUTY_OPEN)
			most_paid(s, which);
		watched->looked = now;
		if (look(s, which, step == DUTY_OPEN, &error))
			log_warning("%s", error.text);
	}
}

uint64_t bpf_watch(struct source *source, uint64_t now)
{
	struct source_bpf *s = self(source);
	uint64_t next = 0;

	for (unsigned int which = 0; which < BPF_WATCH_COUNT; which++) {
		struct bpf_watched *watched = &s->watched[which];

		if (!watched->used)
			continue;
		run(s, which, now);
		/* A look at the cost can wait until perfd is awake anyway. */
		if (watched->duty.state != DUTY_ALWAYS && (!next || watched->duty.next < next))
			next = watched->duty.next;
	}
	return next;
}

static struct bpf_watched *watched_of(struct source_bpf *s, uint32_t slot)
{
	for (unsigned int which = 0; which < BPF_WATCH_COUNT; which++)
		if (s->watched[which].used && has_slot(s, which, slot))
			return &s->watched[which];
	return NULL;
}

int bpf_watch_open(struct source_bpf *s, uint32_t slot)
{
	for (unsigned int which = 0; which < BPF_WATCH_COUNT; which++) {
		struct bpf_watched *watched = &s->watched[which];

		if (!has_slot(s, which, slot) || watched->used)
			continue;
		if (!watched->sum)
			watched->sum = calloc((size_t)s->possible_cpus, sizeof(*watched->sum));
		if (!watched->paid)
			watched->paid = calloc((size_t)s->possible_cpus, sizeof(*watched->paid));
		if (!watched->sum || !watched->paid)
			return -ENOMEM;
		watched->looked = clock_boot_ns();
		duty_init(&watched->duty, budget(s, which), watched->looked);
		watched->used = true;
	}
	return 0;
}

void bpf_watch_close(struct source_bpf *s, uint32_t slot)
{
	struct bpf_watched *watched = watched_of(s, slot);

	if (!watched)
		return;
	for (uint32_t other = ABI_SESSION_SLOTS; other < ABI_SLOTS_MAX; other++)
		if (other != slot && s->open[other] && watched_of(s, other) == watched)
			return;
	watched->used = false;
}

void bpf_watch_deinit(struct source_bpf *s)
{
	for (unsigned int which = 0; which < BPF_WATCH_COUNT; which++) {
		free(s->watched[which].sum);
		free(s->watched[which].paid);
	}
}

struct duty_window bpf_watch_window(struct source_bpf *s, uint32_t slot, uint32_t *ret_slices)
{
	const struct bpf_watched *watched = watched_of(s, slot);
	struct duty duty;

	if (!watched)
		duty_init(&duty, 0, 0);
	*ret_slices = watched ? watched->duty.slices : 1;
	return watched ? watched->duty.window : duty.window;
}
