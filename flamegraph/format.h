/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Formats of profiles, as one table: a format is one file with a write function
 * (format_*.c), where it can be read one more (read_*.c), and one row in format.c. No
 * format is known by name anywhere else.
 *
 * A writer gets a profile that has something to draw (format_write() sees to
 * that) and writes to a stream; it need not look at the stream's errors.
 *
 * A reader gets an input and an empty profile to fill; its bytes may be anybody's.
 * Those that can be recognised are, by the first bytes, in the order of the table.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/base/error.h"
#include "flamegraph/palette.h"
#include "flamegraph/profile.h"

struct input;

/* All zero is the default. */
struct format_options {
	const char *value; /* name of the value type to draw; NULL: the profile's default */
	const char *title; /* NULL: the profile's */
	const char *palette; /* colours of a picture, see palette.h; NULL: "memory" for bytes
			      * and page faults, "kind" otherwise */
	uint32_t width; /* px that a picture has where nothing else says; 0: 1200 */
	uint32_t top; /* rows of a table; 0: all */
	uint32_t columns; /* cells of the terminal that text must fit; 0: 80 */
	uint64_t window_ns; /* of a report's windows of time; 0: REPORT_WINDOW_NS */
	bool without_comm; /* no level for threads' names */
	bool confidence; /* a report shows the interval of each share */
};

/* What a writer gets: options with everything decided. */
struct format_job {
	const struct profile *profile;
	uint32_t value_type;
	const char *value_name;
	const char *value_unit;
	uint64_t total; /* of that value, not 0 */
	const char *title; /* never empty */
	const struct palette_style *palette;
	uint32_t width;
	uint32_t top;
	uint32_t columns;
	uint64_t window_ns;
	bool without_comm;
	bool confidence;
};

/* What the reader of perf's text puts into names, as bits. */
#define FORMAT_ANNOTATE_PID (1U << 0) /* comm-PID */
#define FORMAT_ANNOTATE_TID (1U << 1) /* comm-PID/TID */
#define FORMAT_ANNOTATE_KERNEL (1U << 2) /* the kernel's frames are of its kind: _[k] */
#define FORMAT_ANNOTATE_JIT (1U << 3) /* _[j] */
#define FORMAT_ANNOTATE_INLINE (1U << 4) /* _[i] */
#define FORMAT_ANNOTATE_ADDRESS (1U << 5) /* unknown frames by their address */
#define FORMAT_ANNOTATE_DEFAULT                                                                    \
	(FORMAT_ANNOTATE_KERNEL | FORMAT_ANNOTATE_JIT | FORMAT_ANNOTATE_INLINE)

struct format_read_options {
	uint32_t annotate; /* FORMAT_ANNOTATE_*, all of them: 0 is none */
	const char *event; /* of several in one file; NULL: the first that comes */
	uint64_t step_ns; /* width of the profile's buckets, if the file has times; 0: 1 s */
};

struct format {
	const char *name;
	const char *extensions; /* ".svg", or several with a space between */
	const char *help; /* one line */
	int (*write)(const struct format_job *job, FILE *out);
	/* NULL: cannot be read. Fills an empty profile; 0, -ENOMEM, -EBADMSG with the
	 * reason in input->error. */
	int (*read)(struct input *input, const struct format_read_options *options,
		    struct profile *profile);
	bool (*recognises)(const char *head, size_t n);
	uint64_t step_ns; /* the steps of time that the writer can make use of; 0: any */
};

extern const struct format formats[];
extern const size_t format_count;

/* NULL if there is none of that name. */
const struct format *format_find(const char *name);
/* Whether `path` ends with one of the extensions, in any case. */
bool format_has_extension(const char *path, const char *extensions);
/* By the longest extension that the path ends with (".folded", ".svg", …), in any
 * case; NULL if none fits. */
const struct format *format_for_path(const char *path);
/* "svg, folded, …", for messages; to be freed by the caller, NULL: no memory. */
char *format_names(void);

/* 0; -EINVAL: options.value names no value type of the profile, or options.palette no
 * palette; -ENODATA: it has no
 * samples, or only zeros of that value (nothing is written then); -ENOMEM; or what
 * writing gave (-ENOSPC, -EPIPE, …), the stream then holding a part. The stream is
 * flushed, and stays the caller's. */
int format_write(const struct format *format, const struct profile *profile,
		 const struct format_options *options, FILE *out, struct error *error);

/* "folded, perf, …": those that can be read. As format_names(). */
char *format_read_names(void);

/* Reads what `format` names, or what is recognised (NULL). A new profile with samples,
 * or -EBADMSG (malformed; not recognised), -ENODATA (nothing in it), -ENOMEM, or what
 * reading gave. `options`: NULL for the defaults. */
int format_read(const struct format *format, struct input *input,
		const struct format_read_options *options, struct error *error,
		struct profile **ret);

/* The readers, for the table only. */
int format_folded_read(struct input *input, const struct format_read_options *options,
		       struct profile *profile);
bool format_folded_recognises(const char *head, size_t n);
int format_perf_read(struct input *input, const struct format_read_options *options,
		     struct profile *profile);
bool format_perf_recognises(const char *head, size_t n);
int format_pprof_read(struct input *input, const struct format_read_options *options,
		      struct profile *profile);
bool format_pprof_recognises(const char *head, size_t n);

int format_perfd_read(struct input *input, const struct format_read_options *options,
		      struct profile *profile);
bool format_perfd_recognises(const char *head, size_t n);

/* The writers, for the table only. */
int format_perfd_write(const struct format_job *job, FILE *out);
int format_svg_write(const struct format_job *job, FILE *out);
int format_html_write(const struct format_job *job, FILE *out);
int format_folded_write(const struct format_job *job, FILE *out);
int format_report_write(const struct format_job *job, FILE *out);
int format_json_write(const struct format_job *job, FILE *out);
int format_perf_write(const struct format_job *job, FILE *out);
int format_pprof_write(const struct format_job *job, FILE *out);
int format_speedscope_write(const struct format_job *job, FILE *out);
int format_firefox_write(const struct format_job *job, FILE *out);
int format_callgrind_write(const struct format_job *job, FILE *out);
int format_chrome_write(const struct format_job *job, FILE *out);
int format_d3_write(const struct format_job *job, FILE *out);
int format_csv_write(const struct format_job *job, FILE *out);
int format_tree_write(const struct format_job *job, FILE *out);
int format_chart_write(const struct format_job *job, FILE *out);
