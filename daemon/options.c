/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"

enum value_kind {
	VALUE_NONE,
	VALUE_U32,
	VALUE_ID,
	VALUE_PID,
	VALUE_PERCENT,
	VALUE_DURATION,
	VALUE_TEXT
};

static const struct option_row {
	char letter; /* 0: none */
	const char *name;
	enum value_kind kind;
	const char *value; /* shown in the help */
	size_t offset; /* in struct options */
	const char *expected; /* in the error for a bad value */
	const char *help;
} rows[] = {
	[OPTION_PID] = {'p', "pid", VALUE_PID, "PID", offsetof(struct options, pid),
			"the number of a process",
			"the process; one to profile: with the children it has and gets"},
	[OPTION_ALL] = {'a', "all", VALUE_NONE, NULL, 0, NULL,
			"all processes (without privileges: your own)"},
	[OPTION_FREQUENCY] = {'F', "frequency", VALUE_U32, "HZ",
			      offsetof(struct options, frequency_hz),
			      "a number of samples a second, from 1 on",
			      "samples a second and CPU (default: cpu.session_frequency_hz of the "
			      "config)"},
	[OPTION_DURATION] = {'d', "duration", VALUE_DURATION, "TIME",
			     offsetof(struct options, duration_ns), "a time: 500ms, 10s, 2m, 1h",
			     "stop after this time: 500ms, 10s, 2m, 1h (default: until Ctrl-C, or "
			     "the process ends)"},
	[OPTION_PRECISION] = {0, "precision", VALUE_PERCENT, "PERCENT",
			      offsetof(struct options, precision_ppm), "a percentage: 1, 0.5%",
			      "stop when every share is known to so much, to either side, at 95 %: "
			      "1 takes 9,604 samples"},
	[OPTION_EVENT] = {'e', "event", VALUE_TEXT, "EVENT", offsetof(struct options, event), NULL,
			  "cpu-clock, cycles, faults, heap, mmap or munmap (default: cpu.event of "
			  "the config); of a file: the one to read"},
	[OPTION_HEAP] =
		{0, "heap", VALUE_NONE, NULL, 0, NULL,
		 "allocations, by libperfd-heap.so in the process: preloaded into a command, "
		 "put into one that runs"},
	[OPTION_FORMAT] = {'f', "format", VALUE_TEXT, "FORMAT", offsetof(struct options, format),
			   NULL, "output format (default: by the extension of -o); see below"},
	[OPTION_OUTPUT] = {'o', "output", VALUE_TEXT, "FILE", offsetof(struct options, output),
			   NULL, "where to write; - is standard output (default: see below)"},
	[OPTION_BACKGROUND] = {0, "background", VALUE_NONE, NULL, 0, NULL,
			       "leave the session on, print its id and return; `perfctl detach` "
			       "ends it"},
	[OPTION_SESSION] = {0, "session", VALUE_ID, "ID", offsetof(struct options, session),
			    "the id of a session, see `perfctl sessions`",
			    "the session, as `perfctl sessions` shows it"},
	[OPTION_LAST] = {0, "last", VALUE_DURATION, "TIME", offsetof(struct options, last_ns),
			 "a time: 500ms, 10s, 2m, 1h",
			 "only the last 30s, 5m, … (default: all that perfd keeps)"},
	[OPTION_SINCE] = {0, "since", VALUE_TEXT, "WHEN", offsetof(struct options, since), NULL,
			  "from then on: -15m, 03:10, yesterday, 2026-11-27T03:10:00Z"},
	[OPTION_UNTIL] = {0, "until", VALUE_TEXT, "WHEN", offsetof(struct options, until), NULL,
			  "up to then, likewise (default: now)"},
	[OPTION_COMM] = {0, "comm", VALUE_TEXT, "NAME", offsetof(struct options, comm), NULL,
			 "only processes of that name; *, ? and [...] are wildcards"},
	[OPTION_CGROUP] = {0, "cgroup", VALUE_TEXT, "PATH", offsetof(struct options, cgroup), NULL,
			   "only those of that cgroup, likewise"},
	[OPTION_UNIT] = {0, "unit", VALUE_TEXT, "NAME", offsetof(struct options, unit), NULL,
			 "only those of that systemd unit, likewise"},
	[OPTION_CONTAINER] = {0, "container", VALUE_TEXT, "ID", offsetof(struct options, container),
			      NULL,
			      "only those of that container (the first 12 digits, or a "
			      "name), likewise"},
	[OPTION_HOST] = {0, "host", VALUE_TEXT, "NAME", offsetof(struct options, host), NULL,
			 "only what was sampled on that machine, likewise"},
	[OPTION_TOP] =
		{0, "top", VALUE_U32, "N", offsetof(struct options, top),
		 "a number of lines, from 1 on",
		 "lines of the table (default: 40 on standard output, all with -f, -o or --json)"},
	[OPTION_PALETTE] = {0, "palette", VALUE_TEXT, "NAME", offsetof(struct options, palette),
			    NULL, "colours of a picture (default: kind); see below"},
	[OPTION_VALUE] = {0, "value", VALUE_TEXT, "NAME", offsetof(struct options, value), NULL,
			  "which of the profile's values (default: the one it was taken for)"},
	[OPTION_FROM] = {0, "from", VALUE_TEXT, "FORMAT", offsetof(struct options, from), NULL,
			 "the input's format (default: recognised by its content)"},
	[OPTION_BY] =
		{0, "by", VALUE_TEXT, "SCALE", offsetof(struct options, by), NULL,
		 "compare by second, share of the whole, or value as it is (default: second "
		 "where both durations are known, else share); of a time line: process, "
		 "thread, module or kind (default: process); of allocations: function or site "
		 "(default: function)"},
	[OPTION_WIDTHS] = {0, "widths", VALUE_TEXT, "OF", offsetof(struct options, widths), NULL,
			   "of the picture's boxes: sum, after or before (default: sum)"},
	[OPTION_VIEW] = {0, "view", VALUE_TEXT, "VIEW", offsetof(struct options, view), NULL,
			 "inuse, alloc, peak, leaked or temporary (default: inuse, alloc where "
			 "frees were not followed)"},
	[OPTION_DIFF] = {0, "diff", VALUE_TEXT, "T1 T2", offsetof(struct options, diff), NULL,
			 "what came and went between two moments of the session: 10s, 1.5m, -5s "
			 "(before the end), start, end, peak"},
	[OPTION_STEP] =
		{0, "step", VALUE_DURATION, "TIME", offsetof(struct options, step_ns),
		 "a time: 20ms, 1s",
		 "width of the steps that the input's times are summed in (default: 1s, for "
		 "html 20ms)"},
	[OPTION_ANNOTATE] =
		{0, "annotate", VALUE_TEXT, "LIST", offsetof(struct options, annotate), NULL,
		 "of perf's text: pid, tid, kernel, jit, inline, address, with commas; all or none "
		 "(default: kernel,jit,inline)"},
	[OPTION_OFFSETS] = {0, "offsets", VALUE_NONE, NULL, 0, NULL,
			    "addresses are bytes from the file's beginning, as mappings have them "
			    "(default: ELF addresses, as symbol tables have them)"},
	[OPTION_NO_INLINES] = {0, "no-inlines", VALUE_NONE, NULL, 0, NULL,
			       "only the function that others were inlined into"},
	[OPTION_NO_DEMANGLE] = {0, "no-demangle", VALUE_NONE, NULL, 0, NULL,
				"names of C++ and Rust as the linker has them"},
	[OPTION_SHORT] = {0, "short", VALUE_NONE, NULL, 0, NULL,
			  "names as in pictures: without parameters and template arguments"},
	[OPTION_DEBUGINFOD] = {0, "debuginfod", VALUE_NONE, NULL, 0, NULL,
			       "fetch debug files that are not installed, from the servers in "
			       "DEBUGINFOD_URLS or the config"},
	[OPTION_INTERVAL] = {'d', "interval", VALUE_DURATION, "TIME",
			     offsetof(struct options, interval_ns), "a time: 500ms, 2s, 1m",
			     "between two looks (default: 1s)"},
	[OPTION_ROUNDS] = {'n', "count", VALUE_U32, "N", offsetof(struct options, rounds),
			   "a number of looks, from 1 on", "end after N looks (default: never)"},
	[OPTION_ONCE] = {0, "once", VALUE_NONE, NULL, 0, NULL,
			 "one table on standard output, no screen"},
	[OPTION_SORT] = {0, "sort", VALUE_TEXT, "ORDER", offsetof(struct options, sort), NULL,
			 "of processes by cpu, memory, faults, pid or name (default: cpu), of "
			 "functions by self, total or name (default: self)"},
	[OPTION_FILTER] = {0, "filter", VALUE_TEXT, "REGEX", offsetof(struct options, filter), NULL,
			   "only rows that match: an extended regular expression, or a text that "
			   "is none"},
	[OPTION_CI] = {0, "ci", VALUE_NONE, NULL, 0, NULL,
		       "between what each share is, at 95 %: sampling is a matter of chance"},
	[OPTION_AUTO] = {0, "auto", VALUE_NONE, NULL, 0, NULL,
			 "the rate is perfd's to choose again"},
	[OPTION_JSON] = {0, "json", VALUE_NONE, NULL, 0, NULL, "JSON, for programs"},
	[OPTION_SOCKET] = {'s', "socket", VALUE_TEXT, "PATH", offsetof(struct options, socket),
			   NULL, "perfd's control socket (default: daemon.socket of the config)"},
	[OPTION_CONFIG] = {'c', "config", VALUE_TEXT, "FILE", offsetof(struct options, config),
			   NULL, "perfd's config file (default: /etc/perfd/perfd.conf)"},
	[OPTION_HELP] = {'h', "help", VALUE_NONE, NULL, 0, NULL, "print this"},
};
_Static_assert(sizeof(rows) / sizeof(rows[0]) == OPTION_COUNT, "an option has no row");

#define LONG_BASE 256 /* getopt's value of row i is LONG_BASE + i */
#define NAME_MAX_LENGTH 64

int parse_duration(const char *text, uint64_t *ret)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"", 1e9}, {"s", 1e9},  {"ms", 1e6},  {"us", 1e3},
		     {"ns", 1}, {"m", 60e9}, {"h", 3600e9}};
	char *end;
	double value;

	/* strtod() also takes "inf", "nan", hexadecimal and leading blanks. */
	if (!strchr("0123456789.", *text) || !*text || strpbrk(text, "xXeE"))
		return -EINVAL;
	value = strtod(text, &end);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcmp(end, units[i].unit) != 0)
			continue;
		value *= units[i].ns;
		if (!(value >= 1) || value > 1e18)
			return -EINVAL;
		*ret = (uint64_t)value;
		return 0;
	}
	return -EINVAL;
}

/* In parts of a million. */
static int parse_percent(const char *text, uint32_t *ret)
{
	char *end;
	double value;

	if (!*text || !strchr("0123456789.", *text) || strpbrk(text, "xXeE"))
		return -EINVAL;
	value = strtod(text, &end);
	if ((strcmp(end, "") && strcmp(end, "%")) || !(value >= 0.01) || value > 50)
		return -EINVAL;
	*ret = (uint32_t)(value * 1e4 + 0.5);
	return 0;
}

static int parse_u32(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || *end || value < 1 || value > UINT32_MAX)
		return -EINVAL;
	*ret = (uint32_t)value;
	return 0;
}

static int set_value(const struct option_row *row, char *text, struct options *options)
{
	void *field = (char *)options + row->offset;
	uint32_t number;
	int r;

	switch (row->kind) {
	case VALUE_NONE:
		return 0;
	case VALUE_U32:
		return parse_u32(text, field);
	case VALUE_ID: /* 0 is one, too */
		*(uint32_t *)field = 0;
		return strcmp(text, "0") ? parse_u32(text, field) : 0;
	case VALUE_PID:
		r = parse_u32(text, &number);
		if (r < 0 || number > INT_MAX)
			return -EINVAL;
		*(pid_t *)field = (pid_t)number;
		return 0;
	case VALUE_PERCENT:
		return parse_percent(text, field);
	case VALUE_DURATION:
		return parse_duration(text, field);
	case VALUE_TEXT:
		*(const char **)field = text;
		return 0;
	}
	return -EINVAL;
}

/* Levenshtein's distance, with a swap of neighbours as one step (Damerau, in
 * its restricted form); at most NAME_MAX_LENGTH characters are compared. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int d[3][NAME_MAX_LENGTH + 1];
	size_t m = strnlen(a, NAME_MAX_LENGTH), n = strnlen(b, NAME_MAX_LENGTH);

	for (unsigned int j = 0; j <= n; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= m; i++) {
		unsigned int *row = d[i % 3], *above = d[(i + 2) % 3], *second = d[(i + 1) % 3];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= n; j++) {
			unsigned int best = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    second[j - 2] + 1 < best)
				best = second[j - 2] + 1;
			row[j] = best;
		}
	}
	return d[m % 3][n];
}

const char *nearest_name(const char *name, const char *const *candidates, size_t count)
{
	const char *nearest = NULL;
	unsigned int best = 3;

	for (size_t i = 0; i < count; i++) {
		unsigned int d = distance(name, candidates[i]);

		/* Two steps turn any short word into any other. */
		if (d < best && d < strlen(candidates[i]) - 1) {
			best = d;
			nearest = candidates[i];
		}
	}
	return nearest;
}

/* Why getopt gave '?' or ':' for this argument. */
static int bad_option(int kind, int which, const char *argument, uint64_t allowed,
		      struct error *error)
{
	const char *names[OPTION_COUNT], *near = NULL;
	char word[NAME_MAX_LENGTH];
	size_t count = 0;

	if (kind == ':')
		return error_set(error, -EINVAL, "option %s needs a value", argument);
	if (which >= LONG_BASE)
		return error_set(error, -EINVAL, "option --%s takes no value",
				 rows[which - LONG_BASE].name);
	if (strncmp(argument, "--", 2) != 0)
		return error_set(error, -EINVAL, "unknown option -%c", which);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (allowed >> i & 1)
			names[count++] = rows[i].name;
	}
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(argument + 2, "="), argument + 2);
	near = nearest_name(word, names, count);
	return error_set(error, -EINVAL, "unknown option --%s%s%s%s", word,
			 near ? " (did you mean --" : "", near ? near : "", near ? "?)" : "");
}

/* The two tables of getopt_long(3), of the options that are allowed. */
static void getopt_tables(uint64_t allowed, struct option *longs, char *shorts)
{
	if (!(allowed & OPTIONS_MIXED))
		*shorts++ = '+'; /* stop at the first argument that is no option */
	*shorts++ = ':'; /* tell a missing value from an unknown option */
	for (int i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &rows[i];

		if (!(allowed >> i & 1))
			continue;
		*longs++ = (struct option){row->name, row->kind != VALUE_NONE, NULL, LONG_BASE + i};
		if (!row->letter)
			continue;
		*shorts++ = row->letter;
		if (row->kind != VALUE_NONE)
			*shorts++ = ':';
	}
	*longs = (struct option){0};
	*shorts = 0;
}

/* A letter may be one option's with one command, and another's with another. */
static int row_of(int value, uint64_t allowed)
{
	if (value >= LONG_BASE)
		return value - LONG_BASE;
	for (int i = 0; i < OPTION_COUNT; i++) {
		if (rows[i].letter == value && allowed >> i & 1)
			return i;
	}
	return OPTION_HELP; /* getopt gives only what is in its tables */
}

int options_parse(int argc, char **argv, uint64_t allowed, struct options *ret, struct error *error)
{
	struct options options = {.event = ""};
	struct option longs[OPTION_COUNT + 1];
	char shorts[2 * OPTION_COUNT + 3];
	int value;

	allowed |= OPTION_BIT(HELP);
	getopt_tables(allowed, longs, shorts);
	opterr = 0;
	optind = 0; /* glibc: start anew */
	while ((value = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		int row;

		if (value == '?' || value == ':')
			return bad_option(value, optopt, argv[optind - 1], allowed, error);
		row = row_of(value, allowed);
		if (set_value(&rows[row], optarg, &options) < 0)
			return error_set(error, -EINVAL, "--%s %s: expected %s", rows[row].name,
					 optarg, rows[row].expected);
		options.given |= 1ull << row;
	}
	options.rest = argv + optind;
	options.rest_count = argc - optind;
	*ret = options;
	return 0;
}

void options_help(uint64_t allowed)
{
	allowed |= OPTION_BIT(HELP);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &rows[i];
		char left[64], letter[8] = "    ";

		if (!(allowed >> i & 1))
			continue;
		if (row->letter)
			snprintf(letter, sizeof(letter), "-%c, ", row->letter);
		snprintf(left, sizeof(left), "%s--%s%s%s", letter, row->name, row->value ? " " : "",
			 row->value ? row->value : "");
		printf("  %-22s %s\n", left, row->help);
	}
}
