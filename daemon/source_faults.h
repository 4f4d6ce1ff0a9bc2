/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The live source's eyes on the page faults of the whole machine (bpf/faults.bpf.c): loaded
 * with the view, attached while it looks.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/config.h"

struct bpf_link;
struct bpf_programs;
struct faults_bpf;

struct source_faults {
	struct faults_bpf *skel; /* NULL: not loaded */
	struct bpf_link *user, *kernel; /* NULL: it does not look */
};

/* 0, or -errno with a sentence: there is the kernel's event still (sampling_event.h). */
int source_faults_load(struct source_faults *faults, const struct bpf_programs *programs,
		       const struct config *config, struct error *error);
int source_faults_begin(struct source_faults *faults, struct error *error);
void source_faults_end(struct source_faults *faults);
void source_faults_deinit(struct source_faults *faults);
/* Adds the program's run time. */
void source_faults_run_time(const struct source_faults *faults, uint64_t *ns, uint64_t *runs);
