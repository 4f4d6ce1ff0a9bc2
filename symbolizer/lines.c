/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "symbolizer/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void lines_init(struct lines *lines, int fd)
{
	lines->fd = fd;
	lines->at = lines->end = 0;
	lines->ended = false;
	lines->number = 0;
}

/* One byte of the buffer stays free for the last line's NUL. */
static int fill(struct lines *lines)
{
	ssize_t n;

	if (lines->at) {
		memmove(lines->buffer, lines->buffer + lines->at, lines->end - lines->at);
		lines->end -= lines->at;
		lines->at = 0;
	}
	if (lines->end == sizeof(lines->buffer) - 1)
		return -EMSGSIZE;
	do {
		n = read(lines->fd, lines->buffer + lines->end,
			 sizeof(lines->buffer) - 1 - lines->end);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	lines->ended = n == 0;
	lines->end += (size_t)n;
	return 0;
}

int lines_next(struct lines *lines, char **ret_line, size_t *ret_length)
{
	char *newline;
	size_t seen = 0;

	for (;;) {
		char *line = lines->buffer + lines->at;
		size_t left = lines->end - lines->at;
		int r;

		newline = left > seen ? memchr(line + seen, '\n', left - seen) : NULL;
		if (newline || (lines->ended && left)) {
			size_t length = newline ? (size_t)(newline - line) : left;

			line[length] = '\0';
			lines->at += length + (newline ? 1 : 0);
			lines->number++;
			*ret_line = line;
			*ret_length = length;
			return 1;
		}
		if (lines->ended)
			return 0;
		seen = left;
		r = fill(lines);
		if (r < 0)
			return r;
	}
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool lines_hex(const char **at, unsigned long long *ret)
{
	unsigned long long value = 0;
	const char *p = *at;
	int d;

	for (; (d = digit_of(*p)) >= 0; p++) {
		if (p - *at == 16)
			return false;
		value = value << 4 | (unsigned)d;
	}
	if (p == *at)
		return false;
	*at = p;
	*ret = value;
	return true;
}
