/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where foreign profiles are read from: a descriptor (a file, a pipe) or memory,
 * a block at a time, so that a file of any size passes through a small buffer.
 * What is gzip (RFC 1952, several members too) is inflated on the way.
 *
 * What is handed out lies in the buffer and is valid until the next call. The first
 * failure sticks: reads then give nothing, and input->error says what it was.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "daemon/base/error.h"

#define INPUT_LINE_MAX (16U << 20) /* bytes; a longer line ends the reading */
#define INPUT_PAD 64 /* bytes behind a line that may be looked at, whatever they are */
#define INPUT_ALL_MAX (2ULL << 30) /* bytes of a format that is read as a whole, inflated */

struct input_inflate;

struct input {
	int fd; /* -1: memory */
	const uint8_t *memory;
	size_t memory_left;
	struct input_inflate *inflate; /* NULL: the bytes are as they are */
	char *buffer;
	size_t capacity, begin, end; /* what was read and not yet handed out */
	bool ended; /* there is no more behind `end` */
	uint64_t line; /* number of the line handed out last, from 1 */
	struct error error; /* code 0: none yet */
};

/* The descriptor stays the caller's. 0, -ENOMEM, or what reading gave; deinit in any
 * case. */
int input_init_fd(struct input *input, int fd);
/* The bytes stay the caller's and must outlive the input. */
int input_init_memory(struct input *input, const void *bytes, size_t n);
void input_deinit(struct input *input);

/* The beginning of what is left, 64 KiB of it if there is that much, without taking
 * it: for recognising a format. */
const char *input_peek(struct input *input, size_t *ret_n);
/* As input_line(), of which it is the rare part: the line is not in the buffer yet. */
const char *input_line_read(struct input *input, size_t *ret_n);
/* The next line if all of it has been read already: what was handed out before then stays
 * valid. NULL: perhaps input_line() has more. */
static inline const char *input_line_ready(struct input *input, size_t *ret_n)
{
	const char *line = input->buffer + input->begin, *newline = NULL;
	size_t n;

	if (input->begin < input->end)
		newline = memchr(line, '\n', input->end - input->begin);
	if (!newline)
		return NULL;
	n = (size_t)(newline - line);
	input->begin += n + 1;
	input->line++;
	*ret_n = n && line[n - 1] == '\r' ? n - 1 : n;
	return line;
}
/* All that is in the buffer, as many whole lines of it as a reader likes: it says what it has
 * taken, and that stays valid as the line of input_line_ready() does. Behind it INPUT_PAD
 * bytes can be read. */
static inline const char *input_ready(const struct input *input, size_t *ret_n)
{
	*ret_n = input->end - input->begin;
	return input->buffer + input->begin;
}
static inline void input_take(struct input *input, size_t n, size_t lines)
{
	input->begin += n;
	input->line += lines;
}
/* The next line without its "\n" or "\r\n"; NULL at the end or on an error. Behind it
 * INPUT_PAD bytes can be read. */
static inline const char *input_line(struct input *input, size_t *ret_n)
{
	const char *line = input_line_ready(input, ret_n);

	return line ? line : input_line_read(input, ret_n);
}
/* All that is left; NULL on an error. */
const char *input_all(struct input *input, size_t *ret_n);
