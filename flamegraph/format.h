/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Output formats, as one table: a format is one file with a write function, and
 * one row in format.c. No format is known by name anywhere else.
 *
 * A writer gets a profile that has something to draw (format_write() sees to
 * that) and writes to a stream; it need not look at the stream's errors.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/base/error.h"
#include "flamegraph/profile.h"

/* All zero is the default. */
struct format_options {
	const char *value; /* name of the value type to draw; NULL: the profile's default */
	const char *title; /* NULL: the profile's */
	uint32_t width; /* px that a picture has where nothing else says; 0: 1200 */
	uint32_t top; /* rows of a table; 0: all */
	bool without_comm; /* no level for threads' names */
};

/* What a writer gets: options with everything decided. */
struct format_job {
	const struct profile *profile;
	uint32_t value_type;
	const char *value_name;
	const char *value_unit;
	uint64_t total; /* of that value, not 0 */
	const char *title; /* never empty */
	uint32_t width;
	uint32_t top;
	bool without_comm;
};

struct format {
	const char *name;
	const char *extensions; /* ".svg", or several with a space between */
	const char *help; /* one line */
	int (*write)(const struct format_job *job, FILE *out);
};

extern const struct format formats[];
extern const size_t format_count;

/* NULL if there is none of that name. */
const struct format *format_find(const char *name);
/* By the longest extension that the path ends with (".folded", ".svg", …), in any
 * case; NULL if none fits. */
const struct format *format_for_path(const char *path);
/* "svg, folded, …", for messages; to be freed by the caller, NULL: no memory. */
char *format_names(void);

/* 0; -EINVAL: options.value names no value type of the profile; -ENODATA: it has no
 * samples, or only zeros of that value (nothing is written then); -ENOMEM; or what
 * writing gave (-ENOSPC, -EPIPE, …), the stream then holding a part. The stream is
 * flushed, and stays the caller's. */
int format_write(const struct format *format, const struct profile *profile,
		 const struct format_options *options, FILE *out, struct error *error);

/* The writers, for the table only. */
int format_svg_write(const struct format_job *job, FILE *out);
int format_folded_write(const struct format_job *job, FILE *out);
int format_report_write(const struct format_job *job, FILE *out);
int format_json_write(const struct format_job *job, FILE *out);
