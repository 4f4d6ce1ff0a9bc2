/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl record: a process, everything, or a command from its first
 * instruction; with the running perfd, or one of its own.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/command.h"
#include "daemon/heap_library.h"
#include "daemon/recording.h"

/* What the default file is named after. */
static void name_subject(const struct options *options, char *subject, size_t size)
{
	const char *slash;

	if (options->rest_count) {
		slash = strrchr(options->rest[0], '/');
		snprintf(subject, size, "%s", slash ? slash + 1 : options->rest[0]);
	} else if (options->pid) {
		command_name_process(options->pid, subject, size);
	} else {
		snprintf(subject, size, "all");
	}
}

/* The command line as the session's title. */
static void join_command(char **argv, char *title, size_t size)
{
	size_t n = 0;

	*title = 0;
	for (; *argv && n + 1 < size; argv++) {
		snprintf(title + n, size - n, "%s%s", n ? " " : "", *argv);
		n += strlen(title + n);
	}
}

/* So long the library waits before the command's main(), until the probes are in: mostly some
 * hundredths of a second; those of perfd wait for unwind tables, two seconds at most. */
#define HEAP_WAIT "PERFD_HEAP_WAIT"
#define HEAP_WAIT_MS "4000"

/* The command with libperfd-heap.so before whatever is preloaded anyhow. Ours alone: a
 * perfd that is started later is not to have it. */
static int spawn_with_heap(struct recording *recording, const struct options *options,
			   struct error *error)
{
	const char *preloaded = getenv("LD_PRELOAD");
	_cleanup_free_ char *before = preloaded ? strdup(preloaded) : NULL;
	_cleanup_free_ char *preload = NULL;
	char library[PATH_MAX];
	int r = heap_library_find(false, library, sizeof(library), error);

	if (r < 0)
		return r;
	if (asprintf(&preload, "%s%s%s", library, before ? ":" : "", before ? before : "") < 0 ||
	    setenv("LD_PRELOAD", preload, 1) || setenv(HEAP_WAIT, HEAP_WAIT_MS, 1))
		return error_set(error, -ENOMEM, "out of memory");
	r = child_spawn(options->rest, &recording->mask, error, &recording->child);
	unsetenv(HEAP_WAIT);
	if (before)
		setenv("LD_PRELOAD", before, 1);
	else
		unsetenv("LD_PRELOAD");
	return r;
}

static int spawn(struct recording *recording, const struct options *options, struct error *error)
{
	if (option_given(options, OPTION_HEAP))
		return spawn_with_heap(recording, options, error);
	return child_spawn(options->rest, &recording->mask, error, &recording->child);
}

static int run(struct recording *recording, const struct options *options, struct error *error)
{
	char title[256];
	int r;

	if (options->rest_count) {
		join_command(options->rest, title, sizeof(title));
		r = spawn(recording, options, error);
		if (r < 0)
			return r;
		recording->session.pid = recording->child.pid;
		recording->session.wait_exec = true;
		recording->session.title = title;
	}
	r = recording_connect(recording, options, true, error);
	if (!r)
		r = recording_open(recording, error);
	if (r < 0)
		return r;
	if (options->rest_count) {
		r = child_release(&recording->child);
		if (r < 0) {
			recording->child.exit_code =
				r == -ENOENT ? EXIT_CODE_NOT_FOUND : EXIT_CODE_CANNOT_RUN;
			return error_set(error, -ENOEXEC, "cannot run %s: %s", options->rest[0],
					 strerror(-r));
		}
	}
	r = recording_follow(recording, error);
	if (!r)
		r = recording_finish(recording, 0, error);
	return r;
}

static int check_usage(const struct options *options)
{
	unsigned int subjects = option_given(options, OPTION_PID) +
				option_given(options, OPTION_ALL) + (options->rest_count > 0);

	if (subjects == 0)
		return command_usage(
			"say what to record: -p PID, -a for everything, or -- CMD ARGS");
	if (option_given(options, OPTION_HEAP) && option_given(options, OPTION_ALL))
		return command_usage("--heap is for one process: -p PID, or -- CMD ARGS");
	if (subjects > 1)
		return command_usage("-p, -a and a command exclude each other");
	return EXIT_CODE_OK;
}

int cmd_record(const struct options *options)
{
	int failure = options->rest_count ? EXIT_CODE_OWN_FAILURE : EXIT_CODE_FAILURE;
	struct error error = {0}, wait_error;
	struct recording recording;
	struct result result;
	char subject[256];
	int code, r;

	if (check_usage(options) != EXIT_CODE_OK)
		return options->rest_count ? EXIT_CODE_OWN_FAILURE : EXIT_CODE_USAGE;
	name_subject(options, subject, sizeof(subject));
	r = result_init(options, subject, "folded", &error, &result);
	if (r < 0)
		return command_fail(
			r == -EINVAL && !options->rest_count ? EXIT_CODE_USAGE : failure, &error);
	r = recording_init(&recording, &error);
	recording.result = result;
	recording.session.pid = options->pid;
	recording.session.frequency_hz = options->frequency_hz;
	recording.session.duration_ns = options->duration_ns;
	recording.session.precision_ppm = options->precision_ppm;
	recording.session.event = command_event(options);
	recording.heap = option_given(options, OPTION_HEAP) && options->pid;
	recording.session.progress_ms = recording.progress.terminal ? PROGRESS_INTERVAL_MS : 0;
	if (!r)
		r = run(&recording, options, &error);
	progress_clear(&recording.progress);
	code = r < 0 ? command_fail(failure, &error) : EXIT_CODE_OK;
	if (r == -ENOEXEC && options->rest_count)
		code = recording.child.exit_code;
	else if (r == -EPIPE)
		code = EXIT_CODE_OK;
	/* With --duration the command may still run, and its code is ours. */
	if (!r && options->rest_count) {
		if (recording_wait_child(&recording, &wait_error) < 0)
			code = command_fail(failure, &wait_error);
		else
			code = recording.child.exit_code;
	}
	recording_deinit(&recording);
	return code;
}
