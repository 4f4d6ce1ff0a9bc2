/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Builds jit dumps (jitdump-specification.txt) for suites.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#include "daemon/base/strbuf.h"

static inline void dump_header(struct strbuf *out)
{
	strbuf_u32(out, 0x4a695444);
	strbuf_u32(out, 1);
	strbuf_u32(out, 40);
	strbuf_u32(out, 62); /* EM_X86_64 */
	strbuf_u32(out, 0);
	strbuf_u32(out, 1234);
	strbuf_u64(out, 1);
	strbuf_u64(out, 0);
}

static inline void dump_prefix(struct strbuf *out, uint32_t id, size_t size)
{
	strbuf_u32(out, id);
	strbuf_u32(out, (uint32_t)(16 + size));
	strbuf_u64(out, 1);
}

static inline void dump_load(struct strbuf *out, uint64_t address, uint64_t size, uint64_t number,
			     const char *name)
{
	dump_prefix(out, 0, 40 + strlen(name) + 1 + size);
	strbuf_u64(out, 0);
	strbuf_u64(out, address);
	strbuf_u64(out, address);
	strbuf_u64(out, size);
	strbuf_u64(out, number);
	strbuf_append(out, name, strlen(name) + 1);
	for (uint64_t i = 0; i < size; i++)
		strbuf_u8(out, 0x90);
}

static inline void dump_move(struct strbuf *out, uint64_t from, uint64_t to, uint64_t size,
			     uint64_t number)
{
	dump_prefix(out, 1, 48);
	strbuf_u64(out, 0);
	strbuf_u64(out, to);
	strbuf_u64(out, from);
	strbuf_u64(out, to);
	strbuf_u64(out, size);
	strbuf_u64(out, number);
}

/* Two lines: the second in the same file. */
static inline void dump_lines(struct strbuf *out, uint64_t address, uint64_t first, uint64_t second,
			      const char *file)
{
	dump_prefix(out, 2, 16 + 16 + strlen(file) + 1 + 16 + 2);
	strbuf_u64(out, address);
	strbuf_u64(out, 2);
	strbuf_u64(out, first);
	strbuf_u32(out, 10);
	strbuf_u32(out, 0);
	strbuf_append(out, file, strlen(file) + 1);
	strbuf_u64(out, second);
	strbuf_u32(out, 20);
	strbuf_u32(out, 0);
	strbuf_append(out, "\xff", 2);
}
