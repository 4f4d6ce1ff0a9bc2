/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl timeline: what ran when, of the running perfd or of a file.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/command.h"
#include "daemon/output.h"
#include "daemon/subject.h"
#include "flamegraph/format.h"
#include "flamegraph/timeline.h"

#define TIME_STEPS 1000u /* of the history */

struct work {
	struct timeline_options options;
	const struct timeline_format *format;
	const char *path;
};

static int find_format(const struct options *options, struct work *work, struct error *error)
{
	const char *name = option_given(options, OPTION_JSON) ? "json" : options->format;

	if (!name && !strcmp(work->path, "-"))
		name = "table";
	for (size_t i = 0; i < timeline_format_count; i++) {
		const struct timeline_format *format = &timeline_formats[i];

		if (name ? !strcmp(name, format->name)
			 : format_has_extension(work->path, format->extensions))
			work->format = format;
	}
	return work->format ? 0
			    : error_set(error, -EINVAL,
					"%s: a time line can be table, json, svg or html; choose "
					"one with -f",
					name ? name : work->path);
}

static int parse(const struct options *options, struct work *work, struct error *error)
{
	static const char *const names[] = {"process", "thread", "module", "kind"};
	unsigned by = 0;
	int r;

	while (options->by && by < 4 && strcmp(options->by, names[by]) != 0)
		by++;
	if (by == 4)
		return error_set(error, -EINVAL,
				 "--by %s: expected process, thread, module or kind", options->by);
	if (options->top > TIMELINE_SERIES_MAX - 1)
		return error_set(error, -EINVAL, "--top %u: at most %u can be told apart",
				 options->top, TIMELINE_SERIES_MAX - 1);
	work->options = (struct timeline_options){
		.by = options->by ? (enum timeline_by)(TIMELINE_PROCESS + by) : TIMELINE_AUTO,
		.top = options->top,
		.value = options->value,
		.step_ns = options->step_ns};
	work->path = options->output ? options->output : "-";
	r = find_format(options, work, error);
	return r ? r : output_check(work->path, error);
}

static int write_timeline(const struct work *work, const struct timeline *timeline,
			  struct error *error)
{
	_cleanup_free_ char *bytes = NULL;
	size_t size = 0;
	FILE *stream = open_memstream(&bytes, &size);
	int r = stream ? work->format->write(timeline, stream) : -ENOMEM;

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

static int draw(const struct work *work, const struct profile *profile, struct error *error)
{
	struct timeline timeline;
	int r = timeline_from_profile(profile, &work->options, error, &timeline);

	if (r)
		return r;
	r = write_timeline(work, &timeline, error);
	timeline_deinit(&timeline);
	return r;
}

int cmd_timeline(const struct options *options)
{
	const char *operand = options->rest_count ? options->rest[0] : NULL;
	_cleanup_profile_ struct profile *profile = NULL;
	struct options reading = *options;
	struct error error = {0};
	struct work work = {0};
	int r;

	reading.time_steps = TIME_STEPS;
	if (option_given(options, OPTION_JSON) && options->format)
		return command_usage("--json and -f exclude each other");
	r = subject_check(operand, options, &error);
	if (!r)
		r = parse(options, &work, &error);
	if (!r)
		r = subject_load(operand, &reading, &error, &profile);
	if (!r)
		r = draw(&work, profile, &error);
	if (!r || r == -EPIPE)
		return EXIT_CODE_OK;
	return command_fail(r == -EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILURE, &error);
}
