/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/protobuf.h"

#define VARINT_BYTES_MAX 10

uint64_t protobuf_varint(struct reader *reader)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
		uint8_t byte = reader_u8(reader);

		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80))
			return value;
	}
	reader_fail(reader, "a varint of more than 10 bytes");
	return 0;
}

bool protobuf_next(struct reader *reader, struct protobuf_field *ret)
{
	uint64_t tag;
	const void *bytes;

	if (!reader_left(reader))
		return false;
	tag = protobuf_varint(reader);
	*ret = (struct protobuf_field){.number = (uint32_t)(tag >> 3), .wire = tag & 7};
	if (tag >> 3 == 0 || tag > UINT32_MAX)
		return reader_fail(reader, "no field has this number");
	switch (ret->wire) {
	case PROTOBUF_VARINT:
		ret->value = protobuf_varint(reader);
		break;
	case PROTOBUF_64:
		ret->value = reader_u64(reader);
		break;
	case PROTOBUF_32:
		ret->value = reader_u32(reader);
		break;
	case PROTOBUF_BYTES:
		ret->value = protobuf_varint(reader);
		bytes = reader_take(reader, ret->value);
		reader_init(&ret->bytes, bytes, bytes ? ret->value : 0);
		break;
	default:
		return reader_fail(reader, "an unknown wire type");
	}
	return reader_ok(reader);
}

void protobuf_put_varint(struct strbuf *out, uint64_t value)
{
	uint8_t bytes[VARINT_BYTES_MAX];
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[n++] = (uint8_t)(value | 0x80);
	bytes[n++] = (uint8_t)value;
	strbuf_append(out, bytes, n);
}

void protobuf_put_u64(struct strbuf *out, uint32_t number, uint64_t value)
{
	if (!value)
		return;
	protobuf_put_varint(out, number << 3 | PROTOBUF_VARINT);
	protobuf_put_varint(out, value);
}

void protobuf_put_bytes(struct strbuf *out, uint32_t number, const void *bytes, size_t n)
{
	protobuf_put_varint(out, number << 3 | PROTOBUF_BYTES);
	protobuf_put_varint(out, n);
	strbuf_append(out, bytes, n);
}
