/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The profile as bytes, for a socket or a file: everything in the struct, so
 * that decode(encode(p)) draws the same as p. Little-endian:
 *
 *	"PFDP"  u32 version
 *	u32 n, n strings (u32 length, bytes); the first is ""
 *	u32 n, n frames (u32 name, module, file, line, kind; u64 address)
 *	u32 n, n stacks (u32 count, u32 frames root first) from id 1 on
 *	u32 n, n processes (u32 pid, ppid, comm, cgroup; u64 start, end, birth)
 *	u32 n, u32 default, n value types (u32 name, unit)
 *	u32 n, n samples (u32 stack, process, comm, bucket; u64 a value type)
 *	u32 n, n counts (u32 key, text, is_loss; u64 count)
 *	u32 n, n marks (u64 at; u32 key, text; u64 value)
 *	u32 n, n series (u32 name, unit, group, process, kind, band; u64 step;
 *	       u32 n, n points (u64 value, with band also u64 low, high))
 *	u64 start, duration, bucket width; u32 frequency, title, host, event
 *	of allocations more, as heap_wire.h has it (since version 3)
 *
 * A reader of another version refuses, but for files of versions 2 and 3: the two ends of the
 * socket are of one build nearly always.
 */
#pragma once

#include <stddef.h>

#include "daemon/base/error.h"
#include "daemon/base/strbuf.h"
#include "flamegraph/profile.h"

#define PROFILE_WIRE_VERSION 4
#define PROFILE_WIRE_OLDEST 2 /* that is still read */

/* Appends to *out; 0, -ENOMEM (*out then holds a part), or -E2BIG. */
int profile_encode(const struct profile *profile, struct strbuf *out);

/* Bytes may come from anybody: every id is checked, and memory is taken only in
 * proportion to `size`. A new profile, or -EBADMSG (malformed; the error names
 * the offset), -EPROTONOSUPPORT (another version), -ENOMEM. */
int profile_decode(const void *data, size_t size, struct error *error, struct profile **ret);
