/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The wire format of protocol buffers, as far as a profile needs it (protobuf.dev,
 * "Encoding"): tags, varints and byte strings. Twelve lines of a schema do not need a
 * generated codec, and a reader that walks the bytes where they lie holds no copy of a
 * profile beside the one it makes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/base/reader.h"
#include "daemon/base/strbuf.h"

enum protobuf_wire { PROTOBUF_VARINT = 0, PROTOBUF_64 = 1, PROTOBUF_BYTES = 2, PROTOBUF_32 = 5 };

struct protobuf_field {
	uint32_t number;
	uint32_t wire; /* enum protobuf_wire */
	uint64_t value; /* of a varint and the fixed ones */
	struct reader bytes; /* of byte strings: strings, messages, packed numbers */
};

uint64_t protobuf_varint(struct reader *reader);
/* The next field of a message; false at its end, or at a failure of the reader. */
bool protobuf_next(struct reader *reader, struct protobuf_field *ret);

void protobuf_put_varint(struct strbuf *out, uint64_t value);
/* Leaves out zeros, as proto3 does. */
void protobuf_put_u64(struct strbuf *out, uint32_t number, uint64_t value);
void protobuf_put_bytes(struct strbuf *out, uint32_t number, const void *bytes, size_t n);
