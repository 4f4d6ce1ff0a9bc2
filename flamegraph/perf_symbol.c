/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/perf_symbol.h"

#include <string.h>

#define RUST_HASH 17 /* "h" and 16 hexadecimal digits */

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool equals(const char *text, size_t n, const char *what)
{
	return n == strlen(what) && !memcmp(text, what, n);
}

/* The '(' that belongs to the ')' at the end, with a blank before it: a module's name
 * may have both, "(/tmp/a b (deleted))". 0: none. */
static size_t module_begin(const char *line, size_t n)
{
	size_t depth = 0;

	if (!n || line[n - 1] != ')')
		return 0;
	for (size_t i = n; i-- > 1;) {
		if (line[i] == ')')
			depth++;
		else if (line[i] == '(' && !--depth)
			return line[i - 1] == ' ' ? i : 0;
	}
	return 0;
}

bool perf_line_parse(const char *line, size_t n, struct perf_line *ret)
{
	struct perf_line parsed = {0};
	size_t at = 0, module;

	while (n && (line[n - 1] == ' ' || line[n - 1] == '\t'))
		n--;
	while (at < n && (line[at] == ' ' || line[at] == '\t'))
		at++;
	parsed.pc = line + at;
	while (at < n && is_hex(line[at]))
		at++;
	parsed.pc_n = (size_t)(line + at - parsed.pc);
	module = module_begin(line, n);
	if (!parsed.pc_n || at >= n || line[at] != ' ' || module <= at)
		return false;
	parsed.module = line + module + 1;
	parsed.module_n = n - module - 2;
	while (at < module && line[at] == ' ')
		at++;
	parsed.symbol = line + at;
	parsed.symbol_n = module - at;
	while (parsed.symbol_n && parsed.symbol[parsed.symbol_n - 1] == ' ')
		parsed.symbol_n--;
	*ret = parsed;
	return true;
}

size_t perf_symbol_strip(const char *symbol, size_t n)
{
	size_t digits = n, hash = RUST_HASH;

	while (digits && is_hex(symbol[digits - 1]))
		digits--;
	if (digits >= 3 && digits <= n && !memcmp(symbol + digits - 3, "+0x", 3))
		n = digits - 3;
	/* "core::fmt::write::h0123456789abcdef" */
	if (n < RUST_HASH + 2 || memcmp(symbol + n - RUST_HASH - 2, "::h", 3) != 0)
		return n;
	while (hash > 1 && is_hex(symbol[n - hash + 1]))
		hash--;
	return hash == 1 ? n - RUST_HASH - 2 : n;
}

size_t perf_symbol_split(const char *symbol, size_t n, size_t *ret_next)
{
	static const char operator[] = "operator->";
	size_t at = 0, word = sizeof(operator) - 1;

	for (; at + 1 < n; at++) {
		if (symbol[at] != '-' || symbol[at + 1] != '>')
			continue;
		if (at + 2 >= word && !memcmp(symbol + at + 2 - word, operator, word))
			continue;
		*ret_next = at + 2;
		return at;
	}
	*ret_next = n;
	return n;
}

static const char unnamed[] = "(anonymous namespace)";

static bool is_unnamed(const char *name, size_t n)
{
	return n >= sizeof(unnamed) - 1 && !memcmp(name, unnamed, sizeof(unnamed) - 1);
}

bool perf_symbol_is_process(const char *symbol, size_t n)
{
	return n && symbol[0] == '(' && !is_unnamed(symbol, n);
}

/* Where the list of arguments begins, or n. A '(' within brackets, of a Go method
 * ("(*T).f") or of C++'s unnamed namespace begins none. */
static size_t arguments_begin(const char *name, size_t n)
{
	int depth = 0;

	for (size_t i = 0; i < n; i++) {
		bool go = i && name[i - 1] == '.';

		switch (name[i]) {
		case '<':
		case '{':
		case '[':
			depth++;
			break;
		case '>': /* but that of "operator->" */
			depth -= !i || name[i - 1] != '-';
			break;
		case '}':
		case ']':
		case ')':
			depth--;
			break;
		case '(':
			if (!depth && !go && !is_unnamed(name + i, n - i))
				return i;
			depth++;
			break;
		default:
			break;
		}
	}
	return n;
}

static void put_unknown(struct strbuf *out, const struct perf_line *line, bool address)
{
	const char *name = line->module, *slash = memrchr(name, '/', line->module_n);
	size_t n = line->module_n;

	if (slash) {
		n -= (size_t)(slash + 1 - name);
		name = slash + 1;
	}
	if (equals(name, n, "[unknown]")) {
		name = "unknown";
		n = strlen(name);
	}
	strbuf_putc(out, '[');
	strbuf_append(out, name, n);
	if (address) {
		strbuf_puts(out, " <");
		strbuf_append(out, line->pc, line->pc_n);
		strbuf_putc(out, '>');
	}
	strbuf_putc(out, ']');
}

void perf_symbol_put(struct strbuf *out, const struct perf_line *line, const char *function,
		     size_t n, bool java, bool address)
{
	if (!n || equals(function, n, "[unknown]")) {
		put_unknown(out, line, address);
		return;
	}
	n = arguments_begin(function, n);
	if (java && n && function[0] == 'L' && memchr(function, '/', n)) {
		function++;
		n--;
	}
	strbuf_append(out, function, n);
}
