/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK (64U << 10)
#define PEEK (64U << 10)
#define GZIP_WINDOW (15 + 16) /* zlib: 32 KiB, with gzip's header and trailer */

struct input_inflate {
	z_stream zlib;
	uint8_t raw[BLOCK + 1]; /* one more: see detect_gzip() */
	bool raw_ended;
	bool in_member; /* the last member has not ended yet */
};

/* Up to n bytes as they lie in the source; 0 at the end. */
static size_t read_raw(struct input *input, void *to, size_t n)
{
	ssize_t got;

	if (input->fd < 0) {
		if (n > input->memory_left)
			n = input->memory_left;
		if (n)
			memcpy(to, input->memory, n);
		input->memory += n;
		input->memory_left -= n;
		return n;
	}
	do {
		got = read(input->fd, to, n);
	} while (got < 0 && errno == EINTR);
	if (got < 0) {
		error_set(&input->error, -errno, "cannot read: %s", strerror(errno));
		return 0;
	}
	return (size_t)got;
}

static int inflate_failed(struct input *input, const char *why)
{
	return error_set(&input->error, -EBADMSG,
			 "the gzip data is damaged after %lu bytes of it: %s",
			 input->inflate->zlib.total_in, why ? why : "unknown reason");
}

/* Up to n inflated bytes; 0 at the end. */
static size_t read_inflated(struct input *input, void *to, size_t n)
{
	struct input_inflate *state = input->inflate;
	z_stream *zlib = &state->zlib;

	zlib->next_out = to;
	zlib->avail_out = (uInt)n;
	while (zlib->avail_out == n) {
		int r;

		if (!zlib->avail_in && !state->raw_ended) {
			zlib->next_in = state->raw;
			zlib->avail_in = (uInt)read_raw(input, state->raw, sizeof(state->raw));
			state->raw_ended = !zlib->avail_in;
		}
		if (!zlib->avail_in) {
			if (state->in_member && !input->error.code)
				inflate_failed(input, "it ends too early");
			return 0;
		}
		state->in_member = true;
		r = inflate(zlib, Z_NO_FLUSH);
		if (r == Z_STREAM_END) {
			state->in_member = false;
			inflateReset(zlib);
		} else if (r != Z_OK) {
			inflate_failed(input, zlib->msg);
			return n - zlib->avail_out;
		}
	}
	return n - zlib->avail_out;
}

/* Makes room for a block behind `end`: by moving what is left to the front, or by
 * growing. */
static int make_room(struct input *input)
{
	size_t grown = input->capacity ? input->capacity * 2 : (size_t)BLOCK * 2;
	char *moved;

	if (input->capacity - input->end >= BLOCK)
		return 0;
	if (input->begin) {
		memmove(input->buffer, input->buffer + input->begin, input->end - input->begin);
		input->end -= input->begin;
		input->begin = 0;
		if (input->capacity - input->end >= BLOCK)
			return 0;
	}
	moved = realloc(input->buffer, grown + INPUT_PAD);
	if (!moved)
		return error_set(&input->error, -ENOMEM, "no memory to read into");
	memset(moved + grown, 0, INPUT_PAD);
	input->buffer = moved;
	input->capacity = grown;
	return 0;
}

/* False when there is no more. */
static bool fill(struct input *input)
{
	size_t got;

	if (input->ended || input->error.code || make_room(input))
		return false;
	got = input->inflate ? read_inflated(input, input->buffer + input->end, BLOCK)
			     : read_raw(input, input->buffer + input->end, BLOCK);
	input->end += got;
	input->ended = !got;
	return got;
}

/* Turns on inflating if what has been read begins as gzip does; it is then read
 * again as the raw beginning. */
static int detect_gzip(struct input *input)
{
	struct input_inflate *state;
	size_t n;

	while (input->end < 2 && fill(input)) {
	}
	if (input->end < 2 || memcmp(input->buffer, "\x1f\x8b", 2) != 0)
		return input->error.code;
	state = calloc(1, sizeof(*state));
	if (!state || inflateInit2(&state->zlib, GZIP_WINDOW) != Z_OK) {
		free(state);
		return error_set(&input->error, -ENOMEM, "no memory to inflate");
	}
	n = input->end;
	memcpy(state->raw, input->buffer, n); /* a block, and a byte if one came alone before */
	state->zlib.next_in = state->raw;
	state->zlib.avail_in = (uInt)n;
	input->inflate = state;
	input->end = 0;
	input->ended = false;
	return 0;
}

int input_init_fd(struct input *input, int fd)
{
	*input = (struct input){.fd = fd};
	return detect_gzip(input);
}

int input_init_memory(struct input *input, const void *bytes, size_t n)
{
	*input = (struct input){.fd = -1, .memory = bytes, .memory_left = n};
	return detect_gzip(input);
}

void input_deinit(struct input *input)
{
	if (input->inflate)
		inflateEnd(&input->inflate->zlib);
	free(input->inflate);
	free(input->buffer);
	input->inflate = NULL;
	input->buffer = NULL;
}

const char *input_peek(struct input *input, size_t *ret_n)
{
	while (input->end - input->begin < PEEK && fill(input)) {
	}
	*ret_n = input->end - input->begin < PEEK ? input->end - input->begin : PEEK;
	return *ret_n ? input->buffer + input->begin : "";
}

const char *input_line_read(struct input *input, size_t *ret_n)
{
	size_t looked = input->end - input->begin;
	const char *line;

	while (fill(input)) {
		size_t n = input->end - input->begin;

		if (memchr(input->buffer + input->begin + looked, '\n', n - looked))
			return input_line(input, ret_n);
		looked = n;
		if (n > INPUT_LINE_MAX) {
			error_set(&input->error, -E2BIG, "line %lu has more than %u bytes",
				  (unsigned long)input->line + 1, INPUT_LINE_MAX);
			return NULL;
		}
	}
	if (!looked || input->error.code)
		return NULL;
	/* The last one, without a newline. */
	line = input->buffer + input->begin;
	input->begin += looked;
	input->line++;
	*ret_n = line[looked - 1] == '\r' ? looked - 1 : looked;
	return line;
}

const char *input_all(struct input *input, size_t *ret_n)
{
	while (fill(input)) {
		if (input->end - input->begin > INPUT_ALL_MAX)
			error_set(&input->error, -E2BIG, "there are more than %llu bytes",
				  INPUT_ALL_MAX);
	}
	if (input->error.code)
		return NULL;
	*ret_n = input->end - input->begin;
	return *ret_n ? input->buffer + input->begin : "";
}
