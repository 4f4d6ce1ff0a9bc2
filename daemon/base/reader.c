/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/reader.h"

#include <endian.h>
#include <string.h>

void reader_init(struct reader *reader, const void *data, size_t size)
{
	*reader = (struct reader){.data = data, .size = size};
}

bool reader_fail(struct reader *reader, const char *what)
{
	if (!reader->bad) {
		reader->bad = what;
		reader->bad_at = reader->at;
	}
	return false;
}

const void *reader_take(struct reader *reader, size_t n)
{
	const uint8_t *taken;

	if (reader->bad)
		return NULL;
	if (n > reader->size - reader->at) {
		reader_fail(reader, "end of data");
		return NULL;
	}
	taken = reader->data + reader->at;
	reader->at += n;
	return taken;
}

uint8_t reader_u8(struct reader *reader)
{
	const uint8_t *p = reader_take(reader, 1);

	return p ? *p : 0;
}

uint16_t reader_u16(struct reader *reader)
{
	const void *p = reader_take(reader, 2);
	uint16_t value = 0;

	if (p)
		memcpy(&value, p, sizeof(value));
	return le16toh(value);
}

uint32_t reader_u32(struct reader *reader)
{
	const void *p = reader_take(reader, 4);
	uint32_t value = 0;

	if (p)
		memcpy(&value, p, sizeof(value));
	return le32toh(value);
}

uint64_t reader_u64(struct reader *reader)
{
	const void *p = reader_take(reader, 8);
	uint64_t value = 0;

	if (p)
		memcpy(&value, p, sizeof(value));
	return le64toh(value);
}

const void *reader_bytes(struct reader *reader, size_t max, size_t *ret_n)
{
	uint32_t n = reader_u32(reader);
	const void *bytes;

	if (reader->bad)
		return NULL;
	if (n > max) {
		reader_fail(reader, "length above its limit");
		return NULL;
	}
	bytes = reader_take(reader, n);
	if (bytes)
		*ret_n = n;
	return bytes;
}
