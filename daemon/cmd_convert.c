/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl convert and flamegraph: a profile that is in a file, in another format.
 * Both are one thing; flamegraph's defaults are those of a picture.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/command.h"
#include "daemon/load.h"
#include "daemon/result.h"

static int convert(const struct options *options, const char *path, const char *subject,
		   const char *stdout_format)
{
	_cleanup_profile_ struct profile *profile = NULL;
	struct options reading = *options;
	struct error error = {0};
	struct result result;
	size_t bytes;
	int r;

	r = result_init(options, subject, stdout_format, &error, &result);
	if (!r) {
		if (!reading.step_ns)
			reading.step_ns = result.format->step_ns;
		r = load_profile(path, &reading, &error, &profile);
	}
	if (r < 0 && !profile)
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

int cmd_convert(const struct options *options)
{
	return convert(options, options->rest_count ? options->rest[0] : "-", NULL, "folded");
}

int cmd_flamegraph(const struct options *options)
{
	const char *path = options->rest_count ? options->rest[0] : "-";
	const char *slash = strrchr(path, '/');
	char subject[256];

	if (!strcmp(path, "-"))
		return convert(options, path, NULL, "svg");
	snprintf(subject, sizeof(subject), "%s", slash ? slash + 1 : path);
	subject[strcspn(subject, ".")] = 0;
	return convert(options, path, subject, "svg");
}
