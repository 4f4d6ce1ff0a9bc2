/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where a character stands in text, 64 bytes at a time, one bit a byte: for text with the
 * character every few bytes, of which finding each by itself would cost a call.
 */
#pragma once

#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define SCAN_BLOCK 64 /* bytes; all of them are read */

/* Bit i: block[i] is c. */
static inline uint64_t scan_block(const char *block, char c)
{
	uint64_t found = 0;

#ifdef __SSE2__
	for (unsigned i = 0; i < SCAN_BLOCK / 16; i++) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i));
		int equal = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(c)));

		found |= (uint64_t)(uint32_t)equal << (16 * i);
	}
#else
	for (unsigned i = 0; i < SCAN_BLOCK; i++)
		found |= (uint64_t)(block[i] == c) << i;
#endif
	return found;
}
