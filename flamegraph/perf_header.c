/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "flamegraph/perf_header.h"

#include <string.h>

#include "flamegraph/import.h"

#define NS_PER_SECOND 1000000000U

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The first word of digits, or of digits/digits, with another word before it: that is
 * pid and tid; what is before is the comm, which may have blanks. Gives the offset
 * behind it, 0 if there is none. */
static size_t parse_task(const char *line, size_t n, struct perf_header *ret)
{
	size_t begin, at = 0, slash;

	while (at < n && line[at] == ' ')
		at++;
	ret->comm = line + at;
	while (at < n && line[at] != ' ')
		at++;
	for (; at<n; at = at> begin ? at : at + 1) {
		while (at < n && line[at] == ' ')
			at++;
		begin = at;
		slash = 0;
		while (at < n && (is_digit(line[at]) || (line[at] == '/' && !slash))) {
			if (line[at] == '/')
				slash = at;
			at++;
		}
		if (at > begin && at < n && line[at] == ' ' && slash != begin && slash + 1 != at) {
			ret->pid = slash ? line + begin : "?";
			ret->pid_n = slash ? slash - begin : 1;
			ret->tid = slash ? line + slash + 1 : line + begin;
			ret->tid_n = (size_t)(line + at - ret->tid);
			ret->task_n = (size_t)(line + at - ret->comm);
			ret->comm_n = (size_t)(line + begin - ret->comm);
			while (ret->comm_n && ret->comm[ret->comm_n - 1] == ' ')
				ret->comm_n--;
			return at;
		}
		while (at < n && line[at] != ' ')
			at++;
	}
	return 0;
}

static void parse_time(const char *text, size_t n, struct perf_header *ret)
{
	struct import_number seconds;
	size_t begin = n;

	while (begin && text[begin - 1] != ' ')
		begin--;
	if (!memchr(text + begin, '.', n - begin) ||
	    !import_number(text + begin, n - begin, &seconds) || seconds.whole > UINT32_MAX)
		return;
	ret->time_ns = seconds.whole * NS_PER_SECOND + (uint64_t)seconds.millionths * 1000;
	ret->has_time = true;
}

/* "   10101010 cpu-clock:ppp:  rest": the event ends with a ':' before a blank. */
static void parse_event(const char *text, size_t n, struct perf_header *ret)
{
	size_t at = 0, begin;

	while (at < n && text[at] == ' ')
		at++;
	for (begin = at; at < n && is_digit(text[at]);)
		at++;
	if (at > begin && at < n && text[at] == ' ') {
		ret->period = import_decimal(text + begin, at - begin);
		ret->has_period = true;
		while (at < n && text[at] == ' ')
			at++;
		begin = at;
	}
	while (at < n && text[at] != ' ')
		at++;
	ret->event = text + begin;
	ret->event_n = at - begin;
	while (ret->event_n && ret->event[ret->event_n - 1] == ':')
		ret->event_n--;
	ret->rest = text + at;
	ret->rest_n = n - at;
}

bool perf_header_parse(const char *line, size_t n, struct perf_header *ret)
{
	struct perf_header header = {.event = "", .rest = ""};
	size_t at = parse_task(line, n, &header);
	const char *colon;

	if (!at)
		return false;
	colon = memchr(line + at, ':', n - at);
	if (colon) {
		parse_time(line + at, (size_t)(colon - line) - at, &header);
		parse_event(colon + 1, n - (size_t)(colon + 1 - line), &header);
	}
	*ret = header;
	return true;
}
