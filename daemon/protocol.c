/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/protocol.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "daemon/base/reader.h"

static const struct field_info {
	enum field_type type;
	uint32_t max; /* bytes of the value, TEXT's NUL included */
	const char *name;
} fields[FIELD_END_OF_TAGS] = {
#define X(field, tag, type_, max_, text, meaning)                                                  \
	[FIELD_##field] = {.type = FIELD_TYPE_##type_, .max = (max_), .name = (text)},
	PROTOCOL_FIELDS(X)
#undef X
};
_Static_assert(FIELD_END_OF_TAGS <= 64, "the set of fields is one 64-bit word");

static const struct message_info messages[] = {
#define X(name_, type_, text, kind_, must_, may_, meaning_)                                        \
	{.type = MESSAGE_##name_,                                                                  \
	 .name = (text),                                                                           \
	 .kind = MESSAGE_##kind_,                                                                  \
	 .must = (must_),                                                                          \
	 .may = (may_),                                                                            \
	 .meaning = (meaning_)},
	PROTOCOL_MESSAGES(X)
#undef X
};

const struct message_info *message_info(uint16_t type)
{
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
		if (messages[i].type == type)
			return &messages[i];
	}
	return NULL;
}

static const struct field_info *field_info(unsigned int tag)
{
	return tag < FIELD_END_OF_TAGS && fields[tag].name ? &fields[tag] : NULL;
}

const char *protocol_field_name(enum protocol_field field)
{
	const struct field_info *info = field_info(field);

	return info ? info->name : "unknown";
}

void protocol_header_decode(const void *bytes, struct protocol_header *ret)
{
	struct reader reader;

	reader_init(&reader, bytes, PROTOCOL_HEADER_SIZE);
	ret->length = reader_u32(&reader);
	ret->type = reader_u16(&reader);
	ret->version = reader_u16(&reader);
	ret->serial = reader_u32(&reader);
}

int protocol_header_check(const struct protocol_header *header, uint32_t max, struct error *error)
{
	if (header->version != PROTOCOL_VERSION)
		return error_set(error, -EPROTO,
				 "protocol version %u was spoken to a side that speaks version %u: "
				 "use perfd and perfctl of the same release",
				 header->version, PROTOCOL_VERSION);
	if (header->length > max)
		return error_set(error, -EMSGSIZE, "a frame of %u bytes: at most %u are taken",
				 header->length, max);
	return 0;
}

static int decode_number(const struct field_info *info, const char *message, struct reader *value,
			 uint64_t *ret, struct error *error)
{
	static const size_t widths[] = {
		[FIELD_TYPE_BOOL] = 1, [FIELD_TYPE_U32] = 4, [FIELD_TYPE_U64] = 8};

	if (value->size != widths[info->type])
		return error_set(error, -EBADMSG, "%s: field \"%s\" has %zu bytes, not %zu",
				 message, info->name, value->size, widths[info->type]);
	switch (info->type) {
	case FIELD_TYPE_BOOL:
		*ret = reader_u8(value);
		if (*ret > 1)
			return error_set(error, -EBADMSG, "%s: field \"%s\" is neither 0 nor 1",
					 message, info->name);
		return 0;
	case FIELD_TYPE_U32:
		*ret = reader_u32(value);
		return 0;
	default:
		*ret = reader_u64(value);
		return 0;
	}
}

static int decode_value(const struct field_info *info, const char *message, const void *bytes,
			size_t size, struct message_value *ret, struct error *error)
{
	struct reader value;

	if (size > info->max)
		return error_set(error, -EBADMSG, "%s: field \"%s\" has %zu bytes, at most %u",
				 message, info->name, size, info->max);
	reader_init(&value, bytes, size);
	switch (info->type) {
	case FIELD_TYPE_TEXT:
		if (size == 0 || memchr(bytes, 0, size) != (const char *)bytes + size - 1)
			return error_set(error, -EBADMSG,
					 "%s: field \"%s\" is no text with one NUL, at its end",
					 message, info->name);
		ret->bytes = bytes;
		ret->size = size - 1;
		return 0;
	case FIELD_TYPE_BYTES:
		ret->bytes = bytes;
		ret->size = size;
		return 0;
	default:
		return decode_number(info, message, &value, &ret->number, error);
	}
}

static int decode_field(struct reader *reader, struct message *message, struct error *error)
{
	const struct message_info *info = message->info;
	uint16_t tag = reader_u16(reader);
	uint32_t size = reader_u32(reader);
	const struct field_info *field = field_info(tag);
	const void *bytes;

	if (!reader_ok(reader))
		return error_set(error, -EBADMSG, "%s: %zu bytes after the last whole field",
				 info->name, reader->size - reader->bad_at);
	if (!field || !((info->must | info->may) >> tag & 1))
		return error_set(error, -EBADMSG, "%s: unknown field %u (%s)", info->name, tag,
				 field ? field->name : "no such tag");
	if (message_has(message, tag))
		return error_set(error, -EBADMSG, "%s: field \"%s\" is there twice", info->name,
				 field->name);
	bytes = reader_take(reader, size);
	if (!bytes)
		return error_set(error, -EBADMSG,
				 "%s: field \"%s\" claims %u bytes, the frame has %zu left",
				 info->name, field->name, size, reader->size - reader->at);
	message->present |= 1ull << tag;
	return decode_value(field, info->name, bytes, size, &message->values[tag], error);
}

int message_decode(const struct protocol_header *header, const void *payload, struct message *ret,
		   struct error *error)
{
	struct message message = {.info = message_info(header->type), .serial = header->serial};
	struct reader reader;
	uint64_t missing;

	if (!message.info)
		return error_set(error, -EBADMSG, "unknown message type %u", header->type);
	reader_init(&reader, payload, header->length);
	while (reader_left(&reader)) {
		int r = decode_field(&reader, &message, error);

		if (r < 0)
			return r;
	}
	missing = message.info->must & ~message.present;
	if (missing)
		return error_set(error, -EBADMSG, "%s: field \"%s\" is missing", message.info->name,
				 fields[__builtin_ctzll(missing)].name);
	*ret = message;
	return 0;
}

const char *message_text(const struct message *message, enum protocol_field field)
{
	return message_has(message, field) ? message->values[field].bytes : "";
}

size_t message_begin(struct strbuf *buf, enum message_type type, uint32_t serial)
{
	size_t begin = buf->length;

	strbuf_u32(buf, 0); /* the length: message_end() knows it */
	strbuf_u16(buf, (uint16_t)type);
	strbuf_u16(buf, PROTOCOL_VERSION);
	strbuf_u32(buf, serial);
	return begin;
}

void message_put_number(struct strbuf *buf, enum protocol_field field, uint64_t value)
{
	strbuf_u16(buf, (uint16_t)field);
	strbuf_u32(buf, fields[field].max);
	if (fields[field].type == FIELD_TYPE_BOOL)
		strbuf_u8(buf, value != 0);
	else if (fields[field].type == FIELD_TYPE_U32)
		strbuf_u32(buf, (uint32_t)value);
	else
		strbuf_u64(buf, value);
}

void message_put_text(struct strbuf *buf, enum protocol_field field, const char *text)
{
	size_t n = strnlen(text, fields[field].max - 1);

	strbuf_u16(buf, (uint16_t)field);
	strbuf_u32(buf, (uint32_t)n + 1);
	strbuf_append(buf, text, n);
	strbuf_u8(buf, 0);
}

static void put_length(struct strbuf *buf, size_t at, size_t length)
{
	uint32_t le = htole32((uint32_t)length);

	if (!strbuf_error(buf))
		memcpy(buf->data + at, &le, sizeof(le));
}

size_t message_begin_bytes(struct strbuf *buf, enum protocol_field field)
{
	size_t begin;

	strbuf_u16(buf, (uint16_t)field);
	begin = buf->length;
	strbuf_u32(buf, 0);
	return begin;
}

void message_end_bytes(struct strbuf *buf, size_t begin)
{
	put_length(buf, begin, buf->length - begin - sizeof(uint32_t));
}

void message_end(struct strbuf *buf, size_t begin)
{
	put_length(buf, begin, buf->length - begin - PROTOCOL_HEADER_SIZE);
}
