/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIORITY_NOTICE 5

static const struct {
	const char *name;
	int priority; /* syslog(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", 3},
	[LOG_LEVEL_WARNING] = {"warning", 4},
	[LOG_LEVEL_INFO] = {"info", 6},
	[LOG_LEVEL_DEBUG] = {"debug", 7},
};

/* The one mutable global of the project: a log has to work from anywhere. */
static struct {
	const char *program;
	enum log_level max;
	bool journal;
} state = {.program = "perfd", .max = LOG_LEVEL_INFO};

/* Whoever starts us from a service hands the variable on, but perhaps another stderr. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

void log_init(const char *program, enum log_level max)
{
	state.program = program;
	state.max = max;
	state.journal = is_journal();
}

enum log_level log_max_level(void)
{
	return state.max;
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

int log_level_parse(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (!strcmp(name, levels[i].name)) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* `name`: NULL for none. */
static void emit(int priority, const char *name, int code, const char *format, va_list args)
{
	char line[1024];
	int n;

	if (state.journal)
		n = snprintf(line, sizeof(line), "<%d>", priority);
	else if (!name)
		n = snprintf(line, sizeof(line), "%s: ", state.program);
	else
		n = snprintf(line, sizeof(line), "%s: %s: ", state.program, name);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n, format, args);
	if (n > (int)sizeof(line) - 1)
		n = (int)sizeof(line) - 1;
	if (code && n < (int)sizeof(line) - 1)
		snprintf(line + n, sizeof(line) - (size_t)n, ": %s", strerror(-code));
	for (char *c = line; (c = strpbrk(c, "\n\r"));)
		*c = ' ';
	/* One call a line, so that lines of two processes do not mix. */
	fprintf(stderr, "%s\n", line);
}

static void emit_level(enum log_level level, int code, const char *format, va_list args)
{
	if (level <= state.max)
		emit(levels[level].priority, level == LOG_LEVEL_INFO ? NULL : levels[level].name,
		     code, format, args);
}

void log_message(enum log_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	emit_level(level, 0, format, args);
	va_end(args);
}

void log_notice(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	emit(PRIORITY_NOTICE, NULL, 0, format, args);
	va_end(args);
}

int log_errno(enum log_level level, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	emit_level(level, code, format, args);
	va_end(args);
	return code;
}
