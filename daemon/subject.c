/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/subject.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/clock.h"
#include "daemon/command.h"
#include "daemon/load.h"
#include "daemon/when.h"

#define RANGE_MARK '@'
#define SESSION_MARK "session:"

enum subject_kind { SUBJECT_FILE, SUBJECT_RANGE, SUBJECT_SESSION };

static enum subject_kind kind_of(const char *operand, const struct options *options)
{
	if (!operand)
		return options->session ? SUBJECT_SESSION : SUBJECT_RANGE;
	if (*operand == RANGE_MARK)
		return SUBJECT_RANGE;
	return strncmp(operand, SESSION_MARK, strlen(SESSION_MARK)) ? SUBJECT_FILE
								    : SUBJECT_SESSION;
}

static bool range_by_options(const struct options *options)
{
	return options->last_ns || options->since || options->until;
}

static bool filter_by_options(const struct options *options)
{
	return options->pid || options->comm || options->cgroup || options->unit ||
	       options->container || options->host;
}

bool subject_by_options(const struct options *options)
{
	return options->session || range_by_options(options) || filter_by_options(options);
}

int subject_check(const char *operand, const struct options *options, struct error *error)
{
	if (operand && (options->session || range_by_options(options)))
		return error_set(error, -EINVAL,
				 "%s and --session, --last, --since or --until exclude each other: "
				 "these are of the running perfd, not of a file",
				 operand);
	if (filter_by_options(options) && kind_of(operand, options) != SUBJECT_RANGE)
		return error_set(
			error, -EINVAL,
			"--pid, --comm, --cgroup, --unit, --container and --host ask perfd's "
			"history: they go with --last, --since, --until or @SINCE..UNTIL");
	if (options->session && range_by_options(options))
		return error_set(
			error, -EINVAL,
			"--session and a time exclude each other: a session is given whole");
	if (options->last_ns && (options->since || options->until))
		return error_set(error, -EINVAL,
				 "--last and --since or --until exclude each other");
	return 0;
}

/* Both ends; "" is open. */
static int parse_range(const char *since, const char *until, struct client_range *range,
		       struct error *error)
{
	uint64_t now = clock_real_ns();
	int r = 0;

	if (*since)
		r = when_parse(since, now, error, &range->since_ns);
	if (!r && *until)
		r = when_parse(until, now, error, &range->until_ns);
	if (r)
		return r;
	if (range->since_ns > now)
		return error_set(error, -EINVAL, "%s is yet to come", since);
	if (range->until_ns && range->until_ns <= range->since_ns)
		return error_set(error, -EINVAL, "%s is not before %s", since, until);
	return 0;
}

static int range_of(const char *operand, const struct options *options, struct client_range *range,
		    struct error *error)
{
	char since[128];
	const char *dots;
	size_t n;

	if (!operand) {
		range->last_ns = options->last_ns;
		return parse_range(options->since ? options->since : "",
				   options->until ? options->until : "", range, error);
	}
	operand++;
	dots = strstr(operand, "..");
	n = dots ? (size_t)(dots - operand) : strlen(operand);
	if (n >= sizeof(since))
		return error_set(error, -EINVAL, "@%s: no time is written so long", operand);
	memcpy(since, operand, n);
	since[n] = 0;
	return parse_range(since, dots ? dots + 2 : "", range, error);
}

static int session_of(const char *operand, const struct options *options, uint32_t *ret,
		      struct error *error)
{
	char *end;
	unsigned long id;

	if (!operand) {
		*ret = options->session;
		return 0;
	}
	errno = 0;
	id = strtoul(operand + strlen(SESSION_MARK), &end, 10);
	if (errno || *end || !id || id > UINT32_MAX)
		return error_set(error, -EINVAL,
				 "%s: expected session: and an id, as `perfctl sessions` shows it",
				 operand);
	*ret = (uint32_t)id;
	return 0;
}

static void set_filter(const struct options *options, struct client_range *range)
{
	range->pid = options->pid;
	range->comm = options->comm;
	range->cgroup = options->cgroup;
	range->unit = options->unit;
	range->container = options->container;
	range->host = options->host;
	range->steps = options->time_steps;
}

int subject_range(const struct options *options, struct client_range *ret, struct error *error)
{
	struct client_range range = {0};
	int r = subject_check(NULL, options, error);

	if (!r)
		r = range_of(NULL, options, &range, error);
	if (r)
		return r;
	set_filter(options, &range);
	*ret = range;
	return 0;
}

int subject_load(const char *operand, const struct options *options, struct error *error,
		 struct profile **ret)
{
	enum subject_kind kind = kind_of(operand, options);
	struct client_range range = {0};
	struct client client;
	uint32_t session = 0;
	int r;

	if (kind == SUBJECT_FILE)
		return load_profile(operand, options, error, ret);
	r = kind == SUBJECT_RANGE ? range_of(operand, options, &range, error)
				  : session_of(operand, options, &session, error);
	if (!r)
		r = command_connect(options, error, &client);
	if (r < 0)
		return r;
	set_filter(options, &range);
	r = kind == SUBJECT_RANGE ? client_recent(&client, options->event, &range, error, ret)
				  : client_look(&client, session, error, ret);
	client_deinit(&client);
	return r;
}

void subject_name(const char *operand, const struct options *options, char *name, size_t size)
{
	const char *slash = operand ? strrchr(operand, '/') : NULL;
	struct error ignored;
	uint32_t session = 0;

	switch (kind_of(operand, options)) {
	case SUBJECT_RANGE:
		snprintf(name, size, "recent");
		return;
	case SUBJECT_SESSION:
		session_of(operand, options, &session, &ignored);
		snprintf(name, size, "session-%u", session);
		return;
	case SUBJECT_FILE:
		snprintf(name, size, "%s", slash ? slash + 1 : operand);
		name[strcspn(name, ".")] = 0; /* also all of "-" */
		if (!strcmp(operand, "-"))
			*name = 0;
		return;
	}
}
