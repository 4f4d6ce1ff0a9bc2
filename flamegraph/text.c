/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REPLACEMENT 0xfffd

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

/* The Unicode Standard, table 3-7: no overlong forms, no surrogates, nothing
 * above U+10FFFF. 0 if the bytes are not well-formed. */
static size_t decode(const char *bytes, size_t n, uint32_t *ret)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)bytes[0];
	size_t length = first < 0x80   ? 1
			: first < 0xc2 ? 0
			: first < 0xe0 ? 2
			: first < 0xf0 ? 3
				       : 4;
	uint32_t character;

	if (!length || length > n || first > 0xf4)
		return 0;
	if (length == 1) {
		*ret = first;
		return 1;
	}
	character = first & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if (!is_continuation(bytes[i]))
			return 0;
		character = character << 6 | ((unsigned char)bytes[i] & 0x3f);
	}
	if (character < least[length] || character > 0x10ffff ||
	    (character >= 0xd800 && character <= 0xdfff))
		return 0;
	*ret = character;
	return length;
}

static bool is_unsafe(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 || c == 0x200e ||
	       c == 0x200f || c == 0x61c || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || c == 0xfffe || c == 0xffff;
}

uint32_t text_next(const char *bytes, size_t n, size_t *ret_n)
{
	uint32_t character;
	size_t length = decode(bytes, n, &character);

	*ret_n = length ? length : 1;
	return !length || is_unsafe(character) ? REPLACEMENT : character;
}

unsigned text_cells(uint32_t c)
{
	bool wide = (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
		    (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
		    (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
		    (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);

	return wide ? 2 : 1;
}

static void put_character(struct strbuf *out, const char *bytes, size_t n, uint32_t character,
			  bool xml)
{
	if (character == REPLACEMENT)
		strbuf_append(out, "\xef\xbf\xbd", 3);
	else if (xml && character == '&')
		strbuf_append(out, "&amp;", 5);
	else if (xml && character == '<')
		strbuf_append(out, "&lt;", 4);
	else if (xml && character == '>')
		strbuf_append(out, "&gt;", 4);
	else if (xml && character == '"')
		strbuf_append(out, "&quot;", 6);
	else if (xml && character == '\'')
		strbuf_append(out, "&#39;", 5);
	else
		strbuf_append(out, bytes, n);
}

/* How many of the bytes are put as they are, each a character: most names are all such. */
static size_t plain(const char *bytes, size_t n, bool xml)
{
	size_t i = 0;

	while (i < n && bytes[i] >= 0x20 && bytes[i] < 0x7f &&
	       (!xml || (bytes[i] != '&' && bytes[i] != '<' && bytes[i] != '>' && bytes[i] != '"' &&
			 bytes[i] != '\'')))
		i++;
	return i;
}

static void put_all(struct strbuf *out, const char *bytes, size_t n, bool xml)
{
	size_t length;

	for (size_t i = 0; i < n; i += length) {
		size_t same = plain(bytes + i, n - i, xml);

		strbuf_append(out, bytes + i, same);
		i += same;
		if (i == n)
			break;
		uint32_t character = text_next(bytes + i, n - i, &length);

		put_character(out, bytes + i, length, character, xml);
	}
}

static void put_fit(struct strbuf *out, const char *bytes, size_t n, size_t cells, bool xml)
{
	size_t length, used = 0, cut_at = 0, characters = 0, i;

	for (i = 0; i < n; i += length) {
		used += text_cells(text_next(bytes + i, n - i, &length));
		if (used > cells)
			break;
		if (used + 2 <= cells) {
			cut_at = i + length;
			characters++;
		}
	}
	if (i >= n) {
		put_all(out, bytes, n, xml);
	} else if (characters >= 3) {
		put_all(out, bytes, cut_at, xml);
		strbuf_puts(out, "..");
	}
}

void text_put(struct strbuf *out, const char *bytes, size_t n)
{
	put_all(out, bytes, n, false);
}

void text_put_xml(struct strbuf *out, const char *bytes, size_t n)
{
	put_all(out, bytes, n, true);
}

/* Cleaning has left no control characters. */
void text_put_json(struct strbuf *out, const char *bytes, size_t n)
{
	size_t length;

	strbuf_putc(out, '"');
	for (size_t i = 0; i < n; i += length) {
		uint32_t character = text_next(bytes + i, n - i, &length);

		if (character == '"' || character == '\\')
			strbuf_putc(out, '\\');
		put_character(out, bytes + i, length, character, false);
	}
	strbuf_putc(out, '"');
}

void text_put_decimal(struct strbuf *out, uint64_t value, unsigned digits)
{
	uint64_t unit = 1;

	for (unsigned i = 0; i < digits; i++)
		unit *= 10;
	strbuf_put_u64(out, value / unit);
	if (value % unit)
		strbuf_printf(out, ".%0*" PRIu64, (int)digits, value % unit);
}

size_t text_put_fit(struct strbuf *out, const char *bytes, size_t n, size_t cells)
{
	size_t length, used = 0, cut_at = 0, cut_used = 0, i;

	for (i = 0; i < n; i += length) {
		size_t wide = text_cells(text_next(bytes + i, n - i, &length));

		if (used + wide > cells)
			break;
		used += wide;
		if (used + 2 <= cells) {
			cut_at = i + length;
			cut_used = used;
		}
	}
	if (i >= n) {
		put_all(out, bytes, n, false);
		return used;
	}
	if (!cut_at)
		return 0;
	put_all(out, bytes, cut_at, false);
	strbuf_puts(out, "..");
	return cut_used + 2;
}

void text_put_xml_fit(struct strbuf *out, const char *bytes, size_t n, size_t cells)
{
	put_fit(out, bytes, n, cells, true);
}

/* Three significant digits, without rounding up to a fourth ("1000 ms"). */
static void put_scaled(struct strbuf *out, double value, const char *suffix)
{
	int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;

	strbuf_printf(out, "%.*f %s", digits, value, suffix);
}

struct scale {
	double factor;
	const char *suffix;
};

/* Largest first; the last has no smaller parts and is written as an integer. */
static const struct scale nanoseconds[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}};
static const struct scale bytes_scale[] = {{1099511627776.0, "TiB"},
					   {1073741824.0, "GiB"},
					   {1048576.0, "MiB"},
					   {1024.0, "KiB"},
					   {1, "B"}};
static const struct scale cycles[] = {
	{1e12, "Tcycles"}, {1e9, "Gcycles"}, {1e6, "Mcycles"}, {1e3, "kcycles"}, {1, "cycles"}};

static void put_in_scale(struct strbuf *out, uint64_t value, const struct scale *scale,
			 size_t count)
{
	for (size_t i = 0; i + 1 < count; i++) {
		double scaled = (double)value / scale[i].factor;

		if (scaled < 0.9995)
			continue;
		if (!i && scaled >= 9999.5) {
			text_put_count(out, (uint64_t)(scaled + 0.5));
			strbuf_printf(out, " %s", scale[i].suffix);
		} else {
			put_scaled(out, scaled, scale[i].suffix);
		}
		return;
	}
	strbuf_printf(out, "%" PRIu64 " %s", value, scale[count - 1].suffix);
}

void text_put_value(struct strbuf *out, uint64_t value, const char *unit)
{
	if (!strcmp(unit, "nanoseconds")) {
		put_in_scale(out, value, nanoseconds, sizeof(nanoseconds) / sizeof(*nanoseconds));
	} else if (!strcmp(unit, "bytes")) {
		put_in_scale(out, value, bytes_scale, sizeof(bytes_scale) / sizeof(*bytes_scale));
	} else if (!strcmp(unit, "cycles")) {
		put_in_scale(out, value, cycles, sizeof(cycles) / sizeof(*cycles));
	} else {
		text_put_count(out, value);
		if (*unit && strcmp(unit, "count")) {
			strbuf_putc(out, ' ');
			text_put(out, unit, strlen(unit));
		}
	}
}

void text_put_count(struct strbuf *out, uint64_t count)
{
	char digits[32];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, count);

	for (int i = 0; i < n; i++) {
		if (i && !((n - i) % 3))
			strbuf_putc(out, ',');
		strbuf_putc(out, digits[i]);
	}
}

void text_put_percent(struct strbuf *out, uint64_t part, uint64_t whole)
{
	double percent = whole ? 100.0 * (double)part / (double)whole : 0;

	if (percent <= 0)
		strbuf_puts(out, "0 %");
	else if (percent < 0.01)
		strbuf_puts(out, "< 0.01 %");
	else
		strbuf_printf(out, percent < 9.995 ? "%.2f %%" : "%.1f %%", percent);
}

void text_put_time(struct strbuf *out, uint64_t real_ns)
{
	time_t seconds = (time_t)(real_ns / 1000000000);
	char text[64];
	struct tm utc;

	if (gmtime_r(&seconds, &utc) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &utc))
		strbuf_puts(out, text);
}
