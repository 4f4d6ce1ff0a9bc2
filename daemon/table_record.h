/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is remembered of the unwind table of one file, and its form on disk: the
 * table itself, or why there is none.
 *
 * Header: 8 bytes of magic; u64 checksum (XXH3) of all that follows it; u32
 * version, u32 error (positive; 0: a table), u64 bytes behind the header; the
 * key; u64 size of the build id, and its bytes, filled up with zeros. Then the
 * encoded table, or the error's text. Little-endian.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "daemon/base/strbuf.h"
#include "symbolizer/file_identity.h"
#include "symbolizer/unwind_table.h"

/* Bytes of the whole; larger tables are not kept. */
#define TABLE_RECORD_MAX (64u << 20)
#define TABLE_RECORD_HEADER 120u

struct table_key { /* without padding */
	struct file_identity file;
	uint64_t builder; /* the program that made the table */
};

struct table_record {
	int error; /* 0: a table; else what the symbolizer said */
	uint8_t build_id[ABI_BUILD_ID_MAX]; /* of the file, as the symbolizer read it */
	uint8_t build_id_size;
	char text[256]; /* with an error */
	struct unwind_table table;
};

/* The header of a record; behind it come `size` bytes: the encoded table, or the
 * text of its error. -ENOMEM. */
int table_record_header(const struct table_record *record, const struct table_key *key,
			const void *bytes, size_t size, struct strbuf *out);
/* Foreign bytes: -EBADMSG for what is torn, damaged, of another version or of
 * another key; -ENOMEM. The table is the caller's to deinit. */
int table_record_parse(const void *bytes, size_t size, const struct table_key *key,
		       struct table_record *ret);
