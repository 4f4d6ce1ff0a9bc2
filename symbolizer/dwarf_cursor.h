/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bounded reader's rules for the walk over millions of DWARF entries: inline,
 * and without a word for each failure (who walks says where it was). The first
 * read past the end sticks, gives zeros from then on and moves to the end, so
 * every loop that asks cursor_left() ends. Little-endian.
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct dwarf_cursor {
	const uint8_t *at, *end;
	bool bad;
};

static inline struct dwarf_cursor cursor_of(const void *bytes, size_t size)
{
	const uint8_t *begin = bytes;

	return (struct dwarf_cursor){.at = begin, .end = size ? begin + size : begin};
}

static inline size_t cursor_left(const struct dwarf_cursor *cursor)
{
	return (size_t)(cursor->end - cursor->at);
}

static inline void cursor_fail(struct dwarf_cursor *cursor)
{
	cursor->bad = true;
	cursor->at = cursor->end;
}

static inline void cursor_skip(struct dwarf_cursor *cursor, uint64_t n)
{
	if (n > cursor_left(cursor))
		cursor_fail(cursor);
	else
		cursor->at += n;
}

static inline uint8_t cursor_u8(struct dwarf_cursor *cursor)
{
	if (cursor->at == cursor->end) {
		cursor->bad = true;
		return 0;
	}
	return *cursor->at++;
}

static inline uint16_t cursor_u16(struct dwarf_cursor *cursor)
{
	uint16_t value = 0;

	if (cursor_left(cursor) < sizeof(value)) {
		cursor_fail(cursor);
		return 0;
	}
	memcpy(&value, cursor->at, sizeof(value));
	cursor->at += sizeof(value);
	return le16toh(value);
}

static inline uint32_t cursor_u32(struct dwarf_cursor *cursor)
{
	uint32_t value = 0;

	if (cursor_left(cursor) < sizeof(value)) {
		cursor_fail(cursor);
		return 0;
	}
	memcpy(&value, cursor->at, sizeof(value));
	cursor->at += sizeof(value);
	return le32toh(value);
}

static inline uint64_t cursor_u64(struct dwarf_cursor *cursor)
{
	uint64_t value = 0;

	if (cursor_left(cursor) < sizeof(value)) {
		cursor_fail(cursor);
		return 0;
	}
	memcpy(&value, cursor->at, sizeof(value));
	cursor->at += sizeof(value);
	return le64toh(value);
}

static inline uint32_t cursor_u24(struct dwarf_cursor *cursor)
{
	uint32_t low = cursor_u16(cursor);

	return low | (uint32_t)cursor_u8(cursor) << 16;
}

/* An offset or address of the unit's size. */
static inline uint64_t cursor_sized(struct dwarf_cursor *cursor, unsigned size)
{
	return size == 8 ? cursor_u64(cursor) : cursor_u32(cursor);
}

/* DWARF 5, 7.6; bits beyond 64 are cut off, more than ten bytes are bad. Nearly all
 * are of one byte. */
static inline uint64_t cursor_uleb(struct dwarf_cursor *cursor)
{
	uint64_t value = 0;

	if (cursor->at < cursor->end && *cursor->at < 0x80)
		return *cursor->at++;
	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte = cursor_u8(cursor);

		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	cursor_fail(cursor);
	return 0;
}

static inline int64_t cursor_sleb(struct dwarf_cursor *cursor)
{
	uint64_t value = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t byte = cursor_u8(cursor);

		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		if (byte & 0x80)
			continue;
		if (byte & 0x40 && shift + 7 < 64)
			value |= ~0ULL << (shift + 7);
		return (int64_t)value;
	}
	cursor_fail(cursor);
	return 0;
}

/* The text up to its NUL, which is skipped too; "" and bad if there is none. */
static inline const char *cursor_text(struct dwarf_cursor *cursor)
{
	const uint8_t *nul =
		cursor_left(cursor) ? memchr(cursor->at, 0, cursor_left(cursor)) : NULL;
	const char *text = (const char *)cursor->at;

	if (!nul) {
		cursor_fail(cursor);
		return "";
	}
	cursor->at = nul + 1;
	return text;
}
