/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/base/cleanup.h"
#include "flamegraph/format.h"
#include "flamegraph/import.h"
#include "flamegraph/input.h"

static int parse_annotate(const char *list, uint32_t *ret, struct error *error)
{
	static const struct {
		const char *word;
		uint32_t bits;
	} words[] = {
		{"pid", FORMAT_ANNOTATE_PID},
		{"tid", FORMAT_ANNOTATE_PID | FORMAT_ANNOTATE_TID},
		{"kernel", FORMAT_ANNOTATE_KERNEL},
		{"jit", FORMAT_ANNOTATE_JIT},
		{"inline", FORMAT_ANNOTATE_INLINE},
		{"address", FORMAT_ANNOTATE_ADDRESS},
		{"all", UINT32_MAX},
		{"none", 0},
	};
	uint32_t bits = 0;
	size_t n;

	for (const char *at = list; *at; at += n + (at[n] == ',')) {
		size_t i = 0;

		n = strcspn(at, ",");
		while (i < sizeof(words) / sizeof(*words) &&
		       (strlen(words[i].word) != n || strncmp(words[i].word, at, n) != 0))
			i++;
		if (i == sizeof(words) / sizeof(*words))
			return error_set(error, -EINVAL,
					 "--annotate %s: expected pid, tid, kernel, jit, inline, "
					 "address, with commas between, or all or none",
					 list);
		bits |= words[i].bits;
	}
	*ret = bits;
	return 0;
}

static int read_options(const struct options *options, struct format_read_options *ret,
			const struct format **ret_format, struct error *error)
{
	_cleanup_free_ char *names = format_read_names();
	struct format_read_options read = {.annotate = FORMAT_ANNOTATE_DEFAULT};
	const struct format *format = NULL;
	int r = 0;

	if (*options->event)
		read.event = options->event;
	read.step_ns = options->step_ns;
	if (options->annotate)
		r = parse_annotate(options->annotate, &read.annotate, error);
	if (r)
		return r;
	if (options->from)
		format = format_find(options->from);
	if (options->from && (!format || !format->read))
		return error_set(error, -EINVAL,
				 "--from %s: no format that can be read; these are: %s",
				 options->from, names ? names : "");
	*ret = read;
	*ret_format = format;
	return 0;
}

static int open_path(const char *path, struct error *error)
{
	struct stat st;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return error_set(error, -errno, "%s: %s", path, strerror(errno));
	if (!fstat(fd, &st) && S_ISDIR(st.st_mode)) {
		close(fd);
		return error_set(error, -EISDIR, "%s is a directory: name a file in it", path);
	}
	return fd;
}

static void tell_malformed(const char *path, const struct profile *profile)
{
	for (size_t i = 0; i < profile->counts.count; i++) {
		const struct profile_count *count = &profile->counts.items[i];

		if (!strcmp(profile_text(profile, count->key), IMPORT_MALFORMED_KEY))
			fprintf(stderr, "perfctl: %s: %s\n", path,
				profile_text(profile, count->text));
	}
}

int load_profile(const char *path, const struct options *options, struct error *error,
		 struct profile **ret)
{
	_cleanup_close_ int fd = -1;
	struct format_read_options read;
	const struct format *format;
	struct profile *profile;
	struct input input;
	bool is_stdin = !strcmp(path, "-");
	const char *slash = strrchr(path, '/');
	int r;

	r = read_options(options, &read, &format, error);
	if (r)
		return r;
	if (!is_stdin) {
		fd = open_path(path, error);
		if (fd < 0)
			return fd;
	}
	input_init_fd(&input, is_stdin ? STDIN_FILENO : fd);
	r = format_read(format, &input, &read, error, &profile);
	input_deinit(&input);
	path = is_stdin ? "standard input" : path;
	if (r) {
		error_prefix(error, "%s", path);
		return r;
	}
	tell_malformed(path, profile);
	if (!profile->title && !is_stdin) {
		uint32_t title = profile_string(profile, slash ? slash + 1 : path);

		profile->title = title == PROFILE_NONE ? 0 : title;
	}
	*ret = profile;
	return 0;
}
