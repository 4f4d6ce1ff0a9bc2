/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * perfctl's options: one table (options.c) has for each its letter, name,
 * value, unit, default and help; a command says which of them it takes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "daemon/base/error.h"

/* X(enumerator) in the order of the table. */
#define OPTIONS(X)                                                                                 \
	X(PID)                                                                                     \
	X(ALL)                                                                                     \
	X(FREQUENCY)                                                                               \
	X(DURATION)                                                                                \
	X(PRECISION)                                                                               \
	X(EVENT)                                                                                   \
	X(HEAP)                                                                                    \
	X(FORMAT)                                                                                  \
	X(OUTPUT)                                                                                  \
	X(BACKGROUND)                                                                              \
	X(SESSION)                                                                                 \
	X(LAST)                                                                                    \
	X(SINCE)                                                                                   \
	X(UNTIL)                                                                                   \
	X(COMM)                                                                                    \
	X(CGROUP)                                                                                  \
	X(UNIT)                                                                                    \
	X(CONTAINER)                                                                               \
	X(HOST)                                                                                    \
	X(TOP)                                                                                     \
	X(PALETTE)                                                                                 \
	X(VALUE)                                                                                   \
	X(FROM)                                                                                    \
	X(BY)                                                                                      \
	X(WIDTHS)                                                                                  \
	X(VIEW)                                                                                    \
	X(DIFF)                                                                                    \
	X(STEP)                                                                                    \
	X(ANNOTATE)                                                                                \
	X(OFFSETS)                                                                                 \
	X(NO_INLINES)                                                                              \
	X(NO_DEMANGLE)                                                                             \
	X(DEBUGINFOD)                                                                              \
	X(SHORT)                                                                                   \
	X(INTERVAL)                                                                                \
	X(ROUNDS)                                                                                  \
	X(ONCE)                                                                                    \
	X(SORT)                                                                                    \
	X(FILTER)                                                                                  \
	X(CI)                                                                                      \
	X(AUTO)                                                                                    \
	X(JSON)                                                                                    \
	X(SOCKET)                                                                                  \
	X(CONFIG)                                                                                  \
	X(HELP)

enum option_id {
#define X(name) OPTION_##name,
	OPTIONS(X)
#undef X
		OPTION_COUNT
};
#define OPTION_BIT(name) (1ull << OPTION_##name)
/* With the options allowed: they may stand behind arguments that are none, too. */
#define OPTIONS_MIXED (1ull << 63)

struct options {
	uint64_t given; /* OPTION_BIT()s */
	pid_t pid;
	uint32_t frequency_hz; /* 0: the default */
	uint64_t duration_ns; /* 0: none */
	uint32_t precision_ppm; /* 0: none */
	uint64_t last_ns; /* 0: all */
	uint64_t step_ns; /* 0: the default */
	uint32_t time_steps; /* no option: of the time axis that a command shows; 0: none */
	uint64_t interval_ns; /* of top */
	uint32_t rounds; /* likewise */
	uint32_t session;
	uint32_t top; /* 0: the command's default */
	const char *since, *until; /* as when.h has them; NULL: open */
	const char *comm, *cgroup, *unit, *container, *host; /* names or patterns; NULL: all */
	const char *event; /* "": the default */
	const char *format; /* NULL: by the file's extension */
	const char *output; /* NULL: the command's default */
	const char *palette; /* NULL: the default */
	const char *value; /* NULL: the profile's default */
	const char *from; /* NULL: by content */
	const char *annotate; /* NULL: the default */
	const char *by; /* of diff; NULL: the default */
	const char *widths; /* likewise */
	const char *sort, *filter; /* of top; NULL: the default, all */
	const char *view; /* of heap; NULL: the default */
	const char *diff; /* of heap: a moment; NULL: none */
	const char *socket; /* NULL: the config's */
	const char *config; /* NULL: /etc/perfd/perfd.conf */
	char **rest; /* arguments that are no options, NULL-terminated */
	int rest_count;
};

static inline bool option_given(const struct options *options, enum option_id id)
{
	return options->given >> id & 1;
}

/* Reads argv[1…] up to the first argument that is no option, or past "--";
 * with OPTIONS_MIXED all of argv, which is put in another order: the rest last.
 * -EINVAL with what was expected. Strings stay argv's. */
int options_parse(int argc, char **argv, uint64_t allowed, struct options *ret,
		  struct error *error);
/* One line an option, for --help. */
void options_help(uint64_t allowed);

/* "500ms", "10s", "1.5m", "2h", "10" (seconds); more than 0. */
int parse_duration(const char *text, uint64_t *ret);
/* The candidate a person may have meant, or NULL if none is near. */
const char *nearest_name(const char *name, const char *const *candidates, size_t count);
