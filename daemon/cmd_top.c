/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl top: what runs now, live on a terminal, or as a table or NDJSON.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <poll.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/command.h"
#include "daemon/output.h"
#include "daemon/terminal.h"
#include "daemon/top_view.h"

#define INTERVAL_NS NSEC_PER_SEC
#define INTERVAL_MIN_NS (100 * NSEC_PER_MSEC)
#define INTERVAL_MAX_NS (3600 * NSEC_PER_SEC)
#define LINES_DEFAULT 20u

struct top {
	const struct options *options;
	struct top_feed feed;
	struct top_model model;
	struct top_print print;
	char host[256];
	uint64_t interval_ns, rounds;
	bool json;
};

/* -EINTR: told to end. */
static int pause_for(uint64_t ns, int signals)
{
	struct pollfd fd = {.fd = signals, .events = POLLIN};
	int r = poll(&fd, 1, (int)(ns / NSEC_PER_MSEC));

	return r > 0 ? -EINTR : 0;
}

static int print(const struct top *top, struct error *error)
{
	_cleanup_(strbuf_deinit) struct strbuf out = {0};
	int r = top->json ? top_print_json(&top->model, &top->print, &out)
			  : top_print_table(&top->model, &top->print, &out);

	if (r)
		return error_set(error, r, "no memory for the rows");
	return output_write("-", out.data, out.length, error);
}

/* The first answer is of the time since the sessions were opened: next to nothing. */
static int print_rounds(struct top *top, int signals, struct error *error)
{
	int r = 0;

	for (uint64_t round = 0; !r && (!top->rounds || round < top->rounds); round++) {
		r = pause_for(top->interval_ns, signals);
		if (!r)
			r = top_feed_next(&top->feed, &top->model, signals, error);
		if (!r)
			r = print(top, error);
	}
	return r == -EINTR || r == -EPIPE ? 0 : r;
}

static int run_printing(struct top *top, struct error *error)
{
	_cleanup_close_ int signals = -1;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0)
		return error_set(error, -errno, "signalfd: %s", strerror(errno));
	return print_rounds(top, signals, error);
}

/* In the child that has the terminal. */
static int run_screen(void *context)
{
	struct top *top = context;
	struct top_state state;
	struct top_view view = {.model = &top->model,
				.feed = &top->feed,
				.state = &state,
				.options = top->options,
				.print = &top->print,
				.interval_ns = top->interval_ns,
				.rounds = top->rounds};
	struct error error = {0};
	int r;

	top_state_init(&state, top->print.sort, top->print.filter);
	state.reversed[TOP_PROCESSES] = false;
	r = top_view_run(&view, &error);
	top_state_deinit(&state);
	top_feed_close(&top->feed);
	top_model_deinit(&top->model);
	if (r == -ENOTTY)
		return command_fail(EXIT_CODE_USAGE, &error);
	if (r < 0)
		return command_fail(EXIT_CODE_FAILURE, &error);
	return r && r != SIGINT ? 128 + r : EXIT_CODE_OK;
}

static int read_options(const struct options *options, struct top *top)
{
	bool once = option_given(options, OPTION_ONCE);

	top->json = option_given(options, OPTION_JSON);
	top->interval_ns =
		option_given(options, OPTION_INTERVAL) ? options->interval_ns : INTERVAL_NS;
	top->rounds = option_given(options, OPTION_ROUNDS) ? options->rounds : 0;
	top->print = (struct top_print){.host = top->host,
					.filter = options->filter,
					.lines = options->top ? options->top
						 : top->json  ? 0
							      : LINES_DEFAULT};
	if (top->interval_ns < INTERVAL_MIN_NS || top->interval_ns > INTERVAL_MAX_NS)
		return command_usage("--interval: a time from 100ms to 1h");
	if (options->sort && top_sort_parse(options->sort, &top->print.sort))
		return command_usage("--sort %s: expected cpu, memory, faults, pid, name, self or "
				     "total",
				     options->sort);
	if (once && top->rounds > 1)
		return command_usage("--once and --count exclude each other");
	if (once)
		top->rounds = 1;
	if (!once && !top->json && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)))
		return command_usage("top needs a terminal: use --once for one table, --json for "
				     "programs");
	return EXIT_CODE_OK;
}

int cmd_top(const struct options *options)
{
	struct top top = {.options = options};
	struct error error = {0};
	int r = read_options(options, &top);

	if (r)
		return r;
	gethostname(top.host, sizeof(top.host) - 1);
	r = top_feed_open(&top.feed, options, &error);
	if (r == -ENOENT || r == -ECONNREFUSED) {
		fprintf(stderr,
			"perfctl: perfd is not running (%s): start it as root (perfd, or "
			"systemctl start perfd)\n",
			error.text);
		return EXIT_CODE_NOT_RUNNING;
	}
	if (r)
		return command_fail(EXIT_CODE_FAILURE, &error);
	top.print.cpus = top.feed.cpus;
	top.print.frequency_hz = top.feed.frequency_hz;
	if (option_given(options, OPTION_ONCE) || top.json) {
		r = run_printing(&top, &error);
		r = r ? command_fail(EXIT_CODE_FAILURE, &error) : EXIT_CODE_OK;
	} else {
		r = terminal_run(run_screen, &top);
		if (r < 0) {
			error_set(&error, r, "cannot start a process: %s", strerror(-r));
			r = command_fail(EXIT_CODE_FAILURE, &error);
		}
	}
	top_feed_close(&top.feed);
	top_model_deinit(&top.model);
	return r;
}
