/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The daemon's capabilities. Once its BPF programs are loaded and before it has any thread or
 * client, it lets all go that are not in the table below, from its bounding set as well, so
 * that no child can have them either; and new privileges, by whatever it executes, for good.
 * docs/privileges.md has the table, with what the children keep of it; the unit's
 * CapabilityBoundingSet= is the same list.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/error.h"

/* X(capability, number, what for) */
#define PRIVILEGES(X)                                                                              \
	X(DAC_READ_SEARCH, 2, "files and cgroups of others, by handle and path")                   \
	X(KILL, 5, "to end a worker or an opener, which is another user, when it hangs")           \
	X(SETGID, 6, "workers, openers and fetchers become nobody")                                \
	X(SETUID, 7, "likewise")                                                                   \
	X(SYS_PTRACE, 19, "others' /proc/PID, memory of Java programs, the injector")              \
	X(SYS_ADMIN, 21,                                                                           \
	  "probes in programs (uprobes, since Linux 6.16 and its contemporaries); perf events "    \
	  "where kernel.perf_event_paranoid is above 2; map_files before Linux 5.9")               \
	X(SYSLOG, 34, "addresses of the kernel's functions")                                       \
	X(PERFMON, 38, "events of new sessions and of CPUs that come")                             \
	X(BPF, 39, "maps before Linux 5.19; the programs of -e heap, when first asked for")        \
	X(CHECKPOINT_RESTORE, 40, "/proc/PID/map_files")

/* Bits of those that are kept of the `has`. */
uint64_t privileges_needed(uint64_t has);
/* Joins the group that sees all, as the unit has perfd do: so that a socket can be given to it
 * without CAP_CHOWN. What cannot be joined is passed over: whoever needs it will be told. */
void privileges_join(gid_t group);
/* 0: this thread, and all it will start and execute, has what is needed and no more. */
int privileges_drop(struct error *error);
