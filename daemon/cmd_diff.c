/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl diff: two profiles in files beside each other, or the two columns of one.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/command.h"
#include "daemon/output.h"
#include "daemon/subject.h"
#include "flamegraph/diff.h"
#include "flamegraph/format.h"

#define TOP_DEFAULT 40

struct work {
	struct profile *before, *after; /* `after` NULL: two columns of `before` */
	enum diff_scale scale;
	struct diff_options options;
	const struct diff_format *format;
	const char *path;
};

static int find_format(const struct options *options, struct work *work, struct error *error)
{
	const char *name = option_given(options, OPTION_JSON) ? "json" : options->format;

	if (!name && !strcmp(work->path, "-"))
		name = "table";
	for (size_t i = 0; i < diff_format_count; i++) {
		const struct diff_format *format = &diff_formats[i];

		if (name ? !strcmp(name, format->name)
			 : format_has_extension(work->path, format->extensions))
			work->format = format;
	}
	return work->format
		       ? 0
		       : error_set(error, -EINVAL,
				   "%s: a difference can be table, json, folded or svg; choose "
				   "one with -f",
				   name ? name : work->path);
}

static int parse(const struct options *options, struct work *work, struct error *error)
{
	static const char *const scales[] = {"auto", "share", "second", "value"};
	static const char *const widths[] = {"sum", "after", "before"};
	unsigned i;

	for (i = 0; options->by && i < 4 && strcmp(options->by, scales[i]) != 0;)
		i++;
	if (options->by && i == 4)
		return error_set(error, -EINVAL, "--by %s: expected share, second or value",
				 options->by);
	work->scale = options->by ? (enum diff_scale)i : DIFF_AUTO;
	for (i = 0; options->widths && i < 3 && strcmp(options->widths, widths[i]) != 0;)
		i++;
	if (options->widths && i == 3)
		return error_set(error, -EINVAL, "--widths %s: expected sum, after or before",
				 options->widths);
	work->options.width = options->widths ? (enum diff_width)i : DIFF_WIDTH_SUM;
	work->path = options->output ? options->output : "-";
	work->options.top = options->top;
	/* A person reads the first lines; a program or a file gets all of them. */
	if (!options->top && !options->output && !options->format &&
	    !option_given(options, OPTION_JSON))
		work->options.top = TOP_DEFAULT;
	i = (unsigned)find_format(options, work, error);
	return i ? (int)i : output_check(work->path, error);
}

static int load(const struct options *options, struct work *work, struct error *error)
{
	int r = subject_load(options->rest[0], options, error, &work->before);

	if (r)
		return r;
	if (options->rest_count == 2)
		return subject_load(options->rest[1], options, error, &work->after);
	if (profile_find_value_type(work->before, "before", NULL) == PROFILE_NONE ||
	    profile_find_value_type(work->before, "after", NULL) == PROFILE_NONE)
		return error_set(error, -EINVAL,
				 "%s has one column: name two files or times, or a file with two "
				 "columns",
				 options->rest[0]);
	return 0;
}

static int write_diff(const struct work *work, const struct diff *diff, struct error *error)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&bytes, &size);
	int r = stream ? work->format->write(diff, &work->options, stream) : -ENOMEM;

	if (stream && fclose(stream) && !r)
		r = -ENOMEM;
	if (r)
		return error_set(error, r, "cannot make the %s: %s", work->format->name,
				 strerror(-r));
	r = output_write(work->path, bytes, size, error);
	if (!r && strcmp(work->path, "-") != 0)
		fprintf(stderr, "perfctl: wrote %s (%s, %zu bytes)\n", work->path,
			work->format->name, size);
	return r;
}

static int compare(const struct options *options, struct work *work, struct error *error)
{
	struct diff_side before = {work->before, work->after ? options->value : "before"};
	struct diff_side after = {work->after ? work->after : work->before,
				  work->after ? options->value : "after"};
	struct diff diff;
	int r = diff_init(&diff, &before, &after, work->scale, error);

	if (r)
		return r;
	r = write_diff(work, &diff, error);
	diff_deinit(&diff);
	return r;
}

int cmd_diff(const struct options *options)
{
	struct error error = {0};
	struct work work = {0};
	int r;

	if (!options->rest_count)
		return command_usage("name two files, or times: perfctl diff BEFORE AFTER, perfctl "
				     "diff @-10m..-5m @-5m");
	if (option_given(options, OPTION_JSON) && options->format)
		return command_usage("--json and -f exclude each other");
	r = parse(options, &work, &error);
	if (!r)
		r = load(options, &work, &error);
	if (!r)
		r = compare(options, &work, &error);
	profile_destroy(work.before);
	profile_destroy(work.after);
	if (!r || r == -EPIPE)
		return EXIT_CODE_OK;
	return command_fail(r == -EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILURE, &error);
}
