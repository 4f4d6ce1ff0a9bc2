/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rules under which a process's allocations are sampled, one after another: what
 * alloc_pattern.h makes of what was sampled, or the usual interval alone. Samples say by their
 * weight's code under which of the last ABI_WEIGHT_RULES they were drawn (bpf/abi.h), so a
 * rule may change at any moment, and one that is some seconds late is weighed by its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/alloc_pattern.h"

struct heap_rules {
	struct alloc_rule rules[ABI_WEIGHT_RULES]; /* a ring */
	uint32_t number; /* of the present one, counted from 0 */
	bool by_pattern; /* else: the usual interval, no band, no limit */
	struct alloc_behaviour behaviour;
	uint64_t second; /* boot time, ns: when the present one began; 0: with the first look */
	uint64_t looked_ns; /* what had been looked at then */
	uint64_t samples, coarse; /* so far; of these: beyond what was granted */
	uint64_t told; /* changes that were made known; the engine's */
	bool noted; /* likewise: it is on a time line */
	uint64_t changes; /* of rule or pattern */
};

void heap_rules_init(struct heap_rules *rules, uint64_t usual, bool by_pattern);
/* Another program, another setting: what was known is forgotten where it is of no use any more. */
void heap_rules_restart(struct heap_rules *rules);
void heap_rules_set(struct heap_rules *rules, uint64_t usual, bool by_pattern);
const struct alloc_rule *heap_rules_present(const struct heap_rules *rules);
/* What a sample with that code stands for, in bytes, of the time that is looked at. It is a
 * fact of the process from now on. */
double heap_rules_weigh(struct heap_rules *rules, uint32_t code, double size);
/* For a sample that has its weight, of the library's. */
void heap_rules_saw(struct heap_rules *rules, double size, double bytes);
/* Judges, where a second is over. `looked_ns`: how long its calls have been looked at, so far.
 * Whether the rule is another one now. */
bool heap_rules_look(struct heap_rules *rules, uint64_t now, uint64_t looked_ns);
/* The part of a target that is the rule's. */
void heap_rules_fill(const struct heap_rules *rules, struct abi_heap_target *target);
