/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/result.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/output.h"

#define FILE_FORMAT "svg"
#define STDOUT_BLOCK (64U << 10) /* bytes */

static int find_format(const struct options *options, const char *path, const char *stdout_format,
		       const struct format **ret, struct error *error)
{
	_cleanup_free_ char *names = format_names();
	struct stat st;

	if (options->format) {
		*ret = format_find(options->format);
		return *ret ? 0
			    : error_set(error, -EINVAL, "-f %s: no such format; there are %s",
					options->format, names ? names : "");
	}
	if (!path) {
		*ret = format_find(FILE_FORMAT);
		return 0;
	}
	*ret = strcmp(path, "-") ? format_for_path(path) : format_find(stdout_format);
	/* /dev/stdout, /dev/full, a FIFO: more of a stream than a file. */
	if (!*ret && !stat(path, &st) && !S_ISREG(st.st_mode))
		*ret = format_find(stdout_format);
	return *ret ? 0
		    : error_set(error, -EINVAL,
				"-o %s: no format goes with this name; choose one with -f: %s",
				path, names ? names : "");
}

/* The subject may be what a process calls itself: nothing but plain characters
 * gets into a file name. */
static void default_path(const char *subject, const struct format *format, char *path, size_t size)
{
	size_t n = (size_t)snprintf(path, size, "perfd-");

	for (; *subject && n < 64; subject++)
		path[n++] = isalnum((unsigned char)*subject) || strchr("._-", *subject) ? *subject
											: '_';
	snprintf(path + n, size - n, "%.*s", (int)strcspn(format->extensions, " "),
		 format->extensions);
}

static int check_palette(const char *name, struct error *error)
{
	_cleanup_free_ char *names = palette_names();

	if (!name || palette_find(name))
		return 0;
	return error_set(error, -EINVAL, "--palette %s: no such palette; there are %s", name,
			 names ? names : "");
}

int result_init(const struct options *options, const char *subject, const char *stdout_format,
		struct error *error, struct result *ret)
{
	struct result result = {.top = options->top,
				.value = options->value,
				.palette = options->palette,
				.window_ns = options->step_ns,
				.confidence = option_given(options, OPTION_CI)};
	const char *path = options->output;
	int r;

	if (!path && !subject)
		path = "-";
	r = find_format(options, path, stdout_format, &result.format, error);
	if (r < 0)
		return r;
	r = check_palette(options->palette, error);
	if (r < 0)
		return r;
	if (path && strlen(path) >= sizeof(result.path))
		return error_set(error, -ENAMETOOLONG, "-o: the name has more than %zu bytes",
				 sizeof(result.path) - 1);
	if (path)
		snprintf(result.path, sizeof(result.path), "%s", path);
	else
		default_path(subject, result.format, result.path, sizeof(result.path));
	r = output_check(result.path, error);
	if (r < 0)
		return r;
	*ret = result;
	return 0;
}

/* Cells of the terminal that will show it; 0: no terminal, or not known. */
static uint32_t terminal_columns(void)
{
	const char *text = getenv("COLUMNS");
	unsigned long columns = text ? strtoul(text, NULL, 10) : 0;
	struct winsize size = {0};

	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_col)
		return size.ws_col;
	return columns < UINT16_MAX ? (uint32_t)columns : 0;
}

/* Straight through: what goes to a pipe cannot be taken back, and need not be in memory
 * as a whole first. */
static int write_stdout(const struct result *result, const struct profile *profile,
			const struct format_options *options, struct error *error)
{
	int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	FILE *stream = fd < 0 ? NULL : fdopen(fd, "w");
	int r;

	if (!stream) {
		r = error_set(error, -errno, "standard output: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return r;
	}
	setvbuf(stream, NULL, _IOFBF, STDOUT_BLOCK);
	r = format_write(result->format, profile, options, stream, error);
	if (fclose(stream) && !r)
		r = error_set(error, -errno, "standard output: %s", strerror(errno));
	return r;
}

int result_write(const struct result *result, const struct profile *profile, struct error *error,
		 size_t *ret_bytes)
{
	struct format_options options = {.top = result->top,
					 .value = result->value,
					 .palette = result->palette,
					 .window_ns = result->window_ns,
					 .columns = terminal_columns(),
					 .confidence = result->confidence};
	_cleanup_free_ char *bytes = NULL;
	FILE *stream;
	size_t size = 0;
	int r;

	if (!strcmp(result->path, "-")) {
		*ret_bytes = 0;
		return write_stdout(result, profile, &options, error);
	}
	stream = open_memstream(&bytes, &size);
	if (!stream)
		return error_set(error, -errno, "no memory for the result");
	r = format_write(result->format, profile, &options, stream, error);
	if (fclose(stream) && !r)
		r = error_set(error, -ENOMEM, "no memory for the result");
	if (!r)
		r = output_write(result->path, bytes, size, error);
	if (r < 0)
		return r;
	*ret_bytes = size;
	return 0;
}

void result_help(void)
{
	puts("\nFormats, with the extensions that choose them:");
	for (size_t i = 0; i < format_count; i++)
		printf("  %-10s %-20s %s\n", formats[i].name, formats[i].extensions,
		       formats[i].help);
	puts("\nPalettes of pictures:");
	for (size_t i = 0; i < palette_style_count; i++)
		printf("  %-13s %s\n", palette_styles[i].name, palette_styles[i].help);
}
