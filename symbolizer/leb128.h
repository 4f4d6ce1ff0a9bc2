/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * DWARF's numbers of any length (DWARF 5, section 7.6), on the bounded reader:
 * seven bits a byte, lowest first. More bytes than 64 bits need are a failure
 * of the reader, bits beyond them are cut off.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/reader.h"

#define LEB128_BYTES_MAX 10

/* The bits, and in *ret_bits how many there were (at most 64). */
static inline uint64_t leb128_bits(struct reader *reader, unsigned *ret_bits, bool *ret_negative)
{
	uint64_t value = 0;
	unsigned shift = 0;
	uint8_t byte;

	do {
		if (shift >= LEB128_BYTES_MAX * 7)
			reader_fail(reader, "a number of more than 64 bits");
		byte = reader_u8(reader);
		if (!reader_ok(reader))
			return 0;
		if (shift < 64)
			value |= (uint64_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	*ret_bits = shift < 64 ? shift : 64;
	*ret_negative = byte & 0x40;
	return value;
}

static inline uint64_t leb128_unsigned(struct reader *reader)
{
	bool negative = false;
	unsigned bits = 0;

	return leb128_bits(reader, &bits, &negative);
}

static inline int64_t leb128_signed(struct reader *reader)
{
	bool negative = false;
	unsigned bits = 0;
	uint64_t value = leb128_bits(reader, &bits, &negative);

	if (negative && bits < 64)
		value |= ~0ULL << bits;
	return (int64_t)value;
}
