/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl convert and flamegraph: a profile that is in a file, or in the running perfd, in
 * another format. Both are one thing; flamegraph's defaults are those of a picture.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/command.h"
#include "daemon/result.h"
#include "daemon/subject.h"

/* Of the history, for formats that show time. */
#define TIME_STEPS 300u

static int convert(const struct options *options, const char *operand, const char *subject,
		   const char *stdout_format)
{
	_cleanup_profile_ struct profile *profile = NULL;
	struct options reading = *options;
	struct error error = {0};
	struct result result;
	size_t bytes;
	int r = subject_check(operand, options, &error);

	if (!r)
		r = result_init(options, subject, stdout_format, &error, &result);
	if (!r) {
		if (!reading.step_ns)
			reading.step_ns = result.format->step_ns;
		reading.time_steps = strcmp(result.format->name, "svg") ? TIME_STEPS : 0;
		r = subject_load(operand, &reading, &error, &profile);
	}
	if (r)
		return command_fail(r == -EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILURE, &error);
	r = result_write(&result, profile, &error, &bytes);
	if (r == -EPIPE)
		return EXIT_CODE_OK;
	if (r)
		return command_fail(EXIT_CODE_FAILURE, &error);
	if (strcmp(result.path, "-") != 0)
		fprintf(stderr, "perfctl: wrote %s (%s, %zu bytes)\n", result.path,
			result.format->name, bytes);
	return EXIT_CODE_OK;
}

/* NULL: what the options name. */
static const char *operand_of(const struct options *options)
{
	if (options->rest_count)
		return options->rest[0];
	return subject_by_options(options) ? NULL : "-";
}

int cmd_convert(const struct options *options)
{
	return convert(options, operand_of(options), NULL, "folded");
}

int cmd_flamegraph(const struct options *options)
{
	const char *operand = operand_of(options);
	char subject[256];

	subject_name(operand, options, subject, sizeof(subject));
	return convert(options, operand, *subject ? subject : NULL, "svg");
}
