/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A command of perfctl: a row in perfctl.c, a function in cmd_<name>.c.
 */
#pragma once

#include <stdint.h>

#include "daemon/client.h"
#include "daemon/config.h"
#include "daemon/options.h"

enum exit_code {
	EXIT_CODE_OK = 0,
	EXIT_CODE_FAILURE = 1,
	EXIT_CODE_USAGE = 2,
	EXIT_CODE_NOT_RUNNING = 3, /* status */
	EXIT_CODE_OWN_FAILURE = 125, /* record -- CMD: of perfctl itself */
	EXIT_CODE_CANNOT_RUN = 126,
	EXIT_CODE_NOT_FOUND = 127,
};

/* Gives the exit code, and has said on stderr why it is not 0. */
typedef int command_fn(const struct options *options);

struct command {
	const char *name;
	const char *args;
	const char *help; /* one line */
	uint64_t options; /* OPTION_BIT()s */
	command_fn *run;
	const char *more; /* further lines of --help, or NULL */
	int operands; /* arguments that are no options, at most; record's are a command */
};

command_fn cmd_record, cmd_attach, cmd_detach, cmd_sessions, cmd_status, cmd_report, cmd_version;
command_fn cmd_convert, cmd_diff, cmd_flamegraph, cmd_symbolize, cmd_timeline;
command_fn cmd_services, cmd_windows, cmd_doctor, cmd_config, cmd_reload, cmd_top, cmd_rates;
command_fn cmd_heap;

/* --- shared by the commands (command.c) --- */

/* The event to sample: --heap without one is for allocations. */
const char *command_event(const struct options *options);
/* "perfctl: " and the error on stderr; gives `code`. */
int command_fail(int code, const struct error *error);
/* An error in how the command was called. */
int command_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The settings perfd would have: --config or the default file, and --socket. */
int command_config(const struct options *options, struct config *config, struct error *error);
/* Connects to the running perfd and greets it. -ENOENT or -ECONNREFUSED: there
 * is none. */
int command_connect(const struct options *options, struct error *error, struct client *ret);
/* "redis-server-1234", for a file's name; "1234" if the process is gone. */
void command_name_process(pid_t pid, char *name, size_t size);
