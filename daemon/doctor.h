/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What perfd needs of a machine, need by need: whether it is there, why it matters, and the
 * command that mends it. doctor_read() (doctor_facts.c) looks, as whoever runs it, and changes
 * nothing; the checks (doctor.c) are one table of functions that decide by the facts alone.
 *
 * Facts are plain: no ownership, sizes in bytes, rates in Hz. What could not be looked at is
 * unknown, not missing. The texts of a finding are its own; those of a check are the table's.
 *
 * Source: capabilities(7), kernel/sysctl documentation, bpf-helpers(7).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/config.h"

enum doctor_state {
	DOCTOR_OK,
	DOCTOR_DEGRADED, /* perfd runs, but something of it is less or not to be had */
	DOCTOR_MISSING, /* perfd cannot run, or not do what it is set to */
	DOCTOR_UNKNOWN, /* whoever asks may not look */
	DOCTOR_STATES
};
const char *doctor_state_name(enum doctor_state state); /* "ok", … */

#define DOCTOR_NUMBER_UNKNOWN (-1L) /* of a sysctl */

/* What the kernel can, each known or not. */
struct doctor_features {
	bool by_btf; /* asked of the kernel's BTF; else by its version */
	bool loop, ring_buffer, task_iterator, uprobe_multi;
};

/* A folder that perfd keeps things in. */
struct doctor_folder {
	const char *path; /* "" or `wanted` 0: nothing is kept */
	uint64_t wanted; /* what may be taken there */
	int error; /* errno of looking at it; ENOENT: perfd will make it */
	bool is_folder, read_only;
	uint32_t owner, mode; /* permission bits */
	uint64_t room; /* free, for perfd */
};

enum doctor_daemon { DAEMON_NONE, DAEMON_DEAF, DAEMON_CLOSED, DAEMON_RUNS };

struct doctor_facts {
	const struct config *config; /* borrowed */
	bool root; /* who asks */
	char user[64];
	/* The running perfd. */
	enum doctor_daemon daemon; /* none; one that does not answer; may not be asked; runs */
	char daemon_error[256];
	char daemon_version[32];
	bool capabilities_known; /* of the running perfd; of root, if none runs */
	uint64_t capabilities; /* 1 << CAP_… */
	uint32_t daemon_uid;
	/* The kernel. */
	char release[65];
	char btf[CONFIG_PATH_MAX]; /* path */
	int btf_error; /* errno */
	struct doctor_features features;
	long perf_event_paranoid, kptr_restrict, max_sample_rate, bpf_stats;
	char lockdown[128]; /* "[none] integrity confidentiality"; "": the kernel has none */
	bool uprobe_events; /* perf knows uprobes, without tracefs */
	bool tracefs;
	/* Files and people. */
	bool debug_folder; /* /usr/lib/debug/.build-id */
	bool group_exists, group_member;
	struct doctor_folder history, cache;
};

struct doctor_finding {
	enum doctor_state state;
	char found[384]; /* what there is */
	char mend[384]; /* the command; "" if all is well */
};

struct doctor_check {
	const char *name;
	void (*decide)(const struct doctor_facts *facts, struct doctor_finding *finding);
	const char *why; /* a sentence */
	const char *mend; /* unless the finding has a better one */
};

#define DOCTOR_CHECK_COUNT 18
extern const struct doctor_check doctor_checks[DOCTOR_CHECK_COUNT];

/* Decides one check, with the command that mends it. */
void doctor_examine(const struct doctor_check *check, const struct doctor_facts *facts,
		    struct doctor_finding *ret);
/* Looks at this machine; asks the perfd that serves `config`'s socket. */
void doctor_read(const struct config *config, struct doctor_facts *ret);
