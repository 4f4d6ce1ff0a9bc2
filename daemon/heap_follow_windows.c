/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/heap_follow_windows.h"

#include <time.h>

#include "daemon/base/clock.h"

/* The kernel's number for a process's clock: clock_getcpuclockid(3), which asks more. 0: it has
 * ended. */
static uint64_t cpu_of(uint32_t pid)
{
	clockid_t clock = (clockid_t)(~pid << 3 | 2);
	struct timespec time;

	if (clock_gettime(clock, &time))
		return 0;
	return (uint64_t)time.tv_sec * NSEC_PER_SEC + (uint64_t)time.tv_nsec;
}

static uint64_t cost_of(const struct heap_follow *follow, const struct heap_followed *followed,
			const struct abi_heap_target *target)
{
	return (target->hits - followed->hits) * heap_follow_hit_ns(follow) + target->sampled_ns -
	       followed->sampled_ns;
}

struct heap_spent heap_follow_spent(const struct heap_follow *follow,
				    const struct heap_followed *followed)
{
	struct heap_spent spent = {.cpu = cpu_of(followed->process->pid),
				   .probes = followed->probes_ns};
	struct abi_heap_target target;

	if (source_heap_target(follow->source->heap, followed->process->pid, &target))
		spent.probes += cost_of(follow, followed, &target);
	return spent;
}

uint64_t heap_follow_charge(struct heap_follow *follow, struct heap_followed *followed,
			    const struct abi_heap_target *target)
{
	uint64_t cost = cost_of(follow, followed, target);

	follow->hits += target->hits - followed->hits;
	followed->hits = target->hits;
	followed->sampled_ns = target->sampled_ns;
	followed->probes_ns += cost;
	follow->probes_ns += cost;
	heap_windows_charge(&followed->windows, cost);
	return cost;
}

/* What the window is, which ends then, as the kernel side knows it. */
static int set_target(struct heap_follow *follow, struct heap_followed *followed, uint64_t until,
		      uint64_t fates_until)
{
	struct abi_heap_target target = {0};

	/* What the kernel side counts there goes on. */
	if (!source_heap_target(follow->source->heap, followed->process->pid, &target))
		target = (struct abi_heap_target){0};
	target.from = followed->windows.opened;
	target.until = until;
	target.view = followed->process->heap_wanted;
	target.fates_until = followed->fates ? fates_until : 0;
	heap_rules_fill(&followed->rules, &target);
	return source_heap_set_target(follow->source->heap, followed->process->pid, &target);
}

void heap_follow_open(struct heap_follow *follow, struct heap_followed *followed, double share)
{
	uint64_t now = clock_boot_ns();
	struct heap_spent spent = heap_follow_spent(follow, followed);

	followed->next = heap_windows_open(&followed->windows, now, &spent, share);
	set_target(follow, followed, UINT64_MAX, UINT64_MAX);
}

uint64_t heap_follow_wait(const struct heap_follow *follow, const struct heap_followed *followed,
			  uint64_t now)
{
	struct heap_spent spent = heap_follow_spent(follow, followed);

	return heap_windows_wait(&followed->windows, now, &spent);
}

void heap_follow_close(struct heap_follow *follow, struct heap_followed *followed, uint64_t now,
		       uint64_t until, uint64_t fates_until)
{
	struct heap_spent spent = heap_follow_spent(follow, followed);

	heap_windows_close(&followed->windows, now, until, &spent);
	set_target(follow, followed, until, fates_until);
	if (followed->fates && !followed->blind)
		followed->blind = fates_until;
}

void heap_follow_finish(struct heap_follow *follow, struct heap_followed *followed)
{
	const struct heap_windows *windows = &followed->windows;
	uint64_t now = clock_boot_ns(), end = followed->process->end;
	struct heap_spent spent;

	if (!windows->in_first)
		return;
	spent = heap_follow_spent(follow, followed);
	/* Its clock is gone with it: as if it had had a CPU all the time. */
	if (!spent.cpu && end > windows->opened && end <= now)
		spent.cpu = windows->spent.cpu + end - windows->opened;
	heap_windows_part(&followed->windows, now, &spent);
}

bool heap_follow_due(struct heap_followed *followed, uint64_t time)
{
	return heap_windows_due(&followed->windows, time > HEAP_FATE_NS ? time - HEAP_FATE_NS : 0);
}

void heap_follow_restart(struct heap_follow *follow, struct heap_followed *followed, uint64_t now)
{
	struct heap_spent spent = heap_follow_spent(follow, followed);

	heap_windows_restart(&followed->windows, now, &spent);
}
