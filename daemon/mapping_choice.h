/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whether all mappings of the machine are to be told (daemon/engine_mappings.h), by what that
 * takes of its time or would take: no more where it is a good part of the budget, at once, or a
 * smaller one for seconds; again when it was little of it for some seconds. Where that does not
 * last, it has to be little for longer each time. Pure: time is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct mapping_choice {
	bool blind; /* they are not told */
	uint64_t turned; /* boot time, ns: when that last changed; 0: never */
	uint64_t calm; /* likewise: since then the cost is little; 0: it is not */
	uint64_t wait; /* ns for which it has to be */
	double mean; /* of the cost, of some seconds */
	uint64_t looked; /* boot time, ns: the last one asked for; 0: none */
};

/* `cost`, `budget`: parts of the machine's time (0: no limit). True: they should not be told. */
bool mapping_choice_make(struct mapping_choice *choice, double cost, double budget, uint64_t now);
/* It was done. */
void mapping_choice_turned(struct mapping_choice *choice, bool blind, uint64_t now);
