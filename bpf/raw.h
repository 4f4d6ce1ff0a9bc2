/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A stack that cannot be walked yet, because the daemon does not know the file or
 * has not made its table so far: it is kept as it lies in memory, with the
 * registers, and walked later (daemon/host_walk.h). Only so many a second, and
 * only while the ring has room: stacks are large, and whole ones go first.
 */
#pragma once

#include "bpf/emit.h"
#include "bpf/maps.h"
#include "bpf/walk.h"

/* Sessions may sample at 997 Hz, and all samples of a young program may be early. */
#define RAW_PER_SECOND 1024
#define RAW_CHUNK 1024u /* divides a page: a chunk is readable or not, as a whole */
#define RAW_CHUNKS (ABI_RAW_BYTES_MAX / RAW_CHUNK)

/* One token each. */
static __always_inline bool raw_allowed(__u64 now)
{
	__u32 zero = 0;
	struct raw_budget *budget = bpf_map_lookup_elem(&raw_budgets, &zero);

	if (!budget)
		return false;
	if (now - budget->since >= 1000000000ULL) {
		budget->since = now;
		budget->used = 0;
	}
	return budget->used++ < RAW_PER_SECOND;
}

struct raw_copy {
	__u32 place;
	__u32 chunks; /* so far */
	__u64 address;
};

/* One chunk; 1 ends the loop: the stack ends there, or is not in memory. */
static long copy_chunk(__u32 index, void *context)
{
	struct raw_copy *copy = context;
	__u32 place = copy->place;
	struct raw_space *space = bpf_map_lookup_elem(&raw_spaces, &place);

	if (!space || index >= RAW_CHUNKS)
		return 1;
	if (bpf_probe_read_user(&space->bytes[index * RAW_CHUNK], RAW_CHUNK,
				(const void *)(copy->address + index * RAW_CHUNK)))
		return 1;
	copy->chunks = index + 1;
	return 0;
}

/* The id under which the stack will come, or 0: it could not be kept. `ip` is the
 * sample's; the walk has moved on. */
static __always_inline __u64 emit_raw(struct scratch *scratch, __u64 ip, __u32 pid)
{
	struct raw_copy copy = {.place = bpf_get_smp_processor_id() * ABI_RAW_CONTEXTS +
					 (scratch->walk.scratch & (ABI_RAW_CONTEXTS - 1))};
	struct raw_space *space = bpf_map_lookup_elem(&raw_spaces, &copy.place);
	__u64 now = scratch->stack.hdr.time, id;
	__u64 size;

	if (!space || !raw_allowed(now))
		return 0;
	copy.address = scratch->registers[UNWIND_RSP] & ~(__u64)(RAW_CHUNK - 1);
	bpf_loop(RAW_CHUNKS, copy_chunk, &copy, 0);
	if (!copy.chunks || copy.chunks > RAW_CHUNKS)
		return 0;
	/* One of a kind: no other sample has it. */
	id = hash_step(hash_step(now, ip), (__u64)copy.place << 32 | pid) | 1;
	size = sizeof(space->raw) + copy.chunks * RAW_CHUNK;
	space->raw.hdr = scratch->stack.hdr;
	space->raw.hdr.type = ABI_RAW;
	space->raw.hdr.reason = (__u8)scratch->walk.reason;
	space->raw.hdr.size = (__u16)size;
	space->raw.id = id;
	space->raw.pid = pid;
	space->raw.bytes = copy.chunks * RAW_CHUNK;
	space->raw.address = copy.address;
	space->raw.ip = ip;
	__builtin_memcpy(space->raw.registers, scratch->registers, sizeof(space->raw.registers));
	/* clang 19 makes the sum an "or", of which the verifier (6.18) knows no upper bound,
	 * and leaves the test out, since it knows one: it must not know. */
	__asm__ volatile("" : "+r"(size));
	if (size > sizeof(*space) || emit_if_room(space, size))
		return 0;
	return id;
}
