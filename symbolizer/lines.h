/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lines of a text that is read from a descriptor as a stream, in a buffer of
 * fixed size: /proc texts have no length and may be very long. read(), not
 * pread(): the texts that the kernel makes as they are read have no other way.
 * The descriptor stays the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define LINES_LENGTH_MAX 65536

struct lines {
	int fd;
	size_t at, end; /* what is unread in the buffer */
	bool ended; /* the descriptor gave its last byte */
	size_t number; /* of the line given last, from 1 */
	char buffer[LINES_LENGTH_MAX];
};

void lines_init(struct lines *lines, int fd);
/* 1 and a line, NUL-terminated in place of its newline and valid until the next
 * call; 0 at the end; -EMSGSIZE for a line that is too long; -errno of read. A
 * last line without a newline counts. */
int lines_next(struct lines *lines, char **ret_line, size_t *ret_length);

/* Reads a number of at most 16 hexadecimal digits and moves *at behind it. False, and nothing
 * changed, if there is none. */
bool lines_hex(const char **at, unsigned long long *ret);
