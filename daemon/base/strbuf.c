/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/strbuf.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void strbuf_deinit(struct strbuf *buf)
{
	free(buf->data);
	*buf = (struct strbuf){0};
}

int strbuf_error(const struct strbuf *buf)
{
	return buf->failed ? -ENOMEM : 0;
}

const char *strbuf_text(const struct strbuf *buf)
{
	return buf->length ? buf->data : "";
}

static bool room(struct strbuf *buf, size_t n)
{
	size_t want, grown;
	char *moved;

	if (buf->failed)
		return false;
	if (n < buf->capacity - buf->length)
		return true;
	if (n > SIZE_MAX / 2 - buf->length) {
		buf->failed = true;
		return false;
	}
	want = buf->length + n + 1;
	grown = buf->capacity ? buf->capacity : 64;
	while (grown < want)
		grown *= 2;
	moved = realloc(buf->data, grown);
	if (!moved) {
		buf->failed = true;
		return false;
	}
	buf->data = moved;
	buf->capacity = grown;
	return true;
}

uint8_t *strbuf_room(struct strbuf *buf, size_t n)
{
	return room(buf, n) ? (uint8_t *)buf->data + buf->length : NULL;
}

void strbuf_append(struct strbuf *buf, const void *bytes, size_t n)
{
	if (!n || !room(buf, n))
		return;
	memcpy(buf->data + buf->length, bytes, n);
	buf->length += n;
	buf->data[buf->length] = '\0';
}

void strbuf_puts(struct strbuf *buf, const char *text)
{
	strbuf_append(buf, text, strlen(text));
}

void strbuf_putc(struct strbuf *buf, char c)
{
	strbuf_append(buf, &c, 1);
}

void strbuf_printf(struct strbuf *buf, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (n <= 0 || !room(buf, (size_t)n))
		return;
	va_start(args, format);
	vsnprintf(buf->data + buf->length, (size_t)n + 1, format, args);
	va_end(args);
	buf->length += (size_t)n;
}

void strbuf_put_u64(struct strbuf *buf, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	strbuf_append(buf, digits + at, sizeof(digits) - at);
}

void strbuf_u8(struct strbuf *buf, uint8_t value)
{
	strbuf_append(buf, &value, 1);
}

void strbuf_u16(struct strbuf *buf, uint16_t value)
{
	value = htole16(value);
	strbuf_append(buf, &value, sizeof(value));
}

void strbuf_u32(struct strbuf *buf, uint32_t value)
{
	value = htole32(value);
	strbuf_append(buf, &value, sizeof(value));
}

void strbuf_u64(struct strbuf *buf, uint64_t value)
{
	value = htole64(value);
	strbuf_append(buf, &value, sizeof(value));
}

void strbuf_bytes(struct strbuf *buf, const void *bytes, uint32_t n)
{
	strbuf_u32(buf, n);
	strbuf_append(buf, bytes, n);
}
