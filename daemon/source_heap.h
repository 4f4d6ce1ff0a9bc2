/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The live source's probes in programs (bpf/heap.bpf.c): uprobes by file and offset, for
 * one process each, so that no other is slowed. The BPF program is loaded with the first.
 *
 * Links go one after another in a thread of their own: with each the kernel waits, some 50 ms,
 * until no CPU runs its program any more; the probes of those that are left go on firing until
 * then. Where fates are followed, all of a file's probes are one link.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/error.h"
#include "daemon/base/vec.h"
#include "daemon/config.h"

struct abi_heap_target;
struct bpf_link;
struct bpf_programs;
struct fates_loading;
struct heap_bpf;
struct heap_session_bpf;
struct pid_marks;
struct probe_points;

/* What a call of a function with a probe costs its thread. */
struct heap_cost {
	uint32_t hit_ns;
	uint32_t return_ns; /* besides, where the call has a return probe */
};

/* Until it was measured. */
#define HEAP_HIT_NS 700u
#define HEAP_RETURN_NS 500u

struct source_heap {
	struct heap_bpf *skel; /* NULL: not loaded yet */
	/* What tells of frees (bpf/heap_session.bpf.c); NULL: nobody has wanted it yet,
	 * or it cannot be had: `why`. */
	struct heap_session_bpf *fates; /* loaded when it is wanted first */
	struct fates_loading *loading; /* that is under way; NULL */
	const struct bpf_programs *programs; /* the owner's */
	const char *btf; /* the configuration's */
	char why[200];
	int type; /* of the kernel's uprobe events */
	struct pid_marks *marks; /* the owner's */
	struct heap_cost cost;
};

/* Which of a file's. */
enum heap_probes {
	HEAP_PROBES_NOTES, /* a library's own */
	HEAP_PROBES_CALLS, /* of an allocator's functions: those that give */
	HEAP_PROBES_FATES, /* of all of them, and their returns; source_heap_follow() was 0 */
};

/* A probe, or several: one of the two. */
struct heap_link {
	struct bpf_link *link;
	int fd; /* of session probes, which this libbpf may not know; -1 */
	uint32_t count; /* of probes */
};

/* Some probes of one file in one process. */
struct heap_links {
	VEC(struct heap_link) links;
};

/* 0, or -errno with a sentence. */
int source_heap_load(struct source_heap *heap, const struct bpf_programs *programs,
		     const struct config *config, struct error *error);
void source_heap_deinit(struct source_heap *heap);
/* `path`: to the file, in perfd's own view. pid -1: in all processes, notes only. Adds to `links`;
 * how many of the points have none. */
uint32_t source_heap_attach(struct source_heap *heap, pid_t pid, const char *path,
			    const struct probe_points *points, enum heap_probes which,
			    struct heap_links *links);
/* By some thousand calls of a function of perfd's own: milliseconds. Anything but 0: it is not
 * known. */
int source_heap_measure(struct source_heap *heap, struct heap_cost *ret);
/* Whether it is known if fates can be followed. If it is not, a thread finds out: the verifier
 * takes a good part of a second, and the caller has others to serve. */
bool source_heap_fates_known(struct source_heap *heap);
/* From now on what the process's samples become is followed, of at most so many at a time;
 * what was followed before is forgotten. 0: no more. -EOPNOTSUPP: the kernel cannot; -EAGAIN: not
 * known yet. */
int source_heap_follow(struct source_heap *heap, uint32_t pid, uint32_t objects);
void source_heap_detach(struct heap_links *links);
/* Probes, not links. */
uint32_t source_heap_count(const struct heap_links *links);
/* NULL: the process has no probes any more. */
int source_heap_set_target(struct source_heap *heap, uint32_t pid,
			   const struct abi_heap_target *target);
/* False: it has none. */
bool source_heap_target(struct source_heap *heap, uint32_t pid, struct abi_heap_target *ret);
/* Adds the program's run time. */
void source_heap_run_time(const struct source_heap *heap, uint64_t *ns, uint64_t *runs);
