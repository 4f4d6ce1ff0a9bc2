/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/strbuf.h"

#define NUMBER_LENGTH_MAX 63

void malformed_add(struct malformed *malformed, uint64_t line, const char *why)
{
	if (!malformed->count)
		malformed->why = why;
	if (malformed->count < IMPORT_LINES_NAMED)
		malformed->lines[malformed->count] = line;
	malformed->count++;
}

int malformed_report(const struct malformed *malformed, const char *unit, struct profile *profile)
{
	_cleanup_(strbuf_deinit) struct strbuf text = {0};

	if (!malformed->count)
		return 0;
	strbuf_printf(&text, "not understood and skipped: %s%s ", unit,
		      malformed->count > 1 ? "s" : "");
	for (size_t i = 0; i < malformed->count && i < IMPORT_LINES_NAMED; i++) {
		strbuf_puts(&text, i ? ", " : "");
		strbuf_put_u64(&text, malformed->lines[i]);
	}
	if (malformed->count > IMPORT_LINES_NAMED)
		strbuf_puts(&text, ", …");
	strbuf_printf(&text, " (the first: %s)", malformed->why);
	if (strbuf_error(&text))
		return -ENOMEM;
	return profile_add_count(profile, IMPORT_MALFORMED_KEY, text.data, malformed->count, 1);
}

enum frame_kind import_kind(const char *name, size_t *n)
{
	size_t length = *n;

	if (length > 4 && name[length - 1] == ']' && !memcmp(name + length - 4, "_[", 2)) {
		enum frame_kind kind = name[length - 2] == 'k'   ? FRAME_KERNEL
				       : name[length - 2] == 'i' ? FRAME_INLINE
				       : name[length - 2] == 'j' ? FRAME_JIT
								 : FRAME_USER;

		if (kind != FRAME_USER) {
			*n = length - 4;
			return kind;
		}
	}
	/* A place that stands for a name ("[libc.so.6+0x1234]") is code all the same. */
	if (length > 2 && name[0] == '[' && name[length - 1] == ']' &&
	    !memmem(name, length, "+0x", 3))
		return FRAME_SPECIAL;
	return FRAME_USER;
}

bool import_is_kernel(const char *module, size_t n)
{
	const char *slash = memrchr(module, '/', n);
	size_t base_n = slash ? n - (size_t)(slash + 1 - module) : n;
	const char *base = slash ? slash + 1 : module;

	if (n > 1 && module[0] == '[')
		return (n != 9 || memcmp(module, "[unknown]", 9) != 0) &&
		       (n != 6 || memcmp(module, "[vdso]", 6) != 0) &&
		       (n != 7 || memcmp(module, "[stack]", 7) != 0);
	if (n > 3 && !memcmp(module + n - 3, ".ko", 3))
		return true;
	return base_n >= 7 && !memcmp(base, "vmlinux", 7) &&
	       (base_n == 7 || base[7] == '-' || base[7] == '_');
}

/* Numbers with an exponent, and those with more digits than matter: rare. */
static bool slow_number(const char *text, size_t n, struct import_number *ret)
{
	char copy[NUMBER_LENGTH_MAX + 1], *end;
	double value;

	if (n > NUMBER_LENGTH_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!strchr("0123456789.eE+-", text[i]) || !text[i])
			return false;
	}
	memcpy(copy, text, n);
	copy[n] = '\0';
	value = strtod(copy, &end);
	if (*end || end == copy || !(value >= 0) || value >= 0x1p64)
		return false;
	ret->whole = (uint64_t)value;
	ret->millionths = (uint32_t)((value - floor(value)) * IMPORT_MILLION + 0.5);
	if (ret->millionths == IMPORT_MILLION) {
		ret->millionths = 0;
		ret->whole += ret->whole < UINT64_MAX;
	}
	return true;
}

bool import_number(const char *text, size_t n, struct import_number *ret)
{
	struct import_number number = {0};
	uint32_t place = IMPORT_MILLION;
	size_t i;

	for (i = 0; i < n && text[i] >= '0' && text[i] <= '9'; i++) {
		if (__builtin_mul_overflow(number.whole, 10, &number.whole) ||
		    __builtin_add_overflow(number.whole, (uint64_t)(text[i] - '0'), &number.whole))
			return false;
	}
	if (!i)
		return n && text[0] == '.' && n > 1 && slow_number(text, n, ret);
	if (i < n && text[i] == '.') {
		for (i++; i < n && text[i] >= '0' && text[i] <= '9' && place > 1; i++) {
			place /= 10;
			number.millionths += (uint32_t)(text[i] - '0') * place;
		}
	}
	if (i < n)
		return slow_number(text, n, ret);
	*ret = number;
	return true;
}

uint64_t import_decimal(const char *text, size_t n)
{
	struct import_number number;

	return import_number(text, n, &number) ? number.whole : 0;
}

int import_add_sample(struct profile *profile, const uint32_t *frames, size_t count,
		      struct profile_sample *sample, const uint64_t *values)
{
	size_t stacks = profile->stack_ends.count;

	sample->stack = profile_stack(profile, frames, count);
	if (sample->stack == PROFILE_NONE)
		return -ENOMEM;
	/* No sample is like one of a stack that was not there. */
	if (sample->stack == stacks)
		return profile_append_sample(profile, sample, values);
	return profile_add_sample(profile, sample, values);
}
