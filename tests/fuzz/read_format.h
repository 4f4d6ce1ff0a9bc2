/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the fuzzers of the formats that are read share: what is read must go through
 * every writer, and what is written in that format must be read again with its total.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "flamegraph/diff.h"
#include "flamegraph/format.h"
#include "flamegraph/input.h"

static inline char *draw_format(const struct format *format, const struct profile *profile,
				size_t *ret_n)
{
	char *text = NULL;
	FILE *out = open_memstream(&text, ret_n);
	int r;

	if (!out)
		abort();
	r = format_write(format, profile, NULL, out, NULL);
	fclose(out);
	if (!r)
		return text;
	free(text);
	return NULL;
}

/* Nothing differs from itself. */
static inline void diff_with_itself(const struct profile *profile)
{
	struct diff_side side = {profile, NULL};
	struct diff_options options = {0};
	struct diff diff;

	if (diff_init(&diff, &side, &side, DIFF_RAW, NULL))
		return;
	if (diff.rows.count)
		abort();
	for (size_t i = 0; i < diff_format_count; i++) {
		char *text = NULL;
		size_t n;
		FILE *out = open_memstream(&text, &n);

		if (!out || diff_formats[i].write(&diff, &options, out))
			abort();
		fclose(out);
		free(text);
	}
	diff_deinit(&diff);
}

static inline struct profile *read_with(const char *format, const void *data, size_t size)
{
	struct format_read_options options = {.annotate = UINT32_MAX};
	struct profile *profile = NULL;
	struct input input;

	input_init_memory(&input, data, size);
	format_read(format_find(format), &input, &options, NULL, &profile);
	input_deinit(&input);
	return profile;
}

static inline int read_format(const char *name, const uint8_t *data, size_t size)
{
	struct profile *profile = read_with(name, data, size), *again;
	const struct format *format = format_find(name);
	struct input input;
	size_t n;

	/* Recognising looks at anything. */
	input_init_memory(&input, data, size);
	if (!format_read(NULL, &input, NULL, NULL, &again))
		profile_destroy(again);
	input_deinit(&input);
	if (!profile)
		return 0;
	for (size_t i = 0; i < format_count; i++) {
		char *text = draw_format(&formats[i], profile, &n);

		if (text && &formats[i] == format) {
			again = read_with(name, text, n);
			if (!again)
				abort();
			profile_destroy(again);
		}
		free(text);
	}
	diff_with_itself(profile);
	profile_destroy(profile);
	return 0;
}
