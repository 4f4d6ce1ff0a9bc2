/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who says which code a process has mapped.
 *
 * Mostly the kernel does, as it happens, for every process: names are there before the first
 * sample. But for each mapping of the machine it makes up a path and a build id, which is most of
 * what a start of a program costs by perfd. Where so many start that this would be a
 * good part of the budget, the event is closed: perfd is blind then, but for the processes that
 * are sampled, in whose mappings the walks look themselves (bpf/vma.h). They tell of files that
 * nobody had mapped before (ABI_FOUND), and of everything where a stack is kept to be walked later.
 *
 * When it is over, nothing that was known of mappings is believed any more: it is read anew from
 * /proc as it is needed.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "bpf/abi.h"
#include "daemon/mapping_choice.h"

struct engine;
struct process;

struct engine_mappings {
	struct mapping_choice choice;
	uint64_t looked; /* boot time, ns */
	uint64_t execs, records; /* as of then */
	size_t refresh_at; /* whose mappings are read next */
	uint64_t refreshed; /* boot time, ns: when those of heap sessions were last read */
	double cost; /* part of the machine's time that telling takes, or would */
	uint64_t changes; /* so far */
	uint64_t found,
		unknown; /* mappings that walks told of; of a file whose path was not told */
	uint32_t memory_files; /* numbers of files that count as memory, told to the kernel side */
	bool refused; /* it could not be, when it should: said once */
};

/* Tells all, or does not, by config->mappings and what it costs: with each tick. */
void engine_mappings_run(struct engine *engine, uint64_t now);
/* A walk met a mapping. */
void engine_on_found(struct engine *engine, const struct abi_found *found);
/* Somebody begins to look at the process: its mappings as they are. */
void engine_mappings_wanted(struct engine *engine, struct process *process);
/* While they are not told: they were read. */
void engine_mappings_read(struct engine *engine, struct process *process);
/* The process has another program. */
void engine_mappings_exec(struct engine *engine, struct process *process);
/* {"told", "refused", "cost_percent", "changes", "found", "unknown"}. New reference. */
json_t *engine_mappings_json(const struct engine *engine);
