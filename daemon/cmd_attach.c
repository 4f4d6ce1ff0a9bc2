/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl attach: looks closely at one process through the running perfd;
 * perfctl detach: ends a session that was left in the background.
 */
#include <errno.h>
#include <stdio.h>

#include "daemon/command.h"
#include "daemon/recording.h"

/* Without a perfd there is nothing to attach to: what to do about it. */
static int connect_running(struct recording *recording, const struct options *options,
			   struct error *error)
{
	char text[sizeof(error->text)];
	int r = recording_connect(recording, options, false, error);

	if (r != -ENOENT && r != -ECONNREFUSED)
		return r;
	snprintf(text, sizeof(text), "%.300s", error->text);
	return error_set(error, r,
			 "%s: start it as root (perfd, or systemctl start perfd), or use `perfctl "
			 "record -p PID`, which needs none",
			 text);
}

static int run_attach(struct recording *recording, const struct options *options,
		      struct error *error)
{
	int r = connect_running(recording, options, error);

	if (!r)
		r = recording_open(recording, error);
	if (r < 0)
		return r;
	if (recording->session.background) {
		printf("%u\n", recording->id);
		fprintf(stderr,
			"perfctl: session %u is on; end it with `perfctl detach --session %u`\n",
			recording->id, recording->id);
		return 0;
	}
	r = recording_follow(recording, error);
	return r < 0 ? r : recording_finish(recording, 0, error);
}

static int end(struct recording *recording, int r, const struct error *error)
{
	progress_clear(&recording->progress);
	recording_deinit(recording);
	if (r == -EPIPE)
		return EXIT_CODE_OK;
	return r < 0 ? command_fail(EXIT_CODE_FAILURE, error) : EXIT_CODE_OK;
}

static void default_subject(const struct options *options, char *subject, size_t size)
{
	if (options->pid)
		command_name_process(options->pid, subject, size);
	else
		snprintf(subject, size, "session-%u", options->session);
}

int cmd_attach(const struct options *options)
{
	bool background = option_given(options, OPTION_BACKGROUND);
	struct recording recording;
	struct error error = {0};
	struct result result = {0};
	char subject[64];
	int r = 0;

	if (!options->pid)
		return command_usage("attach needs --pid PID");
	if (background && (options->output || options->format))
		return command_usage(
			"-o and -f belong to `perfctl detach`, which writes the result of "
			"a background session");
	default_subject(options, subject, sizeof(subject));
	if (!background)
		r = result_init(options, subject, "folded", &error, &result);
	if (r < 0)
		return command_fail(r == -EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILURE, &error);
	r = recording_init(&recording, &error);
	recording.result = result;
	recording.session.pid = options->pid;
	recording.session.background = background;
	recording.session.frequency_hz = options->frequency_hz;
	recording.session.duration_ns = options->duration_ns;
	recording.session.precision_ppm = options->precision_ppm;
	recording.session.event = command_event(options);
	recording.heap = option_given(options, OPTION_HEAP);
	recording.session.progress_ms =
		recording.progress.terminal && !background ? PROGRESS_INTERVAL_MS : 0;
	if (!r)
		r = run_attach(&recording, options, &error);
	return end(&recording, r, &error);
}

int cmd_detach(const struct options *options)
{
	struct recording recording;
	struct error error = {0};
	struct result result;
	char subject[64];
	int r;

	if (!options->pid == !options->session)
		return command_usage("detach needs one of --session ID and --pid PID");
	default_subject(options, subject, sizeof(subject));
	r = result_init(options, subject, "folded", &error, &result);
	if (r < 0)
		return command_fail(r == -EINVAL ? EXIT_CODE_USAGE : EXIT_CODE_FAILURE, &error);
	r = recording_init(&recording, &error);
	recording.result = result;
	recording.session.pid = options->pid;
	recording.id = options->session;
	if (!r)
		r = connect_running(&recording, options, &error);
	if (!r)
		r = recording_finish(&recording, options->pid, &error);
	return end(&recording, r, &error);
}
