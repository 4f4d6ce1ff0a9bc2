/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl report: what the whole machine did lately, from the view that a
 * running perfd always keeps; or what is in a file.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/command.h"
#include "daemon/result.h"
#include "daemon/subject.h"

#define TOP_DEFAULT 40

/* For the figures of windows, and the time line of a report in HTML. */
#define TIME_STEPS 120u

int cmd_report(const struct options *options)
{
	struct options reading = *options;
	const char *operand = options->rest_count ? options->rest[0] : NULL;
	bool json = option_given(options, OPTION_JSON);
	_cleanup_profile_ struct profile *profile = NULL;
	struct error error = {0};
	struct result result;
	size_t bytes;
	int r;

	if (json && options->format)
		return command_usage("--json and -f exclude each other");
	r = subject_check(operand, options, &error);
	if (!r)
		r = result_init(options, NULL, json ? "json" : "report", &error, &result);
	if (r)
		return command_fail(r == -EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILURE, &error);
	if (json)
		result.format = format_find("json");
	reading.time_steps = strcmp(result.format->name, "svg") ? TIME_STEPS : 0;
	/* A person reads the first lines; a program or a file gets all of them. */
	if (!json && !options->format && !options->output && !result.top)
		result.top = TOP_DEFAULT;
	r = subject_load(operand, &reading, &error, &profile);
	if (r == -EINVAL)
		return command_fail(EXIT_CODE_USAGE, &error);
	if (!r)
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
