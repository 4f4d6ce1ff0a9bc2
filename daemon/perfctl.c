/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl: its commands, one row each.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/base/log.h"
#include "daemon/command.h"
#include "daemon/result.h"
#include "symbolizer/client.h"
#include "symbolizer/fetcher.h"

#define WHERE (OPTION_BIT(SOCKET) | OPTION_BIT(CONFIG))
#define RESULT (OPTION_BIT(FORMAT) | OPTION_BIT(OUTPUT) | OPTION_BIT(PALETTE))
#define READING                                                                                    \
	(OPTION_BIT(FROM) | OPTION_BIT(ANNOTATE) | OPTION_BIT(STEP) | OPTION_BIT(EVENT) |          \
	 OPTIONS_MIXED)
/* What is not a file but in the running perfd. */
#define RANGE (OPTION_BIT(LAST) | OPTION_BIT(SINCE) | OPTION_BIT(UNTIL))
#define FILTER                                                                                     \
	(OPTION_BIT(PID) | OPTION_BIT(COMM) | OPTION_BIT(CGROUP) | OPTION_BIT(UNIT) |              \
	 OPTION_BIT(CONTAINER) | OPTION_BIT(HOST))
#define RUNNING (OPTION_BIT(SESSION) | RANGE | FILTER | WHERE)
#define SAMPLING                                                                                   \
	(OPTION_BIT(FREQUENCY) | OPTION_BIT(DURATION) | OPTION_BIT(PRECISION) | OPTION_BIT(EVENT))

#define ABOUT_FILE                                                                                 \
	"FILE is a profile in any format that can be read; -\n"                                    \
	"is standard input, @SINCE..UNTIL (@-10m..-5m, @03:10..03:20, @-1h) a time that the\n"     \
	"running perfd remembers, session:ID a session. "

static const char record_more[] =
	"\nUses the running perfd, or starts one of its own and ends it after (as root).\n"
	"Ctrl-C ends the recording and writes; a second one aborts. A command is profiled\n"
	"from its first instruction, with its children, until it ends; its exit code is\n"
	"returned, or 125 where perfctl failed, 126 if it could not be run, 127 if it was\n"
	"not found. Without -o the file is perfd-NAME.svg in this directory; -o - without\n"
	"-f is folded.\n";
static const char attach_more[] =
	"\nNeeds a running perfd. Ends on Ctrl-C, after --duration, or when the process\n"
	"exits, and then writes; a second Ctrl-C aborts. Without -o the file is\n"
	"perfd-NAME-PID.svg in this directory; -o - without -f is folded.\n";
static const char detach_more[] =
	"\nThe result of a background session that has ended by itself is kept for an hour.\n"
	"Without -o the file is perfd-NAME-PID.svg or perfd-session-ID.svg in this directory.\n";
static const char status_more[] = "\nExit code 3: perfd is not running.\n";
static const char rates_more[] =
	"\nRates follow the budget (budget.machine of the config): this says how, and why. With\n"
	"--session it sets one by hand (-F) until the session ends, or leaves it to perfd again\n"
	"(--auto); 0 is the system-wide view, for root and its group. Weights follow at once.\n";
static const char report_more[] =
	"\nWithout FILE it needs a running perfd, and root or its group (--session: one's own\n"
	"session, which goes on). " ABOUT_FILE "Without -o it goes to standard output,\n"
	"without -f as \"report\", a table of functions; -f tree is the call tree, -f chart a\n"
	"flame graph in characters.\n";

static const char convert_more[] =
	"\nIN is a file in any format that can be read, also with gzip around it; - or none is\n"
	"standard input. What it is, is recognised. @SINCE..UNTIL is a time that the running "
	"perfd\n"
	"remembers, session:ID a session; so do the options. Without -o the result goes to\n"
	"standard output, without -f as \"folded\".\n";
static const char flamegraph_more[] =
	"\nAs convert, but to a picture: without -f and a telling name, svg. Without -o it is\n"
	"perfd-NAME.svg in this directory, or standard output if IN is standard input.\n";

static const char diff_more[] =
	"\nEach is a file in any format that can be read (one of two columns, folded, is enough),\n"
	"- for standard input, @SINCE..UNTIL for a time that the running perfd remembers\n"
	"(perfctl diff @-10m..-5m @-5m), or session:ID. Without -o the result goes to standard\n"
	"output. Formats: table, json, folded (two columns), svg.\n"
	"\"noise\", \"likely\", \"sure\": whether so large a difference is chance, by the number "
	"of\n"
	"samples on either side.\n";
static const char timeline_more[] =
	"\nWithout FILE it is of what the running perfd keeps. " ABOUT_FILE "It must know\n"
	"of time: perf script's text and what perfd has do. --value also names series that lie\n"
	"beside the samples. Without -o the result goes to standard output. Formats: table, json,\n"
	"svg, html. --top: series of their own, 9 at most (default: 8).\n";
static const char heap_more[] =
	"\nWithout SUBJECT it is the one session of allocations there is, or --pid's. SUBJECT is "
	"a\n"
	"file that `record --heap` or `attach --heap` wrote (.perfd has all; pprof's what is in\n"
	"use and was allocated), - for standard input, session:ID, @SINCE..UNTIL. Without -o it\n"
	"is a table on standard output: totals, the pattern, advice, and one view by function.\n"
	"--json: schema perfd.heap/1. Any other format (-f svg, -o x.html, x.pb.gz) is of the\n"
	"view. Views: what is in use, all that was allocated, what was in use when most was, what\n"
	"a process left at its end, what lived less than a millisecond. A function is said to\n"
	"leak only with the evidence; `man perfctl-heap` and docs/memory.md have the rules.\n";
static const char symbolize_more[] =
	"\nAddresses are hexadecimal, with 0x or without; none at all: one a line from standard\n"
	"input. Needs no perfd: the same worker that perfd uses, without privileges, reads the\n"
	"files. The innermost function comes first. With --pid: addresses of the process, now.\n";

static const char windows_more[] =
	"\nNeeds a running perfd with a history (history.dir), and root or its group. Windows are\n"
	"stretches of time: a second as they are taken, wider the older they are.\n";
static const char services_more[] =
	"\nNeeds a running perfd with a history (history.dir), and root or its group. The largest\n"
	"first: of CPU the time, of other events what they count.\n";

static const char doctor_more[] =
	"\nEach need is ok, degraded (perfd runs, with less), missing, or unknown where whoever\n"
	"asks may not look (as root nearly all can be seen), with the reason and the command that\n"
	"mends it. Exit code 1: something is missing. --json: schema perfd.doctor/1.\n";

static const char config_more[] = "\nshow: every key, what it is set to, by whom, and its default, "
				  "of the running perfd (root\n"
				  "and its group may ask), or what one would start with. explain: "
				  "what a key (cpu.frequency_hz,\n"
				  "or frequency_hz where one section has it) means, what it may "
				  "be, and since when it is so.\n"
				  "--json: schema perfd.config/1.\n";
static const char reload_more[] =
	"\nOf root only; SIGHUP does the same. All is checked first: where something is wrong, "
	"the\n"
	"error says in which line of which file, the settings stay as they were, and the exit "
	"code\n"
	"is 1. Says which changes hold now and which after a restart. --json: schema "
	"perfd.reload/1.\n";

static const char top_more[] =
	"\nNeeds a running perfd (exit code 3: there is none). Shows every process to root and "
	"its\n"
	"group, to others their own: CPU and page faults by samples of two sessions that end with\n"
	"it, memory by /proc. Enter goes from a process to its functions and on to callers; h "
	"lists\n"
	"the keys. NO_COLOR is heeded. --json: an object a line and look (schema perfd.top/1),\n"
	"until -n or Ctrl-C.\n";

static const struct command commands[] = {
	{"record", "(-p PID | -a | -- CMD ARGS...) [options]", "profile, and write the result",
	 OPTION_BIT(PID) | OPTION_BIT(ALL) | OPTION_BIT(HEAP) | SAMPLING | RESULT | WHERE,
	 cmd_record, record_more, INT_MAX},
	{"attach", "--pid PID [options]", "look closely at a process through the running perfd",
	 OPTION_BIT(PID) | OPTION_BIT(HEAP) | SAMPLING | RESULT | OPTION_BIT(BACKGROUND) | WHERE,
	 cmd_attach, attach_more, 0},
	{"detach", "(--session ID | --pid PID) [options]",
	 "end a background session, and write its result",
	 OPTION_BIT(SESSION) | OPTION_BIT(PID) | RESULT | WHERE, cmd_detach, detach_more, 0},
	{"sessions", "[options]", "list the sessions", OPTION_BIT(JSON) | WHERE, cmd_sessions, NULL,
	 0},
	{"status", "[options]", "how perfd is: rates, samples, losses, its own cost",
	 OPTION_BIT(JSON) | WHERE, cmd_status, status_more, 0},
	{"top", "[options]", "what runs now, live: processes, functions, callers",
	 OPTION_BIT(INTERVAL) | OPTION_BIT(ROUNDS) | OPTION_BIT(ONCE) | OPTION_BIT(SORT) |
		 OPTION_BIT(FILTER) | OPTION_BIT(TOP) | OPTION_BIT(FREQUENCY) | OPTION_BIT(JSON) |
		 WHERE,
	 cmd_top, top_more, 0},
	{"rates", "[--session ID (-F HZ | --auto)] [options]",
	 "how often what is sampled, what it costs, and why so",
	 OPTION_BIT(SESSION) | OPTION_BIT(FREQUENCY) | OPTION_BIT(AUTO) | OPTION_BIT(JSON) | WHERE,
	 cmd_rates, rates_more, 0},
	{"report", "[FILE] [options]", "what the machine did lately, or what is in a file",
	 RUNNING | OPTION_BIT(TOP) | OPTION_BIT(JSON) | OPTION_BIT(VALUE) | OPTION_BIT(CI) |
		 RESULT | READING,
	 cmd_report, report_more, 1},
	{"convert", "[IN] [-f FORMAT] [-o OUT] [options]", "a profile of any format in another one",
	 RESULT | READING | RUNNING | OPTION_BIT(VALUE) | OPTION_BIT(TOP), cmd_convert,
	 convert_more, 1},
	{"flamegraph", "[IN] [-o OUT] [options]", "the flame graph of a profile of any format",
	 RESULT | READING | RUNNING | OPTION_BIT(VALUE), cmd_flamegraph, flamegraph_more, 1},
	{"diff", "BEFORE AFTER [-o OUT] [options]", "what changed between two profiles",
	 (RESULT & ~OPTION_BIT(PALETTE)) | READING | FILTER | WHERE | OPTION_BIT(BY) |
		 OPTION_BIT(WIDTHS) | OPTION_BIT(VALUE) | OPTION_BIT(TOP) | OPTION_BIT(JSON),
	 cmd_diff, diff_more, 2},
	{"symbolize", "(FILE | --pid PID) [ADDR...] [options]",
	 "functions, inlined functions and lines of addresses",
	 OPTION_BIT(PID) | OPTION_BIT(OFFSETS) | OPTION_BIT(NO_INLINES) | OPTION_BIT(NO_DEMANGLE) |
		 OPTION_BIT(SHORT) | OPTION_BIT(DEBUGINFOD) | OPTION_BIT(JSON) |
		 OPTION_BIT(CONFIG) | OPTIONS_MIXED,
	 cmd_symbolize, symbolize_more, INT_MAX},
	{"timeline", "[FILE] [-o OUT] [options]", "what ran when, by process, thread or module",
	 (RESULT & ~OPTION_BIT(PALETTE)) | READING | RUNNING | OPTION_BIT(BY) | OPTION_BIT(VALUE) |
		 OPTION_BIT(TOP) | OPTION_BIT(JSON),
	 cmd_timeline, timeline_more, 1},
	{"heap", "[SUBJECT] [--view VIEW] [options]", "who allocates, who holds memory, who leaks",
	 RESULT | READING | RUNNING | OPTION_BIT(VIEW) | OPTION_BIT(DIFF) | OPTION_BIT(BY) |
		 OPTION_BIT(TOP) | OPTION_BIT(JSON),
	 cmd_heap, heap_more, 2},
	{"services", "[options]", "who used what, of the time that perfd remembers",
	 RANGE | FILTER | OPTION_BIT(EVENT) | OPTION_BIT(TOP) | OPTION_BIT(JSON) | WHERE,
	 cmd_services, services_more, 0},
	{"windows", "[options]", "what perfd remembers, by time",
	 RANGE | OPTION_BIT(EVENT) | OPTION_BIT(TOP) | OPTION_BIT(JSON) | WHERE, cmd_windows,
	 windows_more, 0},
	{"doctor", "[options]", "what perfd needs of this machine, and how to mend what lacks",
	 OPTION_BIT(JSON) | WHERE, cmd_doctor, doctor_more, 0},
	{"config", "(show | explain KEY) [options]", "the settings in force, and what one means",
	 OPTION_BIT(JSON) | WHERE | OPTIONS_MIXED, cmd_config, config_more, 2},
	{"reload", "[options]", "have perfd read its settings again", OPTION_BIT(JSON) | WHERE,
	 cmd_reload, reload_more, 0},
	{"version", "", "print the version", 0, cmd_version, NULL, 0},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

int cmd_version(const struct options *options)
{
	(void)options;
	puts("perfctl " PERFD_VERSION);
	return EXIT_CODE_OK;
}

static int help(void)
{
	puts("usage: perfctl COMMAND [options]\n"
	     "Asks perfd, the profiler of this machine.\n\nCommands:");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	puts("  help       print this, or the help of a command\n\n"
	     "Results go to standard output or files, everything else to standard error.\n"
	     "Exit codes: 0, 1 failure, 2 usage; see also `perfctl help record` and `status`.");
	return EXIT_CODE_OK;
}

static int help_command(const struct command *command)
{
	printf("usage: perfctl %s%s%s\n%s.\n\nOptions:\n", command->name, *command->args ? " " : "",
	       command->args, command->help);
	options_help(command->options);
	if (command->more)
		fputs(command->more, stdout);
	if (command->options & OPTION_BIT(FORMAT) && command->run != cmd_diff &&
	    command->run != cmd_timeline)
		result_help();
	return EXIT_CODE_OK;
}

static const struct command *find(const char *name)
{
	const char *names[COMMAND_COUNT], *near;

	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
		names[i] = commands[i].name;
	}
	near = nearest_name(name, names, COMMAND_COUNT);
	fprintf(stderr, "perfctl: unknown command \"%s\"", name);
	if (near)
		fprintf(stderr, "; did you mean \"%s\"?", near);
	fputs("\nperfctl: see perfctl help\n", stderr);
	return NULL;
}

/* An error before a command that would be recorded is perfctl's own failure,
 * and must not look like the command's code. */
static int usage_code(const struct command *command, int argc, char **argv)
{
	for (int i = 0; i < argc && command->run == cmd_record; i++) {
		if (!strcmp(argv[i], "--"))
			return EXIT_CODE_OWN_FAILURE;
	}
	return EXIT_CODE_USAGE;
}

int main(int argc, char **argv)
{
	const struct command *command;
	struct options options;
	struct error error;

	log_init("perfctl", LOG_LEVEL_WARNING);
	signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an error code, not our end */
	if (argc < 2) {
		fputs("perfctl: no command; see perfctl help\n", stderr);
		return EXIT_CODE_USAGE;
	}
	if (!strcmp(argv[1], "--version"))
		return cmd_version(NULL);
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		if (argc == 2)
			return help();
		command = find(argv[2]);
		return command ? help_command(command) : EXIT_CODE_USAGE;
	}
	/* The worker of symbolize, which is this program again. */
	if (!strcmp(argv[1], "--worker"))
		return symbolizer_worker_main(SYMBOLIZER_WORKER_FD, 0);
	if (!strcmp(argv[1], "--fetcher"))
		return fetcher_main(FETCHER_FD);
	command = find(argv[1]);
	if (!command)
		return EXIT_CODE_USAGE;
	if (options_parse(argc - 1, argv + 1, command->options, &options, &error) < 0) {
		fprintf(stderr, "perfctl: %s: %s; see perfctl %s --help\n", command->name,
			error.text, command->name);
		return usage_code(command, argc, argv);
	}
	if (option_given(&options, OPTION_HELP))
		return help_command(command);
	if (options.rest_count > command->operands)
		return command_usage("%s takes no argument \"%s\"", command->name,
				     options.rest[command->operands]);
	return command->run(&options);
}
