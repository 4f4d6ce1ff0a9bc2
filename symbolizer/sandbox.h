/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Takes from the calling process all that a parser of foreign bytes does not
 * need, for good: after sandbox_enter() it can compute, read descriptors it
 * has or is handed, write to its socket and stderr, and end. It must have one
 * thread only.
 *
 * In this order: other descriptors are closed; limits (address space, CPU time, no core,
 * no file to write, few descriptors); capabilities gone from the bounding set
 * on; uid and gid 65534 if it was root; not dumpable; no_new_privs; Landlock
 * with no rule, so no path can be opened (kernel 5.13); a seccomp list of the
 * system calls that remain, any other one kills the process.
 *
 * What this kernel or its surroundings do not grant is left out, with a
 * warning in the log and a bit in the result: never in silence.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum sandbox_layer { /* bits of what is in force */
		     SANDBOX_LIMITS = 1 << 0,
		     SANDBOX_NO_CAPABILITIES = 1 << 1,
		     SANDBOX_NOBODY = 1 << 2, /* not root, by now or from the start */
		     SANDBOX_NO_NEW_PRIVS = 1 << 3,
		     SANDBOX_LANDLOCK = 1 << 4,
		     SANDBOX_SECCOMP = 1 << 5,
		     SANDBOX_ALL = (1 << 6) - 1,
};

#define SANDBOX_DESCRIPTORS_MAX 1024
#define SANDBOX_KEEP_ALL (-2) /* the caller has closed what is not needed */

struct sandbox_config {
	int keep_fd; /* stays open beside stdin, stdout and stderr; -1: none, or KEEP_ALL */
	uint64_t memory_bytes; /* RLIMIT_AS; 0: as it is */
	uint32_t cpu_seconds; /* in its whole life, then SIGXCPU ends it; 0: as it is */
	bool serves; /* it may also take connections of a socket it has, and talk over them */
	bool die_with_parent; /* PR_SET_PDEATHSIG (which a change of uid takes off) */
};

/* The layers that are in force. Ends the process (exit code 71, EX_OSERR of
 * sysexits.h) if privilege is left that it could not drop. */
uint32_t sandbox_enter(const struct sandbox_config *config);
/* What is missing, for a person: "landlock, seccomp"; "" if nothing is. */
void sandbox_missing(uint32_t layers, char *text, uint32_t size);

/* Steps of it that the opener takes too (opener_sandbox.h). */
/* A terminal's Ctrl-C reaches the whole group; but the daemon still needs such a process
 * for what it collected, and ends it by closing its socket. */
void sandbox_ignore_signals(void);
/* All descriptors are closed but stdin, stdout, stderr and `keep` (-1: none). */
void sandbox_close_others(int keep);
void sandbox_drop_bounding_set(void);
