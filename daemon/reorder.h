/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Puts records of several rings into the order of their times. A record is
 * let go when every ring has been read out after the record's time: then
 * nothing older can come any more (the rule of perf's "ordered events"). So
 * the caller notes the clock, reads all rings with reorder_add(), then calls
 * reorder_release() with the time it noted the round before.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/base/vec.h"

struct reorder {
	VEC(uint64_t) words; /* the records end to end, 8-byte aligned */
	VEC(struct reorder_entry {
		uint64_t time;
		uint32_t at; /* index into words */
		uint32_t order; /* of arrival, among equal times */
	})
	entries;
	VEC(struct reorder_entry) merged; /* room to sort in */
	VEC(uint64_t) spare; /* room for what is left, when the rest has been let go */
};

void reorder_deinit(struct reorder *reorder);
/* Copies a record; 0, -EINVAL for one whose size does not fit, -ENOMEM. */
int reorder_add(struct reorder *reorder, const void *record, size_t size);
/* Hands out, oldest first, all records with time <= until. `each` must not add
 * to the same reorder. */
void reorder_release(struct reorder *reorder, uint64_t until,
		     void (*each)(void *context, const struct abi_header *record), void *context);
