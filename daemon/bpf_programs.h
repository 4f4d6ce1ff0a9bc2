/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The BPF programs: opened, sized by the configuration, loaded, attached. What
 * the kernel refuses becomes a sentence that names the cause as far as the
 * kernel tells it.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/config.h"
#include "daemon/unwind_maps.h"

struct bpf_object;
struct cpu_bpf;
struct process_bpf;

struct bpf_programs {
	struct cpu_bpf *sampler; /* owns the maps */
	struct process_bpf *process; /* borrows them */
	int tasks_link, memory_link; /* of the task iterators */
};

/* libbpf's own talk goes to the debug log. */
void bpf_programs_log(void);
int bpf_programs_load(struct bpf_programs *programs, const struct config *config,
		      uint32_t ring_count, struct error *error);
/* Lends the maps of one object to another that has such by name, before it is loaded; -errno. */
int bpf_programs_lend(const struct bpf_object *owner, struct bpf_object *borrower);
void bpf_programs_destroy(struct bpf_programs *programs);
struct unwind_map_fds bpf_programs_unwind_fds(const struct bpf_programs *programs);
/* Run time and runs of all programs; 0 unless kernel.bpf_stats_enabled. */
void bpf_programs_run_time(const struct bpf_programs *programs, uint64_t *ret_ns,
			   uint64_t *ret_runs);
