/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a profile of allocations has beside its samples (heap_data.h) as bytes, the last part of
 * profile_wire.h's. Little-endian:
 *
 *	u32 frees, joined; u64 peak, since; u32 breaks; u64 wanted, observed; u32 n, n
 *		snapshots (u64)
 *	u32 n, n sites: u32 stack, process; sums of alloc, live, leaked, peak, temporary,
 *		unknown;
 *		u64 old, old_freed; histograms of sizes, lives, ages;
 *		u32 first level, n, n levels (sum; double variance of what moved)
 *	a sum is u64 n, count, bytes, double variance of counts and of bytes;
 *	a histogram is u64 mask, and u64 for each bucket whose bit is set
 *
 * Before HEAP_WIRE_FATES (of the profile) since, breaks, wanted, observed and the sums of unknown
 * were not there.
 */
#pragma once

#include <stddef.h>

#include "daemon/base/reader.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/heap_data.h"

#define HEAP_WIRE_FATES 4u

void heap_encode(const struct heap_data *data, struct strbuf *out);
/* `stacks`: the id of each that the bytes name; `processes`: how many there are. Bytes may come
 * from anybody. False: the reader says why, or *ret_no_memory is set; `data` then has a part. */
bool heap_decode(struct reader *in, uint32_t version, const uint32_t *stacks, size_t stack_count,
		 size_t processes, struct heap_data *data, bool *ret_no_memory);
