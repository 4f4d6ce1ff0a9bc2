/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bounded reader: a cursor over bytes that somebody else wrote. Every read
 * is checked against the end; the first failure sticks, remembers its offset,
 * and makes all later reads give zeros, so a parser may check once a record.
 * Little-endian. The bytes stay the caller's and must outlive what was read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
	const uint8_t *data;
	size_t size;
	size_t at; /* offset of the next byte */
	size_t bad_at; /* where the first failure was, if bad */
	const char *bad; /* what could not be read; NULL while all is well */
};

void reader_init(struct reader *reader, const void *data, size_t size);
/* Marks a failure at the present offset (for a parser's own checks): the first
 * one wins. Always returns false. `what` must be a string literal. */
bool reader_fail(struct reader *reader, const char *what);
static inline bool reader_ok(const struct reader *reader)
{
	return !reader->bad;
}
static inline size_t reader_left(const struct reader *reader)
{
	return reader->bad ? 0 : reader->size - reader->at;
}
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
/* The next n bytes, or NULL (and a failure) if there are fewer. */
const void *reader_take(struct reader *reader, size_t n);
/* u32 length, then that many bytes (see strbuf_bytes); at most `max`. */
const void *reader_bytes(struct reader *reader, size_t max, size_t *ret_n);
