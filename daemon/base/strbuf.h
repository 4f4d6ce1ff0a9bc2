/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A growing byte buffer, kept NUL-terminated so that text can be used at once.
 * Zero-initialised is empty. Running out of memory sticks: later appends do
 * nothing and strbuf_error() says -ENOMEM, so a writer checks once at the end.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf {
	char *data; /* NULL while nothing was appended */
	size_t length; /* bytes, without the NUL */
	size_t capacity;
	bool failed;
};

void strbuf_deinit(struct strbuf *buf);
static inline void strbuf_clear(struct strbuf *buf)
{
	buf->length = 0;
}
/* 0, or -ENOMEM if any append failed. */
int strbuf_error(const struct strbuf *buf);
/* The text; "" when empty. */
const char *strbuf_text(const struct strbuf *buf);
void strbuf_append(struct strbuf *buf, const void *bytes, size_t n);
void strbuf_puts(struct strbuf *buf, const char *text);
void strbuf_putc(struct strbuf *buf, char c);
void strbuf_printf(struct strbuf *buf, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Decimal, without printf: writers of millions of lines need it. */
void strbuf_put_u64(struct strbuf *buf, uint64_t value);
/* Little-endian binary, the counterpart of reader.h. */
void strbuf_u8(struct strbuf *buf, uint8_t value);
void strbuf_u16(struct strbuf *buf, uint16_t value);
void strbuf_u32(struct strbuf *buf, uint32_t value);
void strbuf_u64(struct strbuf *buf, uint64_t value);
/* Room for n more bytes, to be written by the caller and counted in `length`; NULL: there
 * is no memory. The text has no NUL until the next append. */
uint8_t *strbuf_room(struct strbuf *buf, size_t n);
/* u32 length, then the bytes. */
void strbuf_bytes(struct strbuf *buf, const void *bytes, uint32_t n);
