/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The live source's eyes on mmap, mremap, munmap and brk (bpf/mmap.bpf.c): loaded with the
 * first slot that wants them, attached while one does and looks.
 *
 * Where the kernel's tracepoint of the mmap_lock is cheap (6.14 and later), that is used;
 * elsewhere a hook on all system calls, which costs each of them something: so there it is
 * for sessions only, and the system-wide views stay closed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/config.h"
#include "daemon/source.h"

struct bpf_link;
struct bpf_programs;
struct mmap_bpf;

struct source_mmap {
	struct mmap_bpf *skel; /* NULL: not loaded yet */
	struct bpf_link *link; /* NULL: no slot wants it */
	bool cheap; /* by the tracepoint */
	bool rests; /* the views do not look just now */
};

/* 0, or -errno with a sentence; -EOPNOTSUPP: too dear for a view of all processes here. */
int source_mmap_open(struct source_mmap *mmap, const struct bpf_programs *programs,
		     const struct config *config, uint32_t slot, const struct source_slot *how,
		     struct error *error);
void source_mmap_close(struct source_mmap *mmap, uint32_t slot);
/* The views look from now on, or do not: sessions do in any case. 0, or -errno with a sentence. */
int source_mmap_look(struct source_mmap *mmap, bool on, struct error *error);
bool source_mmap_has_sessions(const struct source_mmap *mmap);
void source_mmap_deinit(struct source_mmap *mmap);
/* Adds the program's run time. */
void source_mmap_run_time(const struct source_mmap *mmap, uint64_t *ns, uint64_t *runs);
