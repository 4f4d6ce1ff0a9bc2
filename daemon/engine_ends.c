/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How it is known that a process has ended: by its event, by that and a look where the
 * event may mean something else, and by looks alone where events were lost.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/log.h"
#include "daemon/engine_internal.h"
#include "daemon/session_heap.h"

/* Within that time a program that is being executed has mapped something. */
#define DOUBT_NS (200 * NSEC_PER_MSEC)

void engine_process_ended(struct engine *engine, struct process *process, uint64_t time)
{
	engine_alloc_rest(engine, process, time);
	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
		struct session *session = engine->sessions[slot];

		if (session && session->source == ABI_SOURCE_HEAP && (process->slots >> slot & 1))
			session_heap_exit(session, process, time);
		if (session && session->target == process)
			session->end = SESSION_END_EXIT; /* ended after this drain */
	}
}

/* Zombies have ended, and so has who is not there, or has got the number since `start`
 * (boot time ns; 0: not asked). Column 22 is when it began, in ticks (proc_pid_stat(5)). */
static bool has_ended(uint32_t pid, uint64_t start)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[32], line[1024], *at;
	uint64_t tick = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	file = fopen(path, "re");
	if (!file || !fgets(line, sizeof(line), file))
		return true;
	at = strrchr(line, ')'); /* a name may have any bytes */
	if (!at || !at[1] || at[2] == 'Z' || at[2] == 'X')
		return true;
	for (int column = 2; at && column < 22; column++)
		at = strchr(at + 1, ' ');
	return start && at && strtoull(at + 1, NULL, 10) * tick > start + tick;
}

void engine_settle_doubts(struct engine *engine, uint64_t now)
{
	size_t kept = 0;

	for (size_t i = 0; i < engine->doubted.count; i++) {
		struct process *process =
			process_table_alive(&engine->processes, engine->doubted.items[i]);

		if (!process || !process->doubted)
			continue;
		if (now - process->doubted < DOUBT_NS) {
			engine->doubted.items[kept++] = process->pid;
		} else if (engine->source->ops->target_slots && kill((pid_t)process->pid, 0) &&
			   errno == ESRCH) {
			/* The cheaper look: mostly it is gone. */
			engine_process_ended(engine, process, process->doubted);
			process_table_end(&engine->processes, process);
		} else if (engine->source->ops->target_slots && !has_ended(process->pid, 0)) {
			process_table_settled(process);
		} else {
			engine_process_ended(engine, process, process->doubted);
			process_table_end(&engine->processes, process);
		}
	}
	engine->doubted.count = kept;
}

/* ---- ends that nothing told of ---- */

/* Processes that are looked at in a second: by a signal that is none, which is cheap but
 * takes zombies for alive, and where events were lost or somebody waits for the end, in
 * /proc. */
#define SWEEP_LOOKS 64
#define SWEEP_READS 512

/* The event may still be on its way: not before it is seen for the second time. */
static void absent(struct engine *engine, struct process *process)
{
	uint64_t now = engine_time(engine);

	if (!process->absent) {
		process->absent = now;
		return;
	}
	if (now - process->absent < NSEC_PER_SEC / 2)
		return;
	log_debug("process %u has ended, and no event told of it", process->pid);
	engine->ends_untold++;
	engine_process_ended(engine, process, process->absent);
	process_table_gone(&engine->processes, process, process->absent);
}

static void sweep_targets(struct engine *engine)
{
	for (uint32_t slot = 1; slot < ABI_SESSION_SLOTS; slot++) {
		struct session *session = engine->sessions[slot];
		struct process *target = session ? session->target : NULL;

		if (target && !target->end && has_ended(target->pid, target->start))
			absent(engine, target);
	}
}

/* `read`: in /proc. */
static void sweep_some(struct engine *engine, size_t count, bool read)
{
	struct process *found[SWEEP_READS];
	size_t number = 0;
	uint64_t pid, value;

	for (size_t seen = 0; seen < count; seen++) {
		struct process *process;

		if (!hashmap_next(&engine->processes.alive, &engine->sweep_at, &pid, &value)) {
			engine->sweep_at = 0;
			break;
		}
		process = (struct process *)(uintptr_t)value;
		if (read ? has_ended(process->pid, process->start)
			 : kill((pid_t)pid, 0) && errno == ESRCH)
			found[number++] = process;
	}
	for (size_t i = 0; i < number; i++)
		absent(engine, found[i]);
}

/* In the first pid namespace (PROC_PID_INIT_INO, include/linux/proc_ns.h) the kernel's numbers
 * are ours; elsewhere nothing can be looked up by them. */
void engine_begin_sweeps(struct engine *engine)
{
	struct stat st;

	engine->numbers_are_ours = !stat("/proc/self/ns/pid", &st) && st.st_ino == 0xEFFFFFFCu;
}

void engine_sweep(struct engine *engine, uint64_t sideband_lost)
{
	if (!engine->source->ops->target_slots || !engine->numbers_are_ours)
		return;
	if (sideband_lost != engine->sideband_lost_seen)
		engine->sweep_left = 2 * engine->processes.alive.count + SWEEP_READS;
	engine->sideband_lost_seen = sideband_lost;
	sweep_targets(engine);
	sweep_some(engine, engine->sweep_left ? SWEEP_READS : SWEEP_LOOKS, engine->sweep_left);
	engine->sweep_left -= engine->sweep_left < SWEEP_READS ? engine->sweep_left : SWEEP_READS;
}
