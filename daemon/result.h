/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * In which format and to which file a profile will go. Decided and checked
 * before anything is recorded, so that no recording is made for nothing.
 */
#pragma once

#include <stdint.h>

#include "daemon/base/error.h"
#include "daemon/options.h"
#include "flamegraph/format.h"
#include "flamegraph/profile.h"

struct result {
	const struct format *format;
	char path[4096]; /* "-": standard output */
	const char *palette; /* NULL: the default */
	uint64_t window_ns; /* of a report; 0: the default */
	uint32_t top; /* rows of a table; 0: all */
	const char *value; /* NULL: the profile's default */
	bool confidence; /* a report has intervals */
};

/* `subject`: for the default file name, "perfd-SUBJECT.svg"; NULL: the default is
 * standard output in `stdout_format`, which is also the format of "-o -". -EINVAL:
 * called wrongly. */
int result_init(const struct options *options, const char *subject, const char *stdout_format,
		struct error *error, struct result *ret);
/* -ENODATA: the profile has no samples; -EPIPE: the reader of standard output left.
 * *ret_bytes is 0 for standard output. */
int result_write(const struct result *result, const struct profile *profile, struct error *error,
		 size_t *ret_bytes);
/* The formats, for --help. */
void result_help(void);
