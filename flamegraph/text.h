/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Text from foreign files made safe for outputs, and numbers made readable.
 *
 * Names come from ELF files, perf maps and prctl(): any bytes. What is not
 * UTF-8 becomes U+FFFD, a byte at a time; so do characters that would break a
 * line, move the writing direction, or are no XML 1.0 character: C0 and C1
 * controls, DEL, U+2028/9, the bidirectional controls, U+FFFE and U+FFFF.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "daemon/base/strbuf.h"

/* The next character of bytes[0..n), n > 0, cleaned as above (U+FFFD where it
 * must be); *ret_n is how many bytes it took, 1 at least. */
uint32_t text_next(const char *bytes, size_t n, size_t *ret_n);

/* Cells in a terminal or in a fixed-width font: 2 for wide East Asian characters. */
unsigned text_cells(uint32_t character);

/* Appends all of it, cleaned. */
void text_put(struct strbuf *out, const char *bytes, size_t n);
/* Likewise with & < > " ' as XML entities: safe in content and attributes. */
void text_put_xml(struct strbuf *out, const char *bytes, size_t n);
/* Likewise, in quotes, as a JSON string. */
void text_put_json(struct strbuf *out, const char *bytes, size_t n);
/* Likewise for XML, at most `cells` wide, with ".." at the end of what was cut;
 * nothing if fewer than three characters of it would be left. */
void text_put_xml_fit(struct strbuf *out, const char *bytes, size_t n, size_t cells);

/* "12.3 ms", "4.00 MiB", "12,345", "1.23 Gcycles": three digits or more; units
 * are those of profile_value_type, an unknown one is appended as it is. */
void text_put_value(struct strbuf *out, uint64_t value, const char *unit);
/* The whole of `value` in a larger unit of 10^digits: 1234567 with 6 is "1.234567". */
void text_put_decimal(struct strbuf *out, uint64_t value, unsigned digits);
/* At most `cells` wide, with ".." at the end of what was cut; returns the cells. */
size_t text_put_fit(struct strbuf *out, const char *bytes, size_t n, size_t cells);
/* 12,345,678 */
void text_put_count(struct strbuf *out, uint64_t count);
/* "12.3 %"; "< 0.01 %" for what is not nothing; "0 %" for no part or no whole. */
void text_put_percent(struct strbuf *out, uint64_t part, uint64_t whole);
/* "2025-06-01 10:00:03 UTC". */
void text_put_time(struct strbuf *out, uint64_t real_ns);
